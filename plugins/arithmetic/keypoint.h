// From the place of a heatmap's maximum to a keypoint: torchvision's and detectron2's heatmaps_to_keypoints.
#pragma once

#include "box.h"
#include "maskrt_plugins.h"

namespace maskrt {

// As many pixels as the longest side of a canvas; a longer box is resolved into no more.
constexpr float kLargestKeypointSide = 16384.0f;

// One side of a box, and the pixels that the heatmap is stretched to along it.
struct KeypointAxis {
    float start, side;
    int pixels;
};

// A side below one pixel, or that is no number, counts as one pixel.
MASKRT_HOST_DEVICE KeypointAxis make_keypoint_axis(float low, float high)
{
    const float length = high - low;
    const float side = length > 1.0f ? length : 1.0f;
    return KeypointAxis{low, side, static_cast<int>(ceilf(fminf(side, kLargestKeypointSide)))};
}

MASKRT_HOST_DEVICE float keypoint_coordinate(const KeypointAxis& axis, int position)
{
    return (static_cast<float>(position) + 0.5f) * (axis.side / static_cast<float>(axis.pixels)) + axis.start;
}

// A value of the stretched heatmap and where it lies.
struct Peak {
    float value;
    int row, column;
};

// Whether a value exceeds a maximum that is there already: as in torch, NaN exceeds all numbers.
MASKRT_HOST_DEVICE bool exceeds(float value, float maximum)
{
    return value > maximum || (value != value && maximum == maximum);
}

// The maximum of two, of equal ones the first in row order.
MASKRT_HOST_DEVICE Peak higher(const Peak& a, const Peak& b)
{
    if (exceeds(b.value, a.value)) {
        return b;
    }
    if (exceeds(a.value, b.value)) {
        return a;
    }
    return b.row < a.row || (b.row == a.row && b.column < a.column) ? b : a;
}

MASKRT_HOST_DEVICE void store_keypoint(
    float* keypoint, const KeypointAxis& x, const KeypointAxis& y, const Peak& peak, float score)
{
    keypoint[0] = keypoint_coordinate(x, peak.column);
    keypoint[1] = keypoint_coordinate(y, peak.row);
    keypoint[2] = score;
}

MASKRT_HOST_DEVICE int32_t check_decode_keypoints(const MaskrtDecodeKeypoints& call)
{
    if (call.rois < 0 || call.keypoints < 0 || call.map_height < 1 || call.map_width < 1) {
        return MASKRT_INVALID_ARGUMENT;
    }
    return static_cast<int64_t>(call.map_height) * call.map_width > MASKRT_LARGEST_HEATMAP ? MASKRT_TOO_LARGE : 0;
}

}  // namespace maskrt

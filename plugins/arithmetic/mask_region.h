// Where a mask of M x M probabilities goes in an image: torchvision's expand_boxes and paste_mask_in_image
// (models/detection/roi_heads.py), as runtime/masks/paste.py states them. A mask has one zero pixel added on each side, and
// its box grows by (M + 2) / M and is truncated to whole pixels.
#pragma once

#include "box.h"
#include "maskrt_plugins.h"

namespace maskrt {

constexpr float kCoordinateLimit = 2147483648.0f;  // keeps the conversion of absurd boxes to integers defined

// One axis of a mask's grown box, in image pixels.
struct MaskAxis {
    int64_t start, length;  // may reach beyond the image
    float scale;            // padded mask pixels per image pixel
    int clipped_start, clipped_length;  // the part inside the image; of length 0 when there is none
};

struct MaskRegion {
    MaskAxis x, y;
};

// How much a box grows: the same for all masks of a call, in double precision as in Python.
inline float mask_growth(int mask_size)
{
    return static_cast<float>((mask_size + 2) / static_cast<double>(mask_size));
}

MASKRT_HOST_DEVICE bool is_finite(float value)
{
    return value - value == 0.0f;
}

MASKRT_HOST_DEVICE int64_t truncate_coordinate(float value)
{
    return static_cast<int64_t>(fminf(fmaxf(value, -kCoordinateLimit), kCoordinateLimit));
}

// low, high: the box's ends on this axis; extent: the image's. The clipped length is 0 unless the ends are finite.
MASKRT_HOST_DEVICE MaskAxis locate_axis(float low, float high, float growth, int padded_size, int extent)
{
    const float half = (high - low) * 0.5f * growth;
    const float center = (high + low) * 0.5f;
    const float grown_low = center - half;
    const float grown_high = center + half;
    if (!is_finite(grown_low) || !is_finite(grown_high)) {
        return MaskAxis{};
    }
    const int64_t start = truncate_coordinate(grown_low);
    const int64_t end = truncate_coordinate(grown_high) + 1;
    const int64_t clipped_start = start > 0 ? start : 0;
    const int64_t clipped_end = end < extent ? end : extent;
    if (clipped_end <= clipped_start) {
        return MaskAxis{};
    }
    return MaskAxis{start, end - start, static_cast<float>(padded_size) / static_cast<float>(end - start),
        static_cast<int>(clipped_start), static_cast<int>(clipped_end - clipped_start)};
}

// growth: mask_growth(call.mask_size).
MASKRT_HOST_DEVICE MaskRegion locate_mask(const MaskrtPasteRle& call, float growth, int instance)
{
    const Box box
        = scale_box(load_box(call.boxes + 4 * static_cast<int64_t>(instance)), call.box_scale_x, call.box_scale_y);
    const MaskRegion region{locate_axis(box.x1, box.x2, growth, call.mask_size + 2, call.image_width),
        locate_axis(box.y1, box.y2, growth, call.mask_size + 2, call.image_height)};
    return region.x.clipped_length > 0 && region.y.clipped_length > 0 ? region : MaskRegion{};
}

// In pixels of the image in column order: where a column of the region's part inside the image starts.
MASKRT_HOST_DEVICE int64_t column_position(const MaskrtPasteRle& call, const MaskRegion& region, int column)
{
    return static_cast<int64_t>(region.x.clipped_start + column) * call.image_height + region.y.clipped_start;
}

MASKRT_HOST_DEVICE int64_t image_area(const MaskrtPasteRle& call)
{
    return static_cast<int64_t>(call.image_height) * call.image_width;
}

MASKRT_HOST_DEVICE bool is_present(const MaskrtPasteRle& call, int instance)
{
    return call.num == nullptr || instance < *call.num;
}

MASKRT_HOST_DEVICE const float* mask_of(const MaskrtPasteRle& call, int instance)
{
    return call.mask_probabilities + static_cast<int64_t>(instance) * call.mask_size * call.mask_size;
}

}  // namespace maskrt

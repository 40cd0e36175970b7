// What the rules for pasting a mask have in common: a mask of M x M probabilities with one zero pixel added on each side,
// and the part of the image that it can touch. The rules: integer_box.h, pixel_centers.h.
#pragma once

#include "box.h"
#include "maskrt_plugins.h"

namespace maskrt {

constexpr float kCoordinateLimit = 2147483648.0f;  // keeps the conversion of absurd boxes to integers defined

// One axis of a mask in the image, in image pixels.
template <typename Place>
struct MaskAxis {
    Place place;                        // by the rule
    int clipped_start, clipped_length;  // the part inside the image; of length 0 when there is none
};

template <typename Place>
struct MaskRegion {
    MaskAxis<Place> x, y;
};

// Two neighbouring columns of the padded mask, and the weight of the right one.
struct MaskColumns {
    int left, right;
    float right_weight;
};

// What the two columns hold in two neighbouring rows of the padded mask, and the rows interpolated along x.
struct MaskCrossing {
    int row;  // the upper of the two
    MaskColumns columns;
    float upper, lower;
};

MASKRT_HOST_DEVICE bool is_finite(float value)
{
    return value - value == 0.0f;
}

MASKRT_HOST_DEVICE int64_t truncate_coordinate(float value)
{
    return static_cast<int64_t>(fminf(fmaxf(value, -kCoordinateLimit), kCoordinateLimit));
}

// The part of [start, end) inside the image; false where there is none.
template <typename Place>
MASKRT_HOST_DEVICE bool clip_axis(int64_t start, int64_t end, int extent, MaskAxis<Place>& axis)
{
    const int64_t clipped_start = start > 0 ? start : 0;
    const int64_t clipped_end = end < extent ? end : extent;
    if (clipped_end <= clipped_start) {
        return false;
    }
    axis.clipped_start = static_cast<int>(clipped_start);
    axis.clipped_length = static_cast<int>(clipped_end - clipped_start);
    return true;
}

MASKRT_HOST_DEVICE Box box_of(const MaskrtPasteRle& call, int instance)
{
    return scale_box(load_box(call.boxes + 4 * static_cast<int64_t>(instance)), call.box_scale_x, call.box_scale_y);
}

// In pixels of the image in column order: where a column of the region's part inside the image starts.
template <typename Place>
MASKRT_HOST_DEVICE int64_t column_position(const MaskrtPasteRle& call, const MaskRegion<Place>& region, int column)
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

// A pixel of the padded mask. The padding is zero and not stored.
MASKRT_HOST_DEVICE float padded_value(const float* mask, int mask_size, int row, int column)
{
    const bool is_inside = row >= 1 && row <= mask_size && column >= 1 && column <= mask_size;
    return is_inside ? mask[static_cast<int64_t>(row - 1) * mask_size + column - 1] : 0.0f;
}

}  // namespace maskrt

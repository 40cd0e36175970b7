// detectron2's rule, and mmdetection's: paste_masks_in_image with grid_sample, as runtime/masks/pixel_centers.py states
// it. The centre of a pixel is mapped into the mask by its place in the box, whose coordinates are not rounded; what is
// not less than the threshold belongs to the object. Sums of products that torch's CPU kernel fuses are rounded once.
#pragma once

#include "mask_region.h"

namespace maskrt {

struct PixelCenters {
    struct Place {
        float start, extent;  // of the box
    };

    using Axis = MaskAxis<Place>;

    int mask_size;
    float threshold;

    explicit PixelCenters(const MaskrtPasteRle& call)
        : mask_size(call.mask_size)
        , threshold(call.threshold)
    {
    }

    MASKRT_HOST_DEVICE bool is_foreground(float value) const
    {
        return value >= threshold;
    }

    // Both clipped lengths are 0 unless the mask can touch the image.
    MASKRT_HOST_DEVICE MaskRegion<Place> locate(const MaskrtPasteRle& call, int instance) const
    {
        const Box box = box_of(call, instance);
        MaskRegion<Place> region{};
        const bool touches = locate_axis(box.x1, box.x2, call.image_width, region.x)
            && locate_axis(box.y1, box.y2, call.image_height, region.y);
        return touches ? region : MaskRegion<Place>{};
    }

    // The columns of the padded mask beside an image column.
    MASKRT_HOST_DEVICE MaskColumns columns(const Axis& x, int image_column) const
    {
        const float source = position(x.place, image_column);
        const float whole = floorf(source);
        const float inside = whole < -1.0f ? -1.0f : whole < static_cast<float>(mask_size) ? whole
                                                                                         : static_cast<float>(mask_size);
        MaskColumns columns;
        columns.left = static_cast<int>(inside) + 1;
        columns.right = columns.left < mask_size + 1 ? columns.left + 1 : columns.left;
        columns.right_weight = whole < -1.0f ? 0.0f : source - whole;  // left of the padding there is nothing, either
        return columns;
    }

    // The first image row whose upper mask row is k or a later one.
    MASKRT_HOST_DEVICE int64_t first_row(const Axis& y, int k) const
    {
        const int64_t low = y.clipped_start;
        const int64_t high = low + y.clipped_length;
        if (k == 0) {
            return low;
        }
        int64_t row = clamp(image_row(y, k), low, high);
        // The float32 position may fall on the other side of k than the real number.
        row -= position(y.place, row - 1) >= static_cast<float>(k - 1) ? 1 : 0;
        row += position(y.place, row) < static_cast<float>(k - 1) ? 1 : 0;
        return row < low ? low : row < high ? row : high;
    }

    // The image row at a fractional row of the padded mask, but for float32 rounding; with a side of 0 before all rows, or
    // behind.
    MASKRT_HOST_DEVICE double image_row(const Axis& y, double row) const
    {
        const double inside = row - 0.5;
        if (y.place.extent == 0.0f) {
            return inside <= mask_size / 2.0 ? -INFINITY : INFINITY;
        }
        const double start = static_cast<double>(y.place.start);
        return ceil(start + inside / mask_size * static_cast<double>(y.place.extent) - 0.5);
    }

    // The pasted value of an image row between the two mask rows of a crossing.
    MASKRT_HOST_DEVICE float value(const Axis& y, const float* mask, const MaskCrossing& crossing, int64_t row) const
    {
        const int upper = crossing.row;
        const MaskColumns& columns = crossing.columns;
        const float down = position(y.place, row) - static_cast<float>(upper - 1);
        const float up = 1.0f - down;
        const float right = columns.right_weight;
        const float left = 1.0f - right;
        float sum = padded_value(mask, mask_size, upper, columns.left) * (up * left);
        sum = multiply_add(padded_value(mask, mask_size, upper, columns.right), up * right, sum);
        sum = multiply_add(padded_value(mask, mask_size, upper + 1, columns.left), down * left, sum);
        return multiply_add(padded_value(mask, mask_size, upper + 1, columns.right), down * right, sum);
    }

private:
    // Rounded once: the product is exact in double precision.
    MASKRT_HOST_DEVICE static float multiply_add(float a, float b, float c)
    {
        return static_cast<float>(static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c));
    }

    // NaN becomes low.
    MASKRT_HOST_DEVICE static int64_t clamp(double value, int64_t low, int64_t high)
    {
        if (!(value > static_cast<double>(low))) {
            return low;
        }
        return value < static_cast<double>(high) ? static_cast<int64_t>(value) : high;
    }

    // Where the centre of an image pixel lies in the mask: pixel i of the mask is at i. A side of 0 puts every pixel at
    // infinity, or nowhere, for which mmdetection takes the middle of the mask; detectron2 drops such boxes.
    MASKRT_HOST_DEVICE float position(const Place& place, int64_t pixel) const
    {
        const float center = static_cast<float>(pixel) + 0.5f;
        const float grid = (center - place.start) / place.extent * 2.0f - 1.0f;
        return multiply_add(is_finite(grid) ? grid + 1.0f : 1.0f, static_cast<float>(mask_size / 2.0), -0.5f);
    }

    // low, high: the box's ends on this axis; extent: the image's. No pixel further than one from the box is looked at.
    MASKRT_HOST_DEVICE static bool locate_axis(float low, float high, int extent, Axis& axis)
    {
        const float length = high - low;
        if (!is_finite(low) || !is_finite(high) || !is_finite(length) || length < 0.0f) {
            return false;
        }
        axis.place = Place{low, length};
        const int64_t start = truncate_coordinate(floorf(low) - 1.0f);
        const int64_t end = truncate_coordinate(ceilf(high) + 1.0f);
        return clip_axis(start, end, extent, axis);
    }
};

}  // namespace maskrt

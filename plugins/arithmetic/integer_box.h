// torchvision's rule: expand_boxes and paste_mask_in_image (models/detection/roi_heads.py), as
// runtime/masks/integer_box.py states them. The box grows by (M + 2) / M and is truncated to whole pixels; the padded mask
// is resized to it; what is greater than the threshold belongs to the object.
#pragma once

#include "mask_region.h"

namespace maskrt {

struct IntegerBox {
    struct Place {
        int64_t start, length;  // of the grown box; may reach beyond the image
        float scale;            // padded mask pixels per image pixel
    };

    using Axis = MaskAxis<Place>;

    int mask_size;
    float threshold;
    float growth;  // of the boxes: the same for all masks of a call, in double precision as in Python

    explicit IntegerBox(const MaskrtPasteRle& call)
        : mask_size(call.mask_size)
        , threshold(call.threshold)
        , growth(static_cast<float>((call.mask_size + 2) / static_cast<double>(call.mask_size)))
    {
    }

    MASKRT_HOST_DEVICE bool is_foreground(float value) const
    {
        return value > threshold;
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
        const float source = coordinate(image_column - x.place.start, x.place.scale);
        const int last = mask_size + 1;
        MaskColumns columns;
        columns.left = source < static_cast<float>(last) ? static_cast<int>(source) : last;
        columns.right = columns.left < last ? columns.left + 1 : columns.left;
        columns.right_weight = fminf(source - static_cast<float>(columns.left), 1.0f);
        return columns;
    }

    // The first image row whose upper mask row is k or a later one.
    MASKRT_HOST_DEVICE int64_t first_row(const Axis& y, int k) const
    {
        if (k == 0) {
            return y.place.start;
        }
        int64_t row = static_cast<int64_t>(ceil((k + 0.5) / static_cast<double>(y.place.scale) - 0.5));
        // The float32 coordinate of the row before may be rounded up to k; that of the row itself is never rounded below.
        row -= coordinate(row - 1, y.place.scale) >= static_cast<float>(k) ? 1 : 0;
        return y.place.start + (row < y.place.length ? row : y.place.length);
    }

    // The image row at a fractional row of the padded mask, but for float32 rounding.
    MASKRT_HOST_DEVICE double image_row(const Axis& y, double row) const
    {
        return ceil((row + 0.5) / static_cast<double>(y.place.scale) - 0.5) + static_cast<double>(y.place.start);
    }

    // The pasted value of an image row between the two mask rows of a crossing.
    MASKRT_HOST_DEVICE float value(const Axis& y, const float*, const MaskCrossing& crossing, int64_t row) const
    {
        const float weight = coordinate(row - y.place.start, y.place.scale) - static_cast<float>(crossing.row);
        return crossing.upper * (1.0f - weight) + crossing.lower * weight;
    }

private:
    // torch's area_pixel_compute_source_index for any distance: in double precision, rounded once to float32.
    MASKRT_HOST_DEVICE static float coordinate(int64_t pixel, float scale)
    {
        const float source = static_cast<float>((static_cast<double>(pixel) + 0.5) * static_cast<double>(scale) - 0.5);
        return source > 0.0f ? source : 0.0f;
    }

    // low, high: the box's ends on this axis; extent: the image's.
    MASKRT_HOST_DEVICE bool locate_axis(float low, float high, int extent, Axis& axis) const
    {
        const float half = (high - low) * 0.5f * growth;
        const float center = (high + low) * 0.5f;
        const float grown_low = center - half;
        const float grown_high = center + half;
        if (!is_finite(grown_low) || !is_finite(grown_high)) {
            return false;
        }
        const int64_t start = truncate_coordinate(grown_low);
        const int64_t end = truncate_coordinate(grown_high) + 1;
        axis.place = Place{start, end - start, static_cast<float>(mask_size + 2) / static_cast<float>(end - start)};
        return clip_axis(start, end, extent, axis);
    }
};

}  // namespace maskrt

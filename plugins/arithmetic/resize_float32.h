// Bilinear resizing in float32, as resize_float32 of runtime/transforms/filters/bilinear.py and torch's CPU kernel do it:
// half-pixel centres, no antialiasing.
#pragma once

#include "host_device.h"

namespace maskrt {

struct ResizeFloat32 {
    using Scale = float;  // source pixels per output pixel

    // The two source pixels of an output pixel on one axis, and their weights.
    struct Tap {
        int first, second;
        float first_weight, second_weight;
    };

    static Scale scale(int source_size, int size)
    {
        return static_cast<float>(source_size) / static_cast<float>(size);
    }

    // torch's area_pixel_compute_source_index, one rounding; position must be below 2^23, where float32 has halves.
    MASKRT_HOST_DEVICE static Tap row_tap(int position, int source_size, Scale scale)
    {
        const float source = fmaxf(fmaf(static_cast<float>(position) + 0.5f, scale, -0.5f), 0.0f);
        Tap tap;
        tap.first = static_cast<int>(source);
        tap.first = tap.first < source_size - 1 ? tap.first : source_size - 1;
        tap.second = tap.first < source_size - 1 ? tap.first + 1 : tap.first;
        tap.second_weight = fminf(source - static_cast<float>(tap.first), 1.0f);
        tap.first_weight = 1.0f - tap.second_weight;
        return tap;
    }

    MASKRT_HOST_DEVICE static Tap column_tap(int position, int source_size, Scale scale)
    {
        return row_tap(position, source_size, scale);
    }

    // Along y first, as resize.py does: the order of the roundings.
    MASKRT_HOST_DEVICE static float blend(
        const Tap& row, const Tap& column, int top_left, int top_right, int bottom_left, int bottom_right)
    {
        const float left = static_cast<float>(top_left) * row.first_weight
            + static_cast<float>(bottom_left) * row.second_weight;
        const float right = static_cast<float>(top_right) * row.first_weight
            + static_cast<float>(bottom_right) * row.second_weight;
        return left * column.first_weight + right * column.second_weight;
    }
};

}  // namespace maskrt

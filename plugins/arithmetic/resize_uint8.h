// Bilinear resizing of uint8 in OpenCV's fixed point (cv::resize, INTER_LINEAR, modules/imgproc/src/resize.cpp), bit
// for bit: weights of 11 bits, the sum along x cut to 7 bits behind the point, each product along y cut to 2, and their
// sum rounded.
//
// The halving of both sides, which OpenCV hands to INTER_AREA, comes out the same: all weights are one half there, and
// nothing is cut off.
#pragma once

#include "host_device.h"

namespace maskrt {

struct ResizeUint8 {
    using Scale = double;   // source pixels per output pixel

    // The two source pixels of an output pixel on one axis, and their weights, which add up to kOne.
    struct Tap {
        int first, second;
        int first_weight, second_weight;
    };

    static constexpr float kOne = 2048.0f;

    // Not source_size / size, which may differ in the last bit.
    static Scale scale(int source_size, int size)
    {
        return 1.0 / (static_cast<double>(size) / static_cast<double>(source_size));
    }

    // Beyond an edge OpenCV's rows repeat the edge's, with weights as everywhere, ...
    MASKRT_HOST_DEVICE static Tap row_tap(int position, int source_size, Scale scale)
    {
        int first;
        const float fraction = split(position, scale, first);
        return make_tap(clamp(first, source_size), clamp(first + 1, source_size), fraction);
    }

    // ... its columns have the whole weight on the edge's pixel.
    MASKRT_HOST_DEVICE static Tap column_tap(int position, int source_size, Scale scale)
    {
        int first;
        const float fraction = split(position, scale, first);
        const bool inside = first >= 0 && first < source_size - 1;
        first = clamp(first, source_size);
        return make_tap(first, inside ? first + 1 : first, inside ? fraction : 0.0f);
    }

    MASKRT_HOST_DEVICE static uint8_t blend(
        const Tap& row, const Tap& column, int top_left, int top_right, int bottom_left, int bottom_right)
    {
        const int top = top_left * column.first_weight + top_right * column.second_weight;
        const int bottom = bottom_left * column.first_weight + bottom_right * column.second_weight;
        const int sum = (row.first_weight * (top >> 4) >> 16) + (row.second_weight * (bottom >> 4) >> 16);
        return static_cast<uint8_t>((sum + 2) >> 2);
    }

private:
    // The source position of an output pixel's centre: its integer part, and the fraction as the result.
    MASKRT_HOST_DEVICE static float split(int position, Scale scale, int& first)
    {
        const float source = static_cast<float>((position + 0.5) * scale - 0.5);
        const float whole = floorf(source);
        first = static_cast<int>(whole);
        return source - whole;
    }

    MASKRT_HOST_DEVICE static int clamp(int index, int size)
    {
        return index < 0 ? 0 : index < size ? index : size - 1;
    }

    MASKRT_HOST_DEVICE static Tap make_tap(int first, int second, float fraction)
    {
        const float first_weight = rintf((1.0f - fraction) * kOne);
        return Tap{first, second, static_cast<int>(first_weight), static_cast<int>(rintf(fraction * kOne))};
    }
};

}  // namespace maskrt

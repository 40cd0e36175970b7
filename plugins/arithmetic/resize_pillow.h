// Pillow's BILINEAR on uint8 (libImaging/Resample.c), bit for bit: along x first, then along y, uint8 in between. Where
// an axis shrinks the filter widens with it (antialiasing). Weights are whole numbers of 22 fractional bits.
//
// From version 13 on, Pillow takes y first for some images that shrink in height (of those that keep their ratio of sides:
// more than about twice as high as wide), which changes single grey levels by one. Here x comes first always, as in the
// versions that detectron2's models were trained with.
#pragma once

#include "host_device.h"

namespace maskrt {

constexpr int kPillowBits = 22;

// Of an axis, in double precision as in Resample.c.
struct PillowAxis {
    double scale;    // source pixels per output pixel
    double support;  // half the filter's width, in source pixels; at least 1
    int max_taps;    // of an output pixel
};

inline PillowAxis pillow_axis(int source_size, int size)
{
    PillowAxis axis;
    axis.scale = static_cast<double>(source_size) / size;
    axis.support = axis.scale < 1.0 ? 1.0 : axis.scale;
    axis.max_taps = static_cast<int>(ceil(axis.support)) * 2 + 1;
    return axis;
}

// The source pixels of an output pixel: so many from `first` on.
struct PillowSpan {
    int first, count;
};

MASKRT_HOST_DEVICE double pillow_center(const PillowAxis& axis, int position)
{
    return (position + 0.5) * axis.scale;
}

MASKRT_HOST_DEVICE PillowSpan pillow_span(const PillowAxis& axis, int position, int source_size)
{
    const double center = pillow_center(axis, position);
    const int first = static_cast<int>(center - axis.support + 0.5);
    const int end = static_cast<int>(center + axis.support + 0.5);
    const int begin = first < 0 ? 0 : first;
    return PillowSpan{begin, (end > source_size ? source_size : end) - begin};
}

// The triangle, before the weights are made to add up to one.
MASKRT_HOST_DEVICE double pillow_triangle(const PillowAxis& axis, const PillowSpan& span, int tap, int position)
{
    const double distance = fabs((tap + span.first - pillow_center(axis, position) + 0.5) * (1.0 / axis.support));
    return distance < 1.0 ? 1.0 - distance : 0.0;
}

// Writes the weights of an output pixel, span.count of them.
MASKRT_HOST_DEVICE void pillow_weights(const PillowAxis& axis, const PillowSpan& span, int position, int32_t* weights)
{
    double sum = 0.0;
    for (int tap = 0; tap < span.count; ++tap) {
        sum += pillow_triangle(axis, span, tap, position);
    }
    for (int tap = 0; tap < span.count; ++tap) {
        const double weight = pillow_triangle(axis, span, tap, position);
        weights[tap] = static_cast<int32_t>(0.5 + (sum != 0.0 ? weight / sum : weight) * (1 << kPillowBits));
    }
}

constexpr int32_t kPillowHalf = 1 << (kPillowBits - 1);  // what a sum starts from, so that it is rounded

MASKRT_HOST_DEVICE uint8_t pillow_level(int32_t sum)
{
    const int32_t level = sum >> kPillowBits;
    return static_cast<uint8_t>(level < 0 ? 0 : level < 255 ? level : 255);
}

}  // namespace maskrt

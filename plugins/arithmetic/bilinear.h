// One axis of a bilinear sample: two pixels and their weights (torchvision's bilinear_interpolate, one axis at a time).
#pragma once

#include "host_device.h"

namespace maskrt {

struct AxisSample {
    int low, high;
    float low_weight, high_weight;
};

// extent is the number of pixels on this axis, at least 1. For a coordinate that is not inside (see is_inside) the result
// means nothing, but its pixels exist.
MASKRT_HOST_DEVICE AxisSample make_axis_sample(float coordinate, int extent)
{
    const float clamped = fminf(fmaxf(coordinate, 0.0f), static_cast<float>(extent));  // 0 for NaN
    AxisSample sample;
    sample.low = static_cast<int>(clamped);
    float fraction = clamped - static_cast<float>(sample.low);
    sample.high = sample.low + 1;
    if (sample.low >= extent - 1) {
        sample.low = sample.high = extent - 1;
        fraction = 0.0f;
    }
    sample.low_weight = 1.0f - fraction;
    sample.high_weight = fraction;
    return sample;
}

}  // namespace maskrt

// One axis of a bicubic surface: which four values lie around a position, and their weights. torch's
// upsample_bicubic2d (align_corners=False, a = -0.75), fused where the compiler of its CPU kernels for AVX2 fuses, so that
// the host build has the bits of torch's interpolate(mode="bicubic") on a processor with AVX2.
#pragma once

#include "host_device.h"

namespace maskrt {

struct CubicTaps {
    int first;  // of the four; may lie outside of the values, see cubic_index
    float weights[4];
};

// At a distance below 1 from a value, and at one from 1 to 2.
MASKRT_HOST_DEVICE float cubic_near(float x)
{
    constexpr float kA = -0.75f;
    return fmaf(kA + 2.0f, x, -(kA + 3.0f)) * x * x + 1.0f;
}

MASKRT_HOST_DEVICE float cubic_far(float x)
{
    constexpr float kA = -0.75f;
    return fmaf(fmaf(kA, x, -5.0f * kA), x, 8.0f * kA) * x - 4.0f * kA;
}

// scale: values / positions; extent: how many values there are, at least 1.
MASKRT_HOST_DEVICE CubicTaps make_cubic_taps(int position, float scale, int extent)
{
    const float source = fmaf(scale, static_cast<float>(position) + 0.5f, -0.5f);
    const int floor = static_cast<int>(floorf(source));
    const int before = floor < extent - 1 ? floor : extent - 1;
    const float offset = fminf(fmaxf(source - static_cast<float>(before), 0.0f), 1.0f);
    const float rest = 1.0f - offset;
    return CubicTaps{before - 1, {cubic_far(offset + 1.0f), cubic_near(offset), cubic_near(rest), cubic_far(rest + 1.0f)}};
}

// The values go on beyond both ends as they end.
MASKRT_HOST_DEVICE int cubic_index(int index, int extent)
{
    return index < 0 ? 0 : index < extent ? index : extent - 1;
}

MASKRT_HOST_DEVICE float cubic_blend(float a, float b, float c, float d, const float* weights)
{
    return fmaf(d, weights[3], fmaf(c, weights[2], fmaf(a, weights[0], b * weights[1])));
}

}  // namespace maskrt

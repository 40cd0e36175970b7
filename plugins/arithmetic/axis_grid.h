// One axis of an RoI cut into bins, and each bin into samples: torchvision csrc/ops/cpu/roi_align_kernel.cpp.
#pragma once

#include "host_device.h"

namespace maskrt {

// Above this many samples to a bin (an adaptive grid takes one per feature pixel) float32 no longer counts them, and
// those that lie inside any real feature map weigh less than one part in ten thousand: such an RoI averages to zero.
constexpr float kMaxAdaptiveSamples = 16777216.0f;

struct AxisGrid {
    float start;     // in feature pixels
    float bin_size;  // in feature pixels; negative for an inverted RoI that is sampled at a fixed ratio
    int samples;     // to a bin
};

// low, high: the RoI's ends on this axis, in canvas pixels. sampling_ratio 0: as many samples as ceil(bin_size).
// half_pixel: torchvision's aligned=True; without it the RoI is at least one feature pixel long.
MASKRT_HOST_DEVICE AxisGrid make_axis_grid(
    float low, float high, float scale, bool half_pixel, int bins, int sampling_ratio)
{
    const float offset = half_pixel ? 0.5f : 0.0f;
    AxisGrid grid;
    grid.start = low * scale - offset;
    float length = (high * scale - offset) - grid.start;
    if (!half_pixel && length < 1.0f) {  // not fmaxf: a NaN must stay one, so that all samples fall outside
        length = 1.0f;
    }
    grid.bin_size = length / static_cast<float>(bins);
    grid.samples = sampling_ratio;
    if (sampling_ratio == 0) {
        const float samples = ceilf(grid.bin_size);
        const bool countable = samples > 0.0f && samples <= kMaxAdaptiveSamples;  // false for NaN
        grid.samples = countable ? static_cast<int>(samples) : 0;
    }
    return grid;
}

// Where sample number `sample` of bin number `bin` lies, in feature pixels.
MASKRT_HOST_DEVICE float sample_coordinate(const AxisGrid& grid, int bin, int sample, int samples)
{
    return grid.start + static_cast<float>(bin) * grid.bin_size
        + (static_cast<float>(sample) + 0.5f) * grid.bin_size / static_cast<float>(samples);
}

// The one test of whether a sample counts: up to one pixel before the first and after the last. False for NaN.
MASKRT_HOST_DEVICE bool is_inside(float coordinate, int extent)
{
    return coordinate >= -1.0f && coordinate <= static_cast<float>(extent);
}

}  // namespace maskrt

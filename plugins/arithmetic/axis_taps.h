// The pixels that a bin of two samples reads on one axis, each once: bilinear weights are products of one of each axis, so
// that those of samples which read the same pixel add up per axis, before anything is read.
#pragma once

#include "axis_grid.h"
#include "bilinear.h"

namespace maskrt {

constexpr int kMergedSamples = 2;
constexpr int kMostTaps = 2 * kMergedSamples;
constexpr int kMostMergedBins = 64;  // of both axes, those of an RoI that a block has the taps of at hand

// Whether a mean is taken by taps: 2x2 samples (torchvision's and detectron2's detectors have them), not too many bins.
MASKRT_HOST_DEVICE bool merges_taps(int sampling_ratio, int output_height, int output_width)
{
    return sampling_ratio == kMergedSamples && output_height <= kMostMergedBins
        && output_width <= kMostMergedBins - output_height;
}

struct alignas(16) AxisTaps {
    int pixel[kMostTaps];
    float weight[kMostTaps];  // in the mean of the axis's samples
    int count;                // 0 where all samples lie outside, otherwise at least 2
};

// A sample outside adds nothing, and is not read: what a pixel at the edge holds cannot reach it by a weight of zero.
MASKRT_HOST_DEVICE AxisTaps make_axis_taps(const AxisGrid& grid, int bin, int extent)
{
    const float first = sample_coordinate(grid, bin, 0, kMergedSamples);
    const float second = sample_coordinate(grid, bin, 1, kMergedSamples);
    const bool has_first = is_inside(first, extent);
    const bool has_second = is_inside(second, extent);
    const AxisSample a = make_axis_sample(has_first ? first : second, extent);
    AxisTaps taps{{a.low, a.high, 0, 0}, {a.low_weight / kMergedSamples, a.high_weight / kMergedSamples, 0.0f, 0.0f}, 2};
    if (!has_first || !has_second) {
        taps.count = has_first || has_second ? 2 : 0;
        return taps;
    }
    // By cases, not in a loop: the arrays stay in registers.
    const AxisSample b = make_axis_sample(second, extent);
    const float low_weight = b.low_weight / kMergedSamples;
    const float high_weight = b.high_weight / kMergedSamples;
    if (b.low == a.low) {
        taps.weight[0] += low_weight;
    } else if (b.low == a.high) {
        taps.weight[1] += low_weight;
    } else {
        taps.pixel[2] = b.low;
        taps.weight[2] = low_weight;
        taps.count = 3;
    }
    if (b.high == a.low) {
        taps.weight[0] += high_weight;
    } else if (b.high == a.high) {
        taps.weight[1] += high_weight;
    } else if (taps.count == 2) {
        taps.pixel[2] = b.high;
        taps.weight[2] = high_weight;
        taps.count = 3;
    } else if (b.high == b.low) {
        taps.weight[2] += high_weight;
    } else {
        taps.pixel[3] = b.high;
        taps.weight[3] = high_weight;
        taps.count = 4;
    }
    return taps;
}

}  // namespace maskrt

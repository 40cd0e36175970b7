// The value of one output bin for several channels at once: the loop that the kernels and the host build share.
#pragma once

#include "axis_grid.h"
#include "bilinear.h"
#include "sample_range.h"

namespace maskrt {

enum class PoolMode { kAverage, kMax };

// Larger of the two, NaN if either is (as PyTorch's max pooling).
MASKRT_HOST_DEVICE float max_or_nan(float a, float b)
{
    return b > a || b != b ? b : a;
}

// load(pixel, values) reads kChannels channels of a feature pixel, counted in row order, as float32; height * width must
// fit an int.
// kSamplingRatio > 0: the number of samples, known to the compiler, which then unrolls; 0: taken from the grids.
// kMax: the maximum over the bilinearly interpolated samples, those outside being zero; needs a fixed ratio.
// kAverage: their mean over all samples, those outside included (torchvision divides by max(count, 1)).
template <PoolMode kMode, int kSamplingRatio, int kChannels, typename Load>
MASKRT_HOST_DEVICE void pool_bin(const AxisGrid& grid_y, const AxisGrid& grid_x, int bin_y, int bin_x, int height,
    int width, const Load& load, float (&pooled)[kChannels])
{
    [[maybe_unused]] constexpr int kUnroll = kSamplingRatio > 0 ? kSamplingRatio : 1;
    const int samples_y = kSamplingRatio > 0 ? kSamplingRatio : grid_y.samples;
    const int samples_x = kSamplingRatio > 0 ? kSamplingRatio : grid_x.samples;
    SampleRange range_y{0, samples_y};
    SampleRange range_x{0, samples_x};
    if (kSamplingRatio == 0 && kMode == PoolMode::kAverage) {  // samples outside add nothing to a mean
        range_y = inside_range(grid_y, bin_y, height);
        range_x = inside_range(grid_x, bin_x, width);
    }
    for (int k = 0; k < kChannels; ++k) {
        pooled[k] = kMode == PoolMode::kMax ? -INFINITY : 0.0f;
    }
#pragma unroll kUnroll
    for (int sample_y = range_y.begin; sample_y < range_y.end; ++sample_y) {
        const float coordinate_y = sample_coordinate(grid_y, bin_y, sample_y, samples_y);
        const AxisSample y = make_axis_sample(coordinate_y, height);  // before the branch: the same for a whole row
#pragma unroll kUnroll
        for (int sample_x = range_x.begin; sample_x < range_x.end; ++sample_x) {
            const float coordinate_x = sample_coordinate(grid_x, bin_x, sample_x, samples_x);
            const AxisSample x = make_axis_sample(coordinate_x, width);
            if (!is_inside(coordinate_y, height) || !is_inside(coordinate_x, width)) {
                for (int k = 0; kMode == PoolMode::kMax && k < kChannels; ++k) {
                    pooled[k] = max_or_nan(pooled[k], 0.0f);
                }
                continue;
            }
            float top_left[kChannels], top_right[kChannels], bottom_left[kChannels], bottom_right[kChannels];
            load(y.low * width + x.low, top_left);
            load(y.low * width + x.high, top_right);
            load(y.high * width + x.low, bottom_left);
            load(y.high * width + x.high, bottom_right);
            const float weight_top_left = y.low_weight * x.low_weight;
            const float weight_top_right = y.low_weight * x.high_weight;
            const float weight_bottom_left = y.high_weight * x.low_weight;
            const float weight_bottom_right = y.high_weight * x.high_weight;
            for (int k = 0; k < kChannels; ++k) {
                float sum = kMode == PoolMode::kMax ? 0.0f : pooled[k];
                sum = fmaf(weight_top_left, top_left[k], sum);
                sum = fmaf(weight_top_right, top_right[k], sum);
                sum = fmaf(weight_bottom_left, bottom_left[k], sum);
                sum = fmaf(weight_bottom_right, bottom_right[k], sum);
                pooled[k] = kMode == PoolMode::kMax ? max_or_nan(pooled[k], sum) : sum;
            }
        }
    }
    if (kMode == PoolMode::kAverage) {
        const float count = static_cast<float>(samples_y) * static_cast<float>(samples_x);
        const float scale = 1.0f / (count > 1.0f ? count : 1.0f);
        for (int k = 0; k < kChannels; ++k) {
            pooled[k] *= scale;
        }
    }
}

}  // namespace maskrt

// MultilevelRoIAlign: every RoI from its own pyramid level, in one launch.
//
// A block works on one RoI, a thread on kChannels channels of a run of kBins bins in one row. Coordinates, weights and
// sums are float32 whatever the features are; a float16 result is the float32 one rounded once.
#pragma once

#include "arithmetic/level.h"
#include "arithmetic/pool_bin.h"
#include "arithmetic/pool_taps.h"
#include "feature_layout.cuh"
#include "maskrt_plugins.h"

namespace maskrt {

// Seven warps: with 256 float16 channels each is one row of 7x7 bins, and the block the whole RoI.
constexpr int kRoiAlignThreads = 224;
constexpr int kRoiAlignBlocks = 2;  // that a multiprocessor can hold at least; with 3 some architectures spill

template <template <typename> class Layout, typename T>
MASKRT_HOST_DEVICE int runs_per_row(int output_width)
{
    return (output_width + Layout<T>::kBins - 1) / Layout<T>::kBins;
}

// The RoI that a block works on.
__device__ __forceinline__ unsigned ordered_roi(const MaskrtRoiAlign& call, unsigned place)
{
    if (call.order == nullptr) {
        return place;
    }
    const unsigned rois = static_cast<unsigned>(call.rois_per_image);
    return place / rois * rois + static_cast<unsigned>(__ldg(call.order + place));
}

// An RoI, and the features that it is pooled from.
template <typename T>
struct RoiFeatures {
    const T* image;
    int height, width;
    AxisGrid grid_y, grid_x;
};

template <typename T>
__device__ __forceinline__ RoiFeatures<T> find_features(const MaskrtRoiAlign& call, unsigned roi_index)
{
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const float4 corners = __ldg(reinterpret_cast<const float4*>(call.rois) + roi_index);
    const Box roi{corners.x, corners.y, corners.z, corners.w};
    const int level = select_level(roi, attributes.level_thresholds, attributes.level_count - 1);
    const float scale = attributes.scales[level];
    const bool half_pixel = attributes.half_pixel != 0;
    RoiFeatures<T> features;
    features.height = call.heights[level];
    features.width = call.widths[level];
    features.grid_y
        = make_axis_grid(roi.y1, roi.y2, scale, half_pixel, attributes.output_height, attributes.sampling_ratio);
    features.grid_x
        = make_axis_grid(roi.x1, roi.x2, scale, half_pixel, attributes.output_width, attributes.sampling_ratio);
    const int image = static_cast<int>(roi_index / static_cast<unsigned>(call.rois_per_image));
    const int padded_channels = call.channels_last ? call.channel_stride : call.channels;
    features.image = static_cast<const T*>(call.features[level])
        + static_cast<int64_t>(features.height) * features.width * image * padded_channels;
    return features;
}

// Whether a block shares the taps of its RoI (axis_taps.h): threads that pool neighbouring channels need the same ones.
template <PoolMode kMode, int kSamplingRatio>
constexpr bool kSharesTaps = kMode == PoolMode::kAverage && kSamplingRatio == kMergedSamples;

static_assert(kMostMergedBins <= kRoiAlignThreads, "each of these threads has one bin of an axis");

// For the threads of a block together: of the bins of its RoI, first those of the y axis.
template <typename T>
__device__ __forceinline__ void share_taps(
    const MaskrtRoiAlign& call, const RoiFeatures<T>& features, AxisTaps (&taps)[kMostMergedBins])
{
    const int rows = call.attributes.output_height;
    const int bin = static_cast<int>(threadIdx.x);
    if (bin < rows) {
        taps[bin] = make_axis_taps(features.grid_y, bin, features.height);
    } else if (bin < rows + call.attributes.output_width) {
        taps[bin] = make_axis_taps(features.grid_x, bin - rows, features.width);
    }
    __syncthreads();
}

// Pools a run of bins and calls store(bin, valid, pooled) for each of them; so many of the kChannels values as `valid`
// says are channels of the features.
template <typename T, template <typename> class Layout, PoolMode kMode, int kSamplingRatio, typename Store>
__device__ __forceinline__ void pool_run(const MaskrtRoiAlign& call, const RoiFeatures<T>& features,
    const AxisTaps* taps, int run, int group, const Store& store)
{
    constexpr int kChannels = Layout<T>::kChannels;
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const int runs_of_row = runs_per_row<Layout, T>(attributes.output_width);
    const int bin_y = run / runs_of_row;
    const int first_bin_x = (run - bin_y * runs_of_row) * Layout<T>::kBins;
    const int end_bin_x = min(first_bin_x + Layout<T>::kBins, attributes.output_width);
    const int channel = group * kChannels;
    const int valid = call.channels - channel;
    const int64_t plane = static_cast<int64_t>(features.height) * features.width;
    const T* base = features.image + Layout<T>::channel_offset(channel, plane);
    float pooled[kChannels];
    if constexpr (kSharesTaps<kMode, kSamplingRatio>) {
        const AxisTaps y = taps[bin_y];
        const T* lines[kMostTaps];
        for (int row = 0; row < kMostTaps; ++row) {
            lines[row] = Layout<T>::line(base, (row < y.count ? y.pixel[row] : 0) * features.width, call.channel_stride);
        }
        const auto load = [&](int row, int column, float(&values)[kChannels]) {
            Layout<T>::load(lines[row], column, plane, call.channel_stride, valid, values);
        };
#pragma unroll 1
        for (int bin_x = first_bin_x; bin_x < end_bin_x; ++bin_x) {
            const AxisTaps x = taps[attributes.output_height + bin_x];
            pool_taps<Layout<T>::kSameBin>(y, x, load, pooled);
            store(bin_y * attributes.output_width + bin_x, valid, pooled);
        }
    } else {
        const auto load = [&](int pixel, float(&values)[kChannels]) {
            Layout<T>::load(base, pixel, plane, call.channel_stride, valid, values);
        };
#pragma unroll 1
        for (int bin_x = first_bin_x; bin_x < end_bin_x; ++bin_x) {
            pool_bin<kMode, kSamplingRatio>(features.grid_y, features.grid_x, bin_y, bin_x, features.height,
                features.width, load, pooled);
            store(bin_y * attributes.output_width + bin_x, valid, pooled);
        }
    }
}

// The output lies as the features do.
template <typename T, template <typename> class Layout, PoolMode kMode, int kSamplingRatio>
__global__ void __launch_bounds__(kRoiAlignThreads, kRoiAlignBlocks)
    roi_align_kernel(const __grid_constant__ MaskrtRoiAlign call, unsigned blocks_per_roi)
{
    constexpr int kChannels = Layout<T>::kChannels;
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const unsigned place = blockIdx.x / blocks_per_roi;
    const unsigned roi_index = ordered_roi(call, place);
    const RoiFeatures<T> features = find_features<T>(call, roi_index);
    [[maybe_unused]] __shared__ AxisTaps taps[kMostMergedBins];
    if constexpr (kSharesTaps<kMode, kSamplingRatio>) {
        share_taps(call, features, taps);
    }
    const int item = static_cast<int>((blockIdx.x - place * blocks_per_roi) * kRoiAlignThreads + threadIdx.x);
    const int bins = attributes.output_height * attributes.output_width;
    const int runs = attributes.output_height * runs_per_row<Layout, T>(attributes.output_width);
    const int padded_channels = call.channels_last ? call.channel_stride : call.channels;
    const int groups = (padded_channels + kChannels - 1) / kChannels;
    if (item >= runs * groups) {
        return;
    }
    int run, group;
    Layout<T>::split(item, runs, groups, run, group);
    T* output = static_cast<T*>(call.output) + static_cast<int64_t>(roi_index) * bins * padded_channels
        + Layout<T>::channel_offset(group * kChannels, bins);
    // What is behind the channels becomes zero, whatever the features hold there.
    pool_run<T, Layout, kMode, kSamplingRatio>(
        call, features, taps, run, group, [&](int bin, int valid, const float(&pooled)[kChannels]) {
            Layout<T>::store(output, bin, bins, call.channel_stride, valid, pooled);
        });
}

// Features channels last, output channels first: what follows a pooling of boxes is a matrix product, which reads a
// RoI's values in that order. The block gathers them in shared memory, and writes them as they lie in the output.
// blockIdx.x: blocks_per_roi blocks to an RoI, each with all bins of groups_per_block groups of channels.
template <typename T, PoolMode kMode, int kSamplingRatio>
__global__ void __launch_bounds__(kRoiAlignThreads, kRoiAlignBlocks) roi_align_linear_kernel(
    const __grid_constant__ MaskrtRoiAlign call, unsigned blocks_per_roi, int groups_per_block)
{
    using Layout = ChannelsLast<T>;
    constexpr int kChannels = Layout::kChannels;
    __shared__ T gathered[kRoiAlignThreads * Layout::kBins * kChannels];
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const unsigned place = blockIdx.x / blocks_per_roi;
    const unsigned roi_index = ordered_roi(call, place);
    const RoiFeatures<T> features = find_features<T>(call, roi_index);
    [[maybe_unused]] __shared__ AxisTaps taps[kMostMergedBins];
    if constexpr (kSharesTaps<kMode, kSamplingRatio>) {
        share_taps(call, features, taps);
    }
    const int first_group = static_cast<int>(blockIdx.x - place * blocks_per_roi) * groups_per_block;
    const int bins = attributes.output_height * attributes.output_width;
    const int runs = attributes.output_height * runs_per_row<ChannelsLast, T>(attributes.output_width);
    const int thread = static_cast<int>(threadIdx.x);
    const int run = thread / groups_per_block;
    const int local_group = thread - run * groups_per_block;
    if (run < runs && (first_group + local_group) * kChannels < call.channels) {
        T* target = gathered + local_group * kChannels * bins;
        pool_run<T, ChannelsLast, kMode, kSamplingRatio>(
            call, features, taps, run, first_group + local_group, [&](int bin, int, const float(&pooled)[kChannels]) {
                for (int k = 0; k < kChannels; ++k) {
                    store_as(target + k * bins + bin, pooled[k]);
                }
            });
    }
    __syncthreads();
    const int first_channel = first_group * kChannels;
    const int count = min(groups_per_block * kChannels, call.channels - first_channel) * bins;
    T* output = static_cast<T*>(call.output) + static_cast<int64_t>(roi_index) * call.channels * bins
        + static_cast<int64_t>(first_channel) * bins;
    for (int i = thread; i < count; i += kRoiAlignThreads) {
        output[i] = gathered[i];
    }
}

}  // namespace maskrt

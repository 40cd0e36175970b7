// MultilevelRoIAlign: every RoI from its own pyramid level, in one launch.
//
// A block works on one RoI, a thread on kChannels channels of a run of kBins bins in one row. Coordinates, weights and
// sums are float32 whatever the features are; a float16 result is the float32 one rounded once.
#pragma once

#include "arithmetic/level.h"
#include "arithmetic/pool_bin.h"
#include "feature_layout.cuh"
#include "maskrt_plugins.h"

namespace maskrt {

// Seven warps: with 256 float16 channels each is one row of 7x7 bins, and the block the whole RoI.
constexpr int kRoiAlignThreads = 224;
constexpr int kRoiAlignBlocks = 2;  // that a multiprocessor can hold at least; with 3 some architectures spill

template <typename T, template <typename> class Layout, PoolMode kMode, int kSamplingRatio>
__global__ void __launch_bounds__(kRoiAlignThreads, kRoiAlignBlocks)
    roi_align_kernel(const __grid_constant__ MaskrtRoiAlign call, unsigned blocks_per_roi)
{
    constexpr int kChannels = Layout<T>::kChannels;
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const unsigned roi_index = blockIdx.x / blocks_per_roi;
    const int item = static_cast<int>((blockIdx.x - roi_index * blocks_per_roi) * kRoiAlignThreads + threadIdx.x);
    const int bins = attributes.output_height * attributes.output_width;
    const int runs_per_row = (attributes.output_width + Layout<T>::kBins - 1) / Layout<T>::kBins;
    const int runs = attributes.output_height * runs_per_row;
    const int padded_channels = call.channels_last ? call.channel_stride : call.channels;
    const int groups = (padded_channels + kChannels - 1) / kChannels;
    if (item >= runs * groups) {
        return;
    }
    int run, group;
    Layout<T>::split(item, runs, groups, run, group);
    const int bin_y = run / runs_per_row;
    const int first_bin_x = (run - bin_y * runs_per_row) * Layout<T>::kBins;
    const int end_bin_x = min(first_bin_x + Layout<T>::kBins, attributes.output_width);
    const int channel = group * kChannels;
    const int valid = call.channels - channel;  // what is behind the channels becomes zero, whatever the features hold

    const float4 corners = __ldg(reinterpret_cast<const float4*>(call.rois) + roi_index);
    const Box roi{corners.x, corners.y, corners.z, corners.w};
    const int level = select_level(roi, attributes.level_thresholds, attributes.level_count - 1);
    const int height = call.heights[level];
    const int width = call.widths[level];
    const float scale = attributes.scales[level];
    const bool half_pixel = attributes.half_pixel != 0;
    const AxisGrid grid_y
        = make_axis_grid(roi.y1, roi.y2, scale, half_pixel, attributes.output_height, attributes.sampling_ratio);
    const AxisGrid grid_x
        = make_axis_grid(roi.x1, roi.x2, scale, half_pixel, attributes.output_width, attributes.sampling_ratio);

    const int64_t plane = static_cast<int64_t>(height) * width;
    const int image = static_cast<int>(roi_index / static_cast<unsigned>(call.rois_per_image));
    const T* base = static_cast<const T*>(call.features[level]) + image * plane * padded_channels
        + Layout<T>::channel_offset(channel, plane);
    const auto load = [&](int pixel, float(&values)[kChannels]) {
        Layout<T>::load(base, pixel, plane, call.channel_stride, valid, values);
    };
    T* output = static_cast<T*>(call.output) + static_cast<int64_t>(roi_index) * bins * padded_channels
        + Layout<T>::channel_offset(channel, bins);
#pragma unroll 1
    for (int bin_x = first_bin_x; bin_x < end_bin_x; ++bin_x) {
        float pooled[kChannels];
        pool_bin<kMode, kSamplingRatio>(grid_y, grid_x, bin_y, bin_x, height, width, load, pooled);
        const int64_t bin = static_cast<int64_t>(bin_y) * attributes.output_width + bin_x;
        Layout<T>::store(output, bin, bins, call.channel_stride, valid, pooled);
    }
}

}  // namespace maskrt

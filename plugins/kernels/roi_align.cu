// Chooses the MultilevelRoIAlign kernel for a call and launches it.
#include "roi_align.h"

#include <limits.h>

#include "launch.h"
#include "roi_align_kernel.cuh"

namespace maskrt {
namespace {

// detectron2's and torchvision's detectors sample 2x2; the compiler unrolls that case.
constexpr int kUnrolledSamplingRatio = 2;

template <typename T, template <typename> class Layout, PoolMode kMode, int kSamplingRatio>
int32_t launch_kernel(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    constexpr int kChannels = Layout<T>::kChannels;
    for (int level = 0; level < call.attributes.level_count; ++level) {
        if (static_cast<int64_t>(call.heights[level]) * call.widths[level] > INT_MAX) {
            return MASKRT_TOO_LARGE;
        }
    }
    const int64_t rois = static_cast<int64_t>(call.batch) * call.rois_per_image;
    const int64_t padded_channels = call.channels_last ? call.channel_stride : call.channels;
    const int64_t groups = (padded_channels + kChannels - 1) / kChannels;
    const int64_t runs_per_row = (call.attributes.output_width + Layout<T>::kBins - 1) / Layout<T>::kBins;
    const int64_t items = call.attributes.output_height * runs_per_row * groups;
    const int64_t blocks_per_roi = (items + kRoiAlignThreads - 1) / kRoiAlignThreads;
    if (rois * items == 0) {
        return 0;
    }
    if (items > INT_MAX - kRoiAlignThreads || rois * blocks_per_roi > INT_MAX) {
        return MASKRT_TOO_LARGE;
    }
    return launch(&roi_align_kernel<T, Layout, kMode, kSamplingRatio>, dim3(static_cast<unsigned>(rois * blocks_per_roi)),
        dim3(kRoiAlignThreads), stream, call, static_cast<unsigned>(blocks_per_roi));
}

template <typename T, template <typename> class Layout>
int32_t launch_layout(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    const bool unrolled = call.attributes.sampling_ratio == kUnrolledSamplingRatio;
    if (call.attributes.max_mode != 0) {
        return unrolled ? launch_kernel<T, Layout, PoolMode::kMax, kUnrolledSamplingRatio>(call, stream)
                        : launch_kernel<T, Layout, PoolMode::kMax, 0>(call, stream);
    }
    return unrolled ? launch_kernel<T, Layout, PoolMode::kAverage, kUnrolledSamplingRatio>(call, stream)
                    : launch_kernel<T, Layout, PoolMode::kAverage, 0>(call, stream);
}

bool is_valid(const MaskrtRoiAlign& call)
{
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    if (attributes.level_count < 1 || attributes.level_count > MASKRT_MAX_LEVELS || attributes.output_height < 1
        || attributes.output_width < 1 || attributes.sampling_ratio < 0
        || (attributes.max_mode != 0 && attributes.sampling_ratio == 0)) {
        return false;
    }
    if (call.batch < 0 || call.rois_per_image < 0 || call.channels < 0) {
        return false;
    }
    for (int level = 0; level < attributes.level_count; ++level) {
        if (call.heights[level] < 1 || call.widths[level] < 1) {
            return false;
        }
    }
    const int vector = call.data_type == MASKRT_FLOAT16 ? 8 : 4;
    return call.channels_last == 0 || (call.channel_stride >= call.channels && call.channel_stride % vector == 0);
}

}  // namespace

int32_t launch_roi_align(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    if (!is_valid(call)) {
        return MASKRT_INVALID_ARGUMENT;
    }
    if (call.data_type == MASKRT_FLOAT16) {
        return call.channels_last ? launch_layout<__half, ChannelsLast>(call, stream)
                                  : launch_layout<__half, ChannelsFirst>(call, stream);
    }
    return call.channels_last ? launch_layout<float, ChannelsLast>(call, stream)
                              : launch_layout<float, ChannelsFirst>(call, stream);
}

}  // namespace maskrt

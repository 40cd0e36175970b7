// Chooses the MultilevelRoIAlign kernel for a call and launches it.
#include "roi_align.h"

#include <limits.h>

#include "launch.h"
#include "roi_align_kernel.cuh"
#include "roi_order_kernel.cuh"

namespace maskrt {
namespace {

static_assert(kRoiAlignThreads == 224 && ChannelsLast<__half>::kBins == 7 && ChannelsLast<float>::kBins == 7,
    "writes_linear counts with them");

// detectron2's and torchvision's detectors sample 2x2; the compiler unrolls that case, and a mean merges its taps.
constexpr int kUnrolledSamplingRatio = kMergedSamples;

bool pools_taps(const MaskrtRoiAlignAttributes& attributes)
{
    return merges_taps(attributes.sampling_ratio, attributes.output_height, attributes.output_width);
}

template <typename T, template <typename> class Layout, PoolMode kMode, int kSamplingRatio>
int32_t launch_kernel(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    constexpr int kChannels = Layout<T>::kChannels;
    const int64_t rois = static_cast<int64_t>(call.batch) * call.rois_per_image;
    const int64_t padded_channels = call.channels_last ? call.channel_stride : call.channels;
    const int64_t groups = (padded_channels + kChannels - 1) / kChannels;
    const int64_t runs_of_row = runs_per_row<Layout, T>(call.attributes.output_width);
    const int64_t items = call.attributes.output_height * runs_of_row * groups;
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

// A block has all bins of some groups of channels, a thread a run of bins of one group.
template <typename T, int kSamplingRatio>
int32_t launch_linear(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    constexpr int kChannels = ChannelsLast<T>::kChannels;
    const int64_t rois = static_cast<int64_t>(call.batch) * call.rois_per_image;
    const int groups = (call.channels + kChannels - 1) / kChannels;
    const int64_t runs = static_cast<int64_t>(call.attributes.output_height)
        * runs_per_row<ChannelsLast, T>(call.attributes.output_width);
    if (rois * groups == 0) {
        return 0;
    }
    const int groups_per_block = static_cast<int>(kRoiAlignThreads / runs);
    const int64_t blocks_per_roi = (groups + groups_per_block - 1) / groups_per_block;
    if (rois * blocks_per_roi > INT_MAX) {
        return MASKRT_TOO_LARGE;
    }
    return launch(&roi_align_linear_kernel<T, PoolMode::kAverage, kSamplingRatio>,
        dim3(static_cast<unsigned>(rois * blocks_per_roi)), dim3(kRoiAlignThreads), stream, call,
        static_cast<unsigned>(blocks_per_roi), groups_per_block);
}

template <typename T>
int32_t launch_linear(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    return pools_taps(call.attributes) ? launch_linear<T, kUnrolledSamplingRatio>(call, stream)
                                        : launch_linear<T, 0>(call, stream);
}

template <typename T, template <typename> class Layout>
int32_t launch_layout(const MaskrtRoiAlign& call, cudaStream_t stream)
{
    if (call.attributes.max_mode != 0) {
        const bool unrolled = call.attributes.sampling_ratio == kUnrolledSamplingRatio;
        return unrolled ? launch_kernel<T, Layout, PoolMode::kMax, kUnrolledSamplingRatio>(call, stream)
                        : launch_kernel<T, Layout, PoolMode::kMax, 0>(call, stream);
    }
    return pools_taps(call.attributes)
        ? launch_kernel<T, Layout, PoolMode::kAverage, kUnrolledSamplingRatio>(call, stream)
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
    if (call.linear_output != 0 && (call.channels_last == 0 || !writes_linear(attributes))) {
        return false;
    }
    const int vector = call.data_type == MASKRT_FLOAT16 ? 8 : 4;
    return call.channels_last == 0 || (call.channel_stride >= call.channels && call.channel_stride % vector == 0);
}

// Where the features of an image fit into the second-level cache, the order of the RoIs hardly matters.
bool order_pays(const MaskrtRoiAlign& call)
{
    if (call.order == nullptr || call.rois_per_image < 2 || call.rois_per_image > kSortTile || call.channels == 0) {
        return false;
    }
    int64_t pixels = 0;
    for (int level = 0; level < call.attributes.level_count; ++level) {
        pixels += static_cast<int64_t>(call.heights[level]) * call.widths[level];
    }
    return pixels * call.channels * (call.data_type == MASKRT_FLOAT16 ? 2 : 4) > cache_bytes();
}

}  // namespace

int32_t launch_roi_align(const MaskrtRoiAlign& given, cudaStream_t stream)
{
    if (!is_valid(given)) {
        return MASKRT_INVALID_ARGUMENT;
    }
    for (int level = 0; level < given.attributes.level_count; ++level) {
        if (static_cast<int64_t>(given.heights[level]) * given.widths[level] > INT_MAX) {
            return MASKRT_TOO_LARGE;
        }
    }
    MaskrtRoiAlign call = given;
    if (given.batch == 0 || !order_pays(given)) {
        call.order = nullptr;
    } else {
        const int32_t status = launch(
            &roi_order_kernel, dim3(static_cast<unsigned>(call.batch)), dim3(kSortThreads), stream, call);
        if (status != 0) {
            return status;
        }
    }
    if (call.linear_output != 0) {
        return call.data_type == MASKRT_FLOAT16 ? launch_linear<__half>(call, stream) : launch_linear<float>(call, stream);
    }
    if (call.data_type == MASKRT_FLOAT16) {
        return call.channels_last ? launch_layout<__half, ChannelsLast>(call, stream)
                                  : launch_layout<__half, ChannelsFirst>(call, stream);
    }
    return call.channels_last ? launch_layout<float, ChannelsLast>(call, stream)
                              : launch_layout<float, ChannelsFirst>(call, stream);
}

}  // namespace maskrt

// The launcher of MultilevelRoIAlign.
#pragma once

#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

namespace maskrt {

// Whether channels-last features can be pooled into a channels-first output: the mean, of so many bins that a block has
// them all.
inline bool writes_linear(const MaskrtRoiAlignAttributes& attributes)
{
    constexpr int64_t kMostRuns = 224;  // kRoiAlignThreads, of 7 bins each
    const int64_t runs = static_cast<int64_t>(attributes.output_height) * ((attributes.output_width + 6) / 7);
    return attributes.max_mode == 0 && runs <= kMostRuns;
}

// Queues the operation on the stream. Returns a status as maskrt_plugins.h describes.
int32_t launch_roi_align(const MaskrtRoiAlign& call, cudaStream_t stream);

}  // namespace maskrt

// Queueing parts of non-maximum suppression.
#pragma once

#include <cuda_runtime_api.h>

#include "nms_round.h"

namespace maskrt {

// What is wrong with a call's sizes, as a status.
int32_t check_nms_sizes(int64_t batch, int64_t boxes_per_image, int64_t max_output);

// All that follows once candidates lie in sorted runs in a workspace of `nms_workspace_layout`, and the outputs are empty.
int32_t launch_nms_of_runs(const MaskrtBatchedNms& call, void* workspace, cudaStream_t stream);

// The suppression of the first candidates of all images.
int32_t launch_nms_round(const NmsRound& round, cudaStream_t stream);

}  // namespace maskrt

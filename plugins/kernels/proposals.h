// The launcher of GenerateProposals.
#pragma once

#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

namespace maskrt {

// Queues the operation on the stream. workspace: proposal_workspace_layout(...).total bytes, 256-byte aligned, whatever it
// holds. Returns a status as maskrt_plugins.h describes.
int32_t launch_proposals(const MaskrtProposals& call, void* workspace, cudaStream_t stream);

}  // namespace maskrt

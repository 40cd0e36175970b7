// The launcher of DetectionOutput.
#pragma once

#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

namespace maskrt {

// Queues the operation on the stream; the workspace is that of `detection_workspace_layout`. Returns a status as
// maskrt_plugins.h describes.
int32_t launch_detections(const MaskrtDetections& call, void* workspace, cudaStream_t stream);

}  // namespace maskrt

// The launcher of resizing and padding.
#pragma once

#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

namespace maskrt {

// Queues the operation on the stream. workspace: resize_workspace_bytes(call), at a multiple of 16, whatever they hold.
// Returns a status as maskrt_plugins.h describes.
int32_t launch_resize_pad(const MaskrtResizePad& call, void* workspace, cudaStream_t stream);

}  // namespace maskrt

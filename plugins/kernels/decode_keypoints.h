// The launcher of DecodeKeypoints.
#pragma once

#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

namespace maskrt {

// Queues the operation on the stream. Returns a status as maskrt_plugins.h describes.
int32_t launch_decode_keypoints(const MaskrtDecodeKeypoints& call, cudaStream_t stream);

}  // namespace maskrt

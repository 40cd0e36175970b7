// Queues the suppression of the first candidates of all images.
#pragma once

#include <cuda_runtime_api.h>

#include "nms_round.h"

namespace maskrt {

int32_t launch_nms_round(const NmsRound& round, cudaStream_t stream);

}  // namespace maskrt

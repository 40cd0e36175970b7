// Launches DecodeKeypoints.
#include "decode_keypoints.h"

#include <limits.h>

#include "decode_keypoints_kernel.cuh"
#include "launch.h"

namespace maskrt {

int32_t launch_decode_keypoints(const MaskrtDecodeKeypoints& call, cudaStream_t stream)
{
    const int32_t status = check_decode_keypoints(call);
    const int64_t blocks = static_cast<int64_t>(call.rois) * call.keypoints;
    if (status != 0 || blocks == 0) {
        return status;
    }
    if (blocks > INT_MAX) {
        return MASKRT_TOO_LARGE;
    }
    return launch(
        &decode_keypoints_kernel, dim3(static_cast<unsigned>(blocks)), dim3(kKeypointThreads), stream, call);
}

}  // namespace maskrt

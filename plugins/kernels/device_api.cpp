// The kernels behind a C interface on raw device pointers, for use without TensorRT.
#include "maskrt_plugins.h"

#include "arithmetic/resize_limits.h"
#include "batched_nms.h"
#include "decode_keypoints.h"
#include "detection_workspace.h"
#include "detections.h"
#include "nms_workspace.h"
#include "paste_rle.h"
#include "paste_workspace.h"
#include "pillow_workspace.h"
#include "proposal_workspace.h"
#include "proposals.h"
#include "resize_pad.h"
#include "roi_align.h"

extern "C" int32_t maskrt_abi_version(void)
{
    return MASKRT_ABI_VERSION;
}

extern "C" const char* maskrt_status_string(int32_t status)
{
    switch (status) {
    case MASKRT_INVALID_ARGUMENT: return "an argument is out of its range";
    case MASKRT_TOO_LARGE: return "the call is too large for one launch";
    default: return cudaGetErrorString(static_cast<cudaError_t>(status));
    }
}

extern "C" int32_t maskrt_roi_align_launch(const MaskrtRoiAlign* call, void* stream)
{
    return maskrt::launch_roi_align(*call, static_cast<cudaStream_t>(stream));
}

extern "C" uint64_t maskrt_batched_nms_workspace(int32_t batch, int32_t boxes_per_image, int32_t max_output)
{
    return maskrt::nms_workspace_layout({batch, boxes_per_image, max_output}).total;
}

extern "C" int32_t maskrt_batched_nms_launch(const MaskrtBatchedNms* call, void* workspace, void* stream)
{
    return maskrt::launch_batched_nms(*call, workspace, static_cast<cudaStream_t>(stream));
}

extern "C" int32_t maskrt_decode_keypoints_launch(const MaskrtDecodeKeypoints* call, void* stream)
{
    return maskrt::launch_decode_keypoints(*call, static_cast<cudaStream_t>(stream));
}

extern "C" uint64_t maskrt_proposals_workspace(const MaskrtProposals* call)
{
    return maskrt::proposal_workspace_layout(maskrt::ProposalSizes(*call)).total;
}

extern "C" int32_t maskrt_proposals_launch(const MaskrtProposals* call, void* workspace, void* stream)
{
    return maskrt::launch_proposals(*call, workspace, static_cast<cudaStream_t>(stream));
}

extern "C" uint64_t maskrt_detections_workspace(const MaskrtDetections* call)
{
    return maskrt::detection_workspace_layout(maskrt::detection_sizes(*call)).total;
}

extern "C" int32_t maskrt_detections_launch(const MaskrtDetections* call, void* workspace, void* stream)
{
    return maskrt::launch_detections(*call, workspace, static_cast<cudaStream_t>(stream));
}

extern "C" uint64_t maskrt_resize_pad_workspace(const MaskrtResizePad* call)
{
    return maskrt::check_resize_pad(*call) == 0 ? maskrt::resize_workspace_bytes(*call) : 0;
}

extern "C" int32_t maskrt_resize_pad_launch(const MaskrtResizePad* call, void* workspace, void* stream)
{
    return maskrt::launch_resize_pad(*call, workspace, static_cast<cudaStream_t>(stream));
}

extern "C" uint64_t maskrt_paste_rle_workspace(int32_t instances, int32_t image_width)
{
    return static_cast<uint64_t>(instances * maskrt::paste_tiles(image_width)) * sizeof(maskrt::PasteTile);
}

extern "C" int32_t maskrt_paste_rle_launch(const MaskrtPasteRle* call, void* workspace, void* stream)
{
    return maskrt::launch_paste_rle(*call, workspace, static_cast<cudaStream_t>(stream));
}

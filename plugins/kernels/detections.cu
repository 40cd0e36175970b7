// DetectionOutput: a fixed sequence of launches for given sizes, with nothing read back, so that a CUDA graph can hold it.
// Non-maximum suppression is that of BatchedNMS, from its sorted runs on.
#include "detections.h"

#include "detection_candidates.cuh"
#include "detection_workspace.h"
#include "launch.h"
#include "nms_launch.h"

namespace maskrt {
namespace {

int32_t check_detections(const MaskrtDetections& call)
{
    const MaskrtDetectionAttributes& attributes = call.attributes;
    if (call.proposals_per_image < 0 || call.labels < 2 || attributes.activation < MASKRT_SOFTMAX
        || attributes.activation > MASKRT_SCORES) {
        return MASKRT_INVALID_ARGUMENT;
    }
    return check_nms_sizes(call.batch, static_cast<int64_t>(call.proposals_per_image) * (call.labels - 1),
        attributes.max_detections);
}

}  // namespace

int32_t launch_detections(const MaskrtDetections& call, void* workspace, cudaStream_t stream)
{
    const int32_t limits = check_detections(call);
    if (limits != 0 || call.batch == 0) {
        return limits;
    }
    const NmsSizes sizes = detection_sizes(call);
    const NmsWorkspaceLayout nms_layout = nms_workspace_layout(sizes);
    const DetectionWorkspaceLayout layout = detection_workspace_layout(sizes);
    const auto at = [workspace](uint64_t offset) { return static_cast<void*>(static_cast<char*>(workspace) + offset); };
    DetectionLists lists{};
    lists.call = call;
    lists.nms.batch = call.batch;
    lists.nms.boxes_per_image = sizes.boxes;
    lists.nms.max_output = sizes.outputs;
    lists.nms.boxes = static_cast<float*>(at(layout.boxes));
    lists.nms.groups = static_cast<int32_t*>(at(layout.classes));
    lists.nms.iou_threshold = call.nms_threshold;
    lists.nms.num = call.num;
    lists.nms.indices = static_cast<int32_t*>(at(layout.indices));
    lists.scores = static_cast<float*>(at(layout.scores));
    lists.keys = static_cast<uint64_t*>(at(nms_layout.keys[0]));
    lists.run_lengths = static_cast<int32_t*>(at(nms_layout.run_lengths[0]));
    lists.runs = sizes.runs();

    const unsigned batch = static_cast<unsigned>(call.batch);
    int32_t status = launch(
        &candidates_kernel, dim3(static_cast<unsigned>(lists.runs), batch), dim3(kSortThreads), stream, lists);
    if (status == 0) {
        status = launch_nms_of_runs(lists.nms, workspace, stream);
    }
    if (status == 0) {
        const unsigned blocks = static_cast<unsigned>((sizes.outputs + kGatherThreads - 1) / kGatherThreads);
        status = launch(&gather_detections_kernel, dim3(blocks, batch), dim3(kGatherThreads), stream, lists);
    }
    return status;
}

}  // namespace maskrt

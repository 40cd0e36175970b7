// The layout of DetectionOutput's workspace: a function of the call's sizes alone.
#pragma once

#include "maskrt_plugins.h"
#include "nms_workspace.h"

namespace maskrt {

// As non-maximum suppression counts them: a slot for each class of each proposal.
inline NmsSizes detection_sizes(const MaskrtDetections& call)
{
    const int slots = call.proposals_per_image * (call.labels - 1);
    return NmsSizes{call.batch, slots, call.attributes.max_detections};
}

// Byte offsets. Non-maximum suppression has its own first. Boxes, scores and classes are written and read where there is
// a candidate, and nowhere else.
struct DetectionWorkspaceLayout {
    uint64_t boxes;    // float [batch, slots, 4]
    uint64_t scores;   // float [batch, slots]
    uint64_t classes;  // int32 [batch, slots]
    uint64_t indices;  // int32 [batch, max_detections]: slots of the detections
    uint64_t total;
};

inline DetectionWorkspaceLayout detection_workspace_layout(const NmsSizes& sizes)
{
    DetectionWorkspaceLayout layout{};
    layout.total = nms_workspace_layout(sizes).total;
    const auto place = [&](uint64_t rows, uint64_t bytes) {
        const uint64_t offset = layout.total;
        layout.total += (static_cast<uint64_t>(sizes.batch) * rows * bytes + 255) / 256 * 256;
        return offset;
    };
    const uint64_t slots = static_cast<uint64_t>(sizes.boxes);
    layout.boxes = place(slots, 4 * sizeof(float));
    layout.scores = place(slots, sizeof(float));
    layout.classes = place(slots, sizeof(int32_t));
    layout.indices = place(static_cast<uint64_t>(sizes.outputs), sizeof(int32_t));
    return layout;
}

}  // namespace maskrt

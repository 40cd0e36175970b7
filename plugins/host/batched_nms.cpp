// BatchedNMS on the CPU, from the kernels' own arithmetic: the plain greedy loop, in candidate order.
#include "maskrt_plugins.h"

#include <algorithm>
#include <vector>

#include "arithmetic/iou.h"
#include "arithmetic/score_key.h"

namespace {

using namespace maskrt;

struct KeptBox {
    Box box;
    float area;
    int32_t group;
};

void suppress_image(const MaskrtBatchedNms& call, int32_t image)
{
    const int64_t first = static_cast<int64_t>(image) * call.boxes_per_image;
    int32_t* indices = call.indices + static_cast<int64_t>(image) * call.max_output;
    const float iou_threshold = call.iou_threshold[image];
    const float score_threshold = call.score_threshold[image];
    std::vector<uint64_t> candidates;
    for (int32_t i = 0; i < call.boxes_per_image; ++i) {
        if (call.scores[first + i] > score_threshold) {
            candidates.push_back(make_score_key(call.scores[first + i], i));
        }
    }
    std::sort(candidates.begin(), candidates.end());
    std::vector<KeptBox> kept;
    for (const uint64_t key : candidates) {
        if (static_cast<int32_t>(kept.size()) >= call.max_output) {
            break;
        }
        const int32_t index = key_index(key);
        const Box box = load_box(call.boxes + (first + index) * 4);
        const KeptBox candidate{box, box_area(box), call.groups[first + index]};
        const bool suppressed = std::any_of(kept.begin(), kept.end(), [&](const KeptBox& other) {
            return other.group == candidate.group
                && suppresses(other.box, other.area, candidate.box, candidate.area, iou_threshold);
        });
        if (!suppressed) {
            indices[kept.size()] = index;
            kept.push_back(candidate);
        }
    }
    call.num[image] = static_cast<int32_t>(kept.size());
    std::fill(indices + kept.size(), indices + call.max_output, -1);
}

}  // namespace

extern "C" int32_t maskrt_host_batched_nms(const MaskrtBatchedNms* call)
{
    for (int32_t image = 0; image < call->batch; ++image) {
        suppress_image(*call, image);
    }
    return 0;
}

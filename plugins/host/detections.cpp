// DetectionOutput on the CPU, from the kernels' own arithmetic: candidates, then BatchedNMS's plain greedy loop.
#include "maskrt_plugins.h"

#include <algorithm>
#include <vector>

#include "arithmetic/detection.h"

namespace {

using namespace maskrt;

struct Candidates {
    std::vector<float> boxes, scores;
    std::vector<int32_t> classes;
};

Softmax add_up(const float* logits, int32_t labels)
{
    Softmax softmax{-INFINITY, 0.0f};
    for (int32_t label = 0; label < labels; ++label) {
        softmax.largest = fmaxf(softmax.largest, logits[label]);
    }
    float sums[kSoftmaxLanes] = {};
    for (int32_t label = 0; label < labels; ++label) {
        sums[label % kSoftmaxLanes] += exp_float32(logits[label] - softmax.largest);
    }
    for (int distance = kSoftmaxLanes / 2; distance > 0; distance /= 2) {
        for (int lane = 0; lane < distance; ++lane) {
            sums[lane] += sums[lane + distance];
        }
    }
    softmax.sum = sums[0];
    return softmax;
}

void add_proposal(const MaskrtDetections& call, int32_t image, int32_t row, Candidates& found)
{
    const MaskrtDetectionAttributes& attributes = call.attributes;
    const int64_t proposal = static_cast<int64_t>(image) * call.proposals_per_image + row;
    const float* logits = static_cast<const float*>(call.logits) + proposal * call.labels;
    const float* deltas
        = static_cast<const float*>(call.deltas) + proposal * delta_columns(attributes, call.labels);
    const float height = static_cast<float>(call.image_sizes[2 * image]);
    const float width = static_cast<float>(call.image_sizes[2 * image + 1]);
    const Softmax softmax = attributes.activation == MASKRT_SOFTMAX ? add_up(logits, call.labels) : Softmax{};
    for (int32_t object_class = 0; object_class < call.labels - 1; ++object_class) {
        const float logit = logits[label_of_class(attributes, object_class)];
        const float score = score_of_logit(logit, attributes.activation, softmax);
        if (!(score > call.score_threshold[image])) {
            continue;
        }
        const float* first = deltas + first_delta(attributes, object_class);
        const float moves[4] = {first[0], first[1], first[2], first[3]};
        const Box box = clip_box(decode_box(attributes, load_box(call.proposals + proposal * 4), moves), width, height);
        if (is_large_enough(attributes, box)) {
            const float corners[4] = {box.x1, box.y1, box.x2, box.y2};
            found.boxes.insert(found.boxes.end(), corners, corners + 4);
            found.scores.push_back(score);
            found.classes.push_back(object_class + 1);
        }
    }
}

void detect(const MaskrtDetections& call, int32_t image)
{
    const int32_t most = call.attributes.max_detections;
    Candidates found;
    for (int32_t row = 0; row < existing_proposals(call, image); ++row) {
        add_proposal(call, image, row, found);
    }
    std::vector<int32_t> indices(static_cast<size_t>(most));
    MaskrtBatchedNms nms{};
    nms.batch = 1;
    nms.boxes_per_image = static_cast<int32_t>(found.scores.size());
    nms.max_output = most;
    nms.boxes = found.boxes.data();
    nms.scores = found.scores.data();
    nms.groups = found.classes.data();
    nms.iou_threshold = call.nms_threshold + image;
    nms.score_threshold = call.score_threshold + image;
    nms.num = call.num + image;
    nms.indices = indices.data();
    maskrt_host_batched_nms(&nms);
    for (int32_t i = 0; i < most; ++i) {
        const int64_t target = static_cast<int64_t>(image) * most + i;
        const bool exists = i < call.num[image];
        const size_t source = exists ? static_cast<size_t>(indices[static_cast<size_t>(i)]) : 0;
        for (size_t side = 0; side < 4; ++side) {
            call.boxes[4 * target + static_cast<int64_t>(side)] = exists ? found.boxes[4 * source + side] : 0.0f;
        }
        call.scores[target] = exists ? found.scores[source] : 0.0f;
        call.classes[target] = exists ? found.classes[source] : 0;
    }
}

}  // namespace

extern "C" int32_t maskrt_host_detections(const MaskrtDetections* call)
{
    for (int32_t image = 0; image < call->batch; ++image) {
        detect(*call, image);
    }
    return 0;
}

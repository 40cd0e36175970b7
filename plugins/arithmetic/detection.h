// From what a box head says of a proposal to detections: scores, and which of them belong to which box.
#pragma once

#include "box_coder.h"
#include "maskrt_plugins.h"

namespace maskrt {

// Lanes that share the sum of a softmax: lane i adds up labels i, i + 32, …, then sums are joined with those 16, 8, 4, 2
// and 1 lanes further on. Host and GPU add in this order.
constexpr int kSoftmaxLanes = 32;

// What the scores of a proposal depend on beside their own logits.
struct Softmax {
    float largest;  // logit
    float sum;      // of exp(logit - largest); NaN where a logit is NaN or +infinity, and then so are all scores
};

MASKRT_HOST_DEVICE float score_of_logit(float logit, int32_t activation, const Softmax& softmax)
{
    switch (activation) {
    case MASKRT_SOFTMAX: return exp_float32(logit - softmax.largest) / softmax.sum;
    case MASKRT_SIGMOID: return sigmoid_float32(logit);
    default: return logit;
    }
}

// Candidates of an image are numbered proposal by proposal, class by class; the background is no class.
MASKRT_HOST_DEVICE int32_t label_of_class(const MaskrtDetectionAttributes& attributes, int32_t object_class)
{
    return attributes.background_first != 0 ? object_class + 1 : object_class;
}

// Deltas of a proposal.
MASKRT_HOST_DEVICE int32_t delta_columns(const MaskrtDetectionAttributes& attributes, int32_t labels)
{
    return attributes.class_agnostic != 0 ? 4 : 4 * (attributes.background_first != 0 ? labels : labels - 1);
}

// The first of a class's four.
MASKRT_HOST_DEVICE int32_t first_delta(const MaskrtDetectionAttributes& attributes, int32_t object_class)
{
    return attributes.class_agnostic != 0 ? 0 : 4 * label_of_class(attributes, object_class);
}

MASKRT_HOST_DEVICE int32_t existing_proposals(const MaskrtDetections& call, int32_t image)
{
    const int32_t num = call.num_proposals[image];
    return num < 0 ? 0 : num > call.proposals_per_image ? call.proposals_per_image : num;
}

}  // namespace maskrt

// From what a region proposal network says of an anchor to a proposal (Ren et al. 2015): the score that ranks it, its
// box, and whether it is one.
#pragma once

#include "box_coder.h"
#include "exponential.h"
#include "maskrt_plugins.h"
#include "score_key.h"

namespace maskrt {

MASKRT_HOST_DEVICE float score_of(float logit, int32_t by_probability)
{
    return by_probability != 0 ? sigmoid_float32(logit) : logit;
}

// Ascending keys rank anchors as torch.topk does: NaN first, then by falling score; ties by the lower index.
MASKRT_HOST_DEVICE uint64_t make_rank_key(float score, int32_t index)
{
    return make_score_key(score == score ? score : NAN, index);
}

// The anchors of a level that non-maximum suppression sees are in the order of their scores there, ties in the order of
// rank. As probability rises with the logit, that is the order of the logits unless both scores are probabilities.
MASKRT_HOST_DEVICE bool suppression_follows_probability(const MaskrtProposalAttributes& attributes)
{
    return attributes.top_k_by_probability != 0 && attributes.nms_by_probability != 0;
}

// A level of an image, for one anchor of it.
struct AnchorPlace {
    int32_t row, column, cell;
};

// Anchors are numbered row by row, column by column, cell by cell.
MASKRT_HOST_DEVICE AnchorPlace place_anchor(int32_t index, int32_t cells, int32_t width)
{
    const int32_t position = index / cells;
    const int32_t row = position / width;
    return AnchorPlace{row, position - row * width, index - position * cells};
}

MASKRT_HOST_DEVICE Box anchor_box(const float* cell, const AnchorPlace& place, int32_t stride_x, int32_t stride_y, float offset)
{
    const float x = static_cast<float>(place.column * stride_x) + offset;
    const float y = static_cast<float>(place.row * stride_y) + offset;
    return Box{cell[0] + x, cell[1] + y, cell[2] + x, cell[3] + y};
}

// Whether a clipped box may become a proposal; false where the logit or a coordinate is NaN.
MASKRT_HOST_DEVICE bool is_proposal(const MaskrtProposalAttributes& attributes, const Box& box, float logit)
{
    return is_large_enough(attributes, box) && sigmoid_float32(logit) >= attributes.min_probability
        && (attributes.finite_logits == 0 || (logit > -INFINITY && logit < INFINITY));
}

}  // namespace maskrt

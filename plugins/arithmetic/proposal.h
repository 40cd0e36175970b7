// From what a region proposal network says of an anchor to a proposal (Ren et al. 2015): the score that ranks it, its
// box, and whether it is one. The order of operations is torchvision's `BoxCoder.decode_single`.
#pragma once

#include "box.h"
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

// Between the limits, either of which may be infinite; NaN stays NaN, as torch.clamp has it and fminf has not.
MASKRT_HOST_DEVICE float clamp(float value, float least, float most)
{
    return value < least ? least : value > most ? most : value;
}

MASKRT_HOST_DEVICE float weigh(float delta, float weight, int32_t multiply)
{
    return multiply != 0 ? delta * weight : delta / weight;
}

// deltas: dx, dy, dw, dh.
MASKRT_HOST_DEVICE Box decode_box(const MaskrtProposalAttributes& attributes, const Box& anchor, const float (&deltas)[4])
{
    const float dx = weigh(deltas[0], attributes.weights[0], attributes.multiply);
    const float dy = weigh(deltas[1], attributes.weights[1], attributes.multiply);
    const float dw = weigh(deltas[2], attributes.weights[2], attributes.multiply);
    const float dh = weigh(deltas[3], attributes.weights[3], attributes.multiply);
    const float width = anchor.x2 - anchor.x1;
    const float height = anchor.y2 - anchor.y1;
    const float x = dx * width + (anchor.x1 + 0.5f * width);
    const float y = dy * height + (anchor.y1 + 0.5f * height);
    const float half_width = 0.5f * (exp_float32(clamp(dw, attributes.min_log_scale, attributes.max_log_scale)) * width);
    const float half_height = 0.5f * (exp_float32(clamp(dh, attributes.min_log_scale, attributes.max_log_scale)) * height);
    return Box{x - half_width, y - half_height, x + half_width, y + half_height};
}

MASKRT_HOST_DEVICE Box clip_box(const Box& box, float width, float height)
{
    return Box{clamp(box.x1, 0.0f, width), clamp(box.y1, 0.0f, height), clamp(box.x2, 0.0f, width),
        clamp(box.y2, 0.0f, height)};
}

MASKRT_HOST_DEVICE bool is_long_enough(float side, const MaskrtProposalAttributes& attributes)
{
    return attributes.min_side_inclusive != 0 ? side >= attributes.min_side : side > attributes.min_side;
}

// Whether a clipped box may become a proposal; false where the logit or a coordinate is NaN.
MASKRT_HOST_DEVICE bool is_proposal(const MaskrtProposalAttributes& attributes, const Box& box, float logit)
{
    return is_long_enough(box.x2 - box.x1, attributes) && is_long_enough(box.y2 - box.y1, attributes)
        && sigmoid_float32(logit) >= attributes.min_probability
        && (attributes.finite_logits == 0 || (logit > -INFINITY && logit < INFINITY));
}

}  // namespace maskrt

// How deltas move a box (Girshick et al. 2014, appendix C), and what boxes are cut and judged by. The order of operations
// is torchvision's `BoxCoder.decode_single`. `Attributes` are those of an operator that decodes boxes.
#pragma once

#include "box.h"
#include "exponential.h"

namespace maskrt {

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
template <typename Attributes>
MASKRT_HOST_DEVICE Box decode_box(const Attributes& attributes, const Box& box, const float (&deltas)[4])
{
    const float dx = weigh(deltas[0], attributes.weights[0], attributes.multiply);
    const float dy = weigh(deltas[1], attributes.weights[1], attributes.multiply);
    const float dw = weigh(deltas[2], attributes.weights[2], attributes.multiply);
    const float dh = weigh(deltas[3], attributes.weights[3], attributes.multiply);
    const float width = box.x2 - box.x1;
    const float height = box.y2 - box.y1;
    const float x = dx * width + (box.x1 + 0.5f * width);
    const float y = dy * height + (box.y1 + 0.5f * height);
    const float half_width = 0.5f * (exp_float32(clamp(dw, attributes.min_log_scale, attributes.max_log_scale)) * width);
    const float half_height = 0.5f * (exp_float32(clamp(dh, attributes.min_log_scale, attributes.max_log_scale)) * height);
    return Box{x - half_width, y - half_height, x + half_width, y + half_height};
}

MASKRT_HOST_DEVICE Box clip_box(const Box& box, float width, float height)
{
    return Box{clamp(box.x1, 0.0f, width), clamp(box.y1, 0.0f, height), clamp(box.x2, 0.0f, width),
        clamp(box.y2, 0.0f, height)};
}

// Both sides; false where a coordinate is NaN.
template <typename Attributes>
MASKRT_HOST_DEVICE bool is_large_enough(const Attributes& attributes, const Box& box)
{
    const float width = box.x2 - box.x1;
    const float height = box.y2 - box.y1;
    return attributes.min_side_inclusive != 0 ? width >= attributes.min_side && height >= attributes.min_side
                                              : width > attributes.min_side && height > attributes.min_side;
}

}  // namespace maskrt

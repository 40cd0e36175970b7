// When a kept box suppresses another: torchvision csrc/ops/cpu/nms_kernel.cpp, float32, no +1.
#pragma once

#include "box.h"

namespace maskrt {

// True when IoU > threshold; never for a NaN IoU. The same for (a, b) and (b, a), bit for bit.
MASKRT_HOST_DEVICE bool suppresses(const Box& a, float area_a, const Box& b, float area_b, float threshold)
{
    const float width = fmaxf(0.0f, fminf(a.x2, b.x2) - fmaxf(a.x1, b.x1));
    const float height = fmaxf(0.0f, fminf(a.y2, b.y2) - fmaxf(a.y1, b.y1));
    const float intersection = width * height;
    const float union_area = area_a + area_b - intersection;
    // Spares most pairs the division, and is exact: intersection is a float, so being below the rounded product it is
    // below the true one, the true quotient is below the threshold, and so is its rounding at most the threshold.
    if (union_area > 0.0f && intersection < threshold * union_area) {
        return false;
    }
    return intersection / union_area > threshold;
}

}  // namespace maskrt

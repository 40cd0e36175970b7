// The pyramid level of an RoI: FPN paper (arXiv:1612.03144) eq. 1, with its logarithm replaced by thresholds on
// sqrt(area), so that no machine's last bit of log2 moves an RoI to another level.
#pragma once

#include "box.h"

namespace maskrt {

// The number of thresholds that sqrt(area) reaches. NaN (a NaN coordinate, a negative area) reaches none: level 0.
MASKRT_HOST_DEVICE int select_level(const Box& roi, const float* thresholds, int threshold_count)
{
    const float size = sqrtf(box_area(roi));
    int level = 0;
    for (int i = 0; i < threshold_count; ++i) {
        level += size >= thresholds[i] ? 1 : 0;
    }
    return level;
}

}  // namespace maskrt

// A 64-bit key whose ascending order is: score descending, then index ascending. No two candidates share one, so any
// correct sort gives the one order (that of a stable sort by score, which torchvision's CPU nms uses).
#pragma once

#include <string.h>

#include "host_device.h"

namespace maskrt {

constexpr uint64_t kNoCandidate = ~uint64_t{0};  // after every candidate

MASKRT_HOST_DEVICE uint64_t make_score_key(float score, int32_t index)
{
    const float canonical = score + 0.0f;  // -0 becomes +0: they compare equal, so only the index may order them
    uint32_t bits;
    memcpy(&bits, &canonical, sizeof(bits));
    const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return static_cast<uint64_t>(~ascending) << 32 | static_cast<uint32_t>(index);
}

MASKRT_HOST_DEVICE int32_t key_index(uint64_t key)
{
    return static_cast<int32_t>(static_cast<uint32_t>(key));
}

}  // namespace maskrt

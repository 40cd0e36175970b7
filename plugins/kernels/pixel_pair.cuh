// Two neighbouring RGB pixels of a uint8 frame, six bytes at any address, in one or two 8-byte loads.
#pragma once

#include "arithmetic/host_device.h"

namespace maskrt {

// Byte i is channel i of the first pixel, byte 3 + i that of the second; the others are of no account.
struct PixelPair {
    uint64_t bytes;

    __device__ int first(int channel) const
    {
        return static_cast<int>(bytes >> (8 * channel) & 0xff);
    }

    __device__ int second(int channel) const
    {
        return static_cast<int>(bytes >> (24 + 8 * channel) & 0xff);
    }
};

// The pixel at `address` and, unless `alone`, the one behind it; alone, it stands for both. Nothing outside of
// [begin, end), the frame's memory, is read: whole 8-byte words where they lie inside, single bytes at its two ends.
__device__ inline PixelPair load_pixel_pair(
    const uint8_t* address, bool alone, const uint8_t* begin, const uint8_t* end)
{
    const int offset = static_cast<int>(reinterpret_cast<uintptr_t>(address) % 8);
    const uint8_t* word = address - offset;
    uint64_t bytes = 0;
    if (word >= begin && end - word >= 16) {
        bytes = __ldg(reinterpret_cast<const unsigned long long*>(word)) >> (8 * offset);
        if (offset > 2) {
            bytes |= __ldg(reinterpret_cast<const unsigned long long*>(word + 8)) << (64 - 8 * offset);
        }
    } else {
        const int count = alone ? 3 : 6;
#pragma unroll 1
        for (int i = 0; i < count; ++i) {
            bytes |= static_cast<uint64_t>(__ldg(address + i)) << (8 * i);
        }
    }
    if (alone) {
        const uint64_t pixel = bytes & 0xffffff;
        bytes = pixel | pixel << 24;
    }
    return PixelPair{bytes};
}

}  // namespace maskrt

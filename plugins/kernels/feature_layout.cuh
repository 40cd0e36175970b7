// How a thread reads and writes kChannels channels of a pixel in each memory layout, always as float32 in registers.
#pragma once

#include <cuda_fp16.h>

#include "arithmetic/host_device.h"

namespace maskrt {

__device__ inline float to_float(float value)
{
    return value;
}

__device__ inline float to_float(__half value)
{
    return __half2float(value);
}

__device__ inline void store_as(float* address, float value)
{
    *address = value;
}

__device__ inline void store_as(__half* address, float value)
{
    *address = __float2half_rn(value);
}

// [batch, height, width, channel_stride]: 16 bytes at a time. Neighbouring threads take neighbouring channels; a thread
// goes along several bins of a row, so that the RoI and the row's sample positions are worked out once for all of them.
template <typename T>
struct ChannelsLast {
    static constexpr int kChannels = 16 / sizeof(T);
    static constexpr int kBins = 7;
    static constexpr bool kSameBin = true;  // for all threads of a warp, or nearly

    union Vector {
        uint4 bits;
        T values[kChannels];
        __device__ Vector() {}
    };

    // base: the image's first pixel, at the first of the thread's channels.
    __device__ static void load(const T* base, int pixel, int64_t, int channel_stride, int, float (&values)[kChannels])
    {
        // In bytes and from 32-bit factors: one multiply-add instruction.
        const int pixel_bytes = channel_stride * static_cast<int>(sizeof(T));
        const char* address = reinterpret_cast<const char*>(base) + static_cast<int64_t>(pixel) * pixel_bytes;
        Vector vector;
        vector.bits = __ldg(reinterpret_cast<const uint4*>(address));
        for (int k = 0; k < kChannels; ++k) {
            values[k] = to_float(vector.values[k]);
        }
    }

    // Where a line of the image begins, for `load` to count pixels from.
    __device__ static const T* line(const T* base, int first_pixel, int channel_stride)
    {
        return base + static_cast<int64_t>(first_pixel) * channel_stride;
    }

    __device__ static void store(
        T* base, int64_t bin, int, int channel_stride, int valid, const float (&values)[kChannels])
    {
        Vector vector;
        for (int k = 0; k < kChannels; ++k) {
            store_as(&vector.values[k], k < valid ? values[k] : 0.0f);
        }
        *reinterpret_cast<uint4*>(base + bin * channel_stride) = vector.bits;
    }

    // An item is one run of kBins bins, of kChannels channels.
    __device__ static void split(int item, int, int groups, int& run, int& group)
    {
        run = item / groups;
        group = item - run * groups;
    }

    __device__ static int64_t channel_offset(int channel, int64_t)
    {
        return channel;
    }
};

// [batch, channels, height, width]. Neighbouring threads take neighbouring bins; a thread's channels share one
// computation of the sample positions.
template <typename T>
struct ChannelsFirst {
    static constexpr int kChannels = 4;
    static constexpr int kBins = 1;
    static constexpr bool kSameBin = false;

    __device__ static void load(const T* base, int pixel, int64_t plane, int, int valid, float (&values)[kChannels])
    {
        for (int k = 0; k < kChannels; ++k) {
            values[k] = k < valid ? to_float(__ldg(base + pixel + k * plane)) : 0.0f;
        }
    }

    __device__ static const T* line(const T* base, int first_pixel, int)
    {
        return base + first_pixel;
    }

    __device__ static void store(T* base, int64_t bin, int bins, int, int valid, const float (&values)[kChannels])
    {
        for (int k = 0; k < kChannels; ++k) {
            if (k < valid) {
                store_as(base + bin + static_cast<int64_t>(k) * bins, values[k]);
            }
        }
    }

    __device__ static void split(int item, int runs, int, int& run, int& group)
    {
        group = item / runs;
        run = item - group * runs;
    }

    __device__ static int64_t channel_offset(int channel, int64_t plane)
    {
        return channel * plane;
    }
};

}  // namespace maskrt

// Sums and maxima over the threads of a block, in the threads' order.
#pragma once

#include "arithmetic/host_device.h"

namespace maskrt {

constexpr int kWarpThreads = 32;

// A number of things, and the largest position among them (positions ascend with the threads).
struct Run {
    int64_t count;
    int64_t position;
};

__device__ inline Run join(const Run& before, const Run& run)
{
    return Run{before.count + run.count, max(before.position, run.position)};
}

__device__ inline Run shuffle_up(const Run& run, int distance)
{
    return Run{static_cast<int64_t>(__shfl_up_sync(0xffffffffu, static_cast<long long>(run.count), distance)),
        static_cast<int64_t>(__shfl_up_sync(0xffffffffu, static_cast<long long>(run.position), distance))};
}

// The join over all threads before this one; `total` becomes that over the whole block. Every thread of a block of
// kThreads must call it; a second call needs a barrier in between.
template <int kThreads>
__device__ Run scan_block(const Run& mine, Run& total)
{
    constexpr int kWarps = kThreads / kWarpThreads;
    __shared__ Run of_warps[kWarps];
    const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
    const int warp = static_cast<int>(threadIdx.x) / kWarpThreads;
    Run inclusive = mine;
    for (int distance = 1; distance < kWarpThreads; distance *= 2) {
        const Run before = shuffle_up(inclusive, distance);
        if (lane >= distance) {
            inclusive = join(before, inclusive);
        }
    }
    if (lane == kWarpThreads - 1) {
        of_warps[warp] = inclusive;
    }
    __syncthreads();
    Run before{0, 0};
    total = Run{0, 0};
    for (int i = 0; i < kWarps; ++i) {
        if (i == warp) {
            before = total;
        }
        total = join(total, of_warps[i]);
    }
    const Run in_warp = shuffle_up(inclusive, 1);
    return lane == 0 ? before : join(before, in_warp);
}

}  // namespace maskrt

// One sorted run of candidates, in shared memory; what begins non-maximum suppression.
#pragma once

#include "arithmetic/score_key.h"
#include "maskrt_plugins.h"
#include "nms_workspace.h"

namespace maskrt {

constexpr int kSortThreads = kSortTile / 2;

// Puts the first `length` keys of the tile in order. Called by the whole block.
__device__ inline void sort_tile(uint64_t (&tile)[kSortTile], int length)
{
    const int thread = static_cast<int>(threadIdx.x);
    int size = 2;
    while (size < length) {
        size *= 2;
    }
    for (int slot = length + thread; slot < size; slot += kSortThreads) {
        tile[slot] = kNoCandidate;
    }
    __syncthreads();
    // Bitonic sort: `span` doubles from pairs to the whole, `stride` halves down to neighbours.
    for (int span = 2; span <= size; span *= 2) {
        for (int stride = span / 2; stride > 0; stride /= 2) {
            if (thread < size / 2) {
                const int low = 2 * thread - (thread & (stride - 1));
                const int high = low + stride;
                const bool ascending = (low & span) == 0;
                const uint64_t a = tile[low];
                const uint64_t b = tile[high];
                if ((a > b) == ascending) {
                    tile[low] = b;
                    tile[high] = a;
                }
            }
            __syncthreads();
        }
    }
}

// The same, and writes them as a run of an image.
__device__ inline void sort_run(
    uint64_t (&tile)[kSortTile], int length, int image, uint64_t* keys, int32_t* run_lengths, int runs)
{
    sort_tile(tile, length);
    const int thread = static_cast<int>(threadIdx.x);
    uint64_t* run = keys + (static_cast<int64_t>(image) * runs + blockIdx.x) * kSortTile;
    for (int slot = thread; slot < length; slot += kSortThreads) {
        run[slot] = tile[slot];
    }
    if (thread == 0) {
        run_lengths[static_cast<int64_t>(image) * runs + blockIdx.x] = length;
    }
}

// Empties the outputs of an image, so that later kernels only add to them. Called by all blocks of the image.
__device__ inline void empty_outputs(const MaskrtBatchedNms& call, int image)
{
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t stride = static_cast<int64_t>(gridDim.x) * kSortThreads;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kSortThreads + thread; i < call.max_output; i += stride) {
        call.indices[static_cast<int64_t>(image) * call.max_output + i] = -1;
    }
    if (blockIdx.x == 0 && thread == 0) {
        call.num[image] = 0;
    }
}

}  // namespace maskrt

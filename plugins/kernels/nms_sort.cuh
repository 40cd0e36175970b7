// Candidates in order: each block filters and sorts one tile of the scores, then passes of a 4-way merge join the runs.
// Keys are unique (score_key.h), so the order does not depend on how the threads are scheduled.
#pragma once

#include "arithmetic/score_key.h"
#include "maskrt_plugins.h"
#include "nms_workspace.h"

namespace maskrt {

constexpr int kSortThreads = kSortTile / 2;
constexpr int kMergeThreads = 256;

// One block per tile and image. Also empties the outputs, so that later kernels only add to them.
__global__ void __launch_bounds__(kSortThreads)
    sort_tile_kernel(MaskrtBatchedNms call, uint64_t* keys, int32_t* run_lengths, int runs)
{
    __shared__ uint64_t tile[kSortTile];
    __shared__ int candidates;
    const int thread = static_cast<int>(threadIdx.x);
    const int image = static_cast<int>(blockIdx.y);
    const int64_t first_box = static_cast<int64_t>(image) * call.boxes_per_image;
    const float threshold = call.score_threshold[image];
    if (thread == 0) {
        candidates = 0;
    }
    __syncthreads();
    int mine = 0;
    for (int slot = thread; slot < kSortTile; slot += kSortThreads) {
        const int64_t index = static_cast<int64_t>(blockIdx.x) * kSortTile + slot;
        uint64_t key = kNoCandidate;
        if (index < call.boxes_per_image) {
            const float score = call.scores[first_box + index];
            if (score > threshold) {  // false for NaN
                key = make_score_key(score, static_cast<int32_t>(index));
                ++mine;
            }
        }
        tile[slot] = key;
    }
    if (mine > 0) {
        atomicAdd(&candidates, mine);
    }
    __syncthreads();
    const int length = candidates;
    if (length > 0) {
        // Bitonic sort: `span` doubles from pairs to the whole tile, `stride` halves down to neighbours.
        for (int span = 2; span <= kSortTile; span *= 2) {
            for (int stride = span / 2; stride > 0; stride /= 2) {
                const int low = 2 * thread - (thread & (stride - 1));
                const int high = low + stride;
                const bool ascending = (low & span) == 0;
                const uint64_t a = tile[low];
                const uint64_t b = tile[high];
                if ((a > b) == ascending) {
                    tile[low] = b;
                    tile[high] = a;
                }
                __syncthreads();
            }
        }
    }
    uint64_t* run = keys + (static_cast<int64_t>(image) * runs + blockIdx.x) * kSortTile;
    for (int slot = thread; slot < length; slot += kSortThreads) {
        run[slot] = tile[slot];
    }
    if (thread == 0) {
        run_lengths[static_cast<int64_t>(image) * runs + blockIdx.x] = length;
    }

    const int64_t stride = static_cast<int64_t>(gridDim.x) * kSortThreads;
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * kSortThreads + thread; i < call.max_output; i += stride) {
        call.indices[static_cast<int64_t>(image) * call.max_output + i] = -1;
    }
    if (blockIdx.x == 0 && thread == 0) {
        call.num[image] = 0;
    }
}

// One thread per key slot: a key's place in the joined run is its own position plus, from each sibling run, the number
// of keys below it. reach is the slots that a run spans on input: kSortTile times a power of kMergeWays.
__global__ void __launch_bounds__(kMergeThreads) merge_runs_kernel(const uint64_t* keys_in,
    const int32_t* run_lengths_in, uint64_t* keys_out, int32_t* run_lengths_out, int64_t slots, int64_t reach, int runs)
{
    const int64_t slot = static_cast<int64_t>(blockIdx.x) * kMergeThreads + threadIdx.x;
    if (slot >= slots) {
        return;
    }
    const int64_t image = blockIdx.y;
    const int runs_in = static_cast<int>((slots + reach - 1) / reach);
    const int run = static_cast<int>(slot / reach);
    const int first_sibling = run / kMergeWays * kMergeWays;
    const int64_t joined = first_sibling * reach;  // where the joined run starts
    const uint64_t* image_keys = keys_in + image * slots;
    int lengths[kMergeWays];
    int total = 0;
    for (int way = 0; way < kMergeWays; ++way) {
        const int sibling = first_sibling + way;
        lengths[way] = sibling < runs_in ? run_lengths_in[image * runs + sibling] : 0;
        total += lengths[way];
    }
    if (slot == joined) {
        run_lengths_out[image * runs + run / kMergeWays] = total;
    }
    const int64_t position = slot - run * reach;
    if (position >= run_lengths_in[image * runs + run]) {
        return;
    }
    const uint64_t key = image_keys[slot];
    int64_t below[kMergeWays] = {};  // four bisections side by side; that of the key's own run finds its position
    for (int64_t step = reach; step > 0; step /= 2) {
        for (int way = 0; way < kMergeWays; ++way) {
            const int64_t next = below[way] + step;
            if (next <= lengths[way] && image_keys[joined + way * reach + next - 1] < key) {
                below[way] = next;
            }
        }
    }
    keys_out[image * slots + joined + below[0] + below[1] + below[2] + below[3]] = key;
}

}  // namespace maskrt

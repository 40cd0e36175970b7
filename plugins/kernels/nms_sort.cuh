// Candidates in order: each block filters and sorts one tile of the scores, then passes of an 8-way merge join the runs.
// Keys are unique (score_key.h), so the order does not depend on how the threads are scheduled.
#pragma once

#include "nms_run.cuh"

namespace maskrt {

constexpr int kMergeThreads = 256;

// One block per tile and image.
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
    for (int slot = thread; slot < kSortTile; slot += kSortThreads) {
        const int64_t index = static_cast<int64_t>(blockIdx.x) * kSortTile + slot;
        if (index < call.boxes_per_image) {
            const float score = call.scores[first_box + index];
            if (score > threshold) {  // false for NaN
                tile[atomicAdd(&candidates, 1)] = make_score_key(score, static_cast<int32_t>(index));
            }
        }
    }
    __syncthreads();
    sort_run(tile, candidates, image, keys, run_lengths, runs);
    empty_outputs(call, image);
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
#pragma unroll
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
    int64_t below[kMergeWays] = {};  // bisections side by side; that of the key's own run finds its position
    for (int64_t step = reach; step > 0; step /= 2) {
#pragma unroll
        for (int way = 0; way < kMergeWays; ++way) {
            const int64_t next = below[way] + step;
            if (next <= lengths[way] && image_keys[joined + way * reach + next - 1] < key) {
                below[way] = next;
            }
        }
    }
    int64_t place = joined;
#pragma unroll
    for (int way = 0; way < kMergeWays; ++way) {
        place += below[way];
    }
    keys_out[image * slots + place] = key;
}

}  // namespace maskrt

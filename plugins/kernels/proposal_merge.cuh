// The best of the boxes that each level keeps.
#pragma once

#include "proposal_select.cuh"

namespace maskrt {

constexpr int kMergeBoxThreads = 256;

// Boxes of another level that come before one of this score: those of higher scores, of earlier levels also equal ones.
__device__ inline int boxes_before(const ProposalLists& lists, int64_t list, uint64_t key, bool earlier_level)
{
    const float* scores = lists.scores + list * lists.slots;
    const int32_t* slots = lists.indices + list * lists.kept;
    int before = 0;
    for (int low = 0, high = lists.num[list]; low < high;) {
        const int middle = (low + high) / 2;
        const uint64_t other = make_score_key(scores[slots[middle]], 0);
        if (other < key || (earlier_level && other == key)) {
            before = low = middle + 1;
        } else {
            high = middle;
        }
    }
    return before;
}

// Each thread places one kept box, and clears one row behind the last proposal.
__global__ void __launch_bounds__(kMergeBoxThreads) merge_boxes_kernel(const __grid_constant__ ProposalLists lists)
{
    const MaskrtProposals& call = lists.call;
    const int levels = call.attributes.level_count;
    const int most = call.attributes.post_nms_top_k;
    const int image = static_cast<int>(blockIdx.y);
    const int64_t item = static_cast<int64_t>(blockIdx.x) * kMergeBoxThreads + threadIdx.x;
    const int64_t first_list = static_cast<int64_t>(image) * levels;
    float4* proposals = reinterpret_cast<float4*>(call.proposals) + static_cast<int64_t>(image) * most;
    int64_t total = 0;
    for (int level = 0; level < levels; ++level) {
        total += lists.num[first_list + level];
    }
    if (item == 0) {
        call.num[image] = static_cast<int32_t>(total < most ? total : most);
    }
    if (item >= total && item < most) {
        proposals[item] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    const int level = static_cast<int>(item / lists.kept);
    const int rank = static_cast<int>(item - static_cast<int64_t>(level) * lists.kept);
    if (level >= levels || rank >= lists.num[first_list + level]) {
        return;
    }
    const int64_t list = first_list + level;
    const int32_t slot = lists.indices[list * lists.kept + rank];
    const uint64_t key = make_score_key(lists.scores[list * lists.slots + slot], 0);
    int64_t place = rank;
    for (int other = 0; other < levels; ++other) {
        if (other != level) {
            place += boxes_before(lists, first_list + other, key, other < level);
        }
    }
    if (place < most) {
        proposals[place] = lists.boxes[list * lists.slots + slot];
    }
}

}  // namespace maskrt

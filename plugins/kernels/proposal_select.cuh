// The highest-ranked anchors of each level, in two passes over the maps: a histogram of the rank keys' highest bits, then
// the anchors of the bins that hold the chosen ones. The last bin has some too many, which rank_kernel leaves out.
#pragma once

#include "block_scan.cuh"
#include "proposal_maps.cuh"
#include "proposal_workspace.h"

namespace maskrt {

constexpr int kSelectThreads = 256;
constexpr int kAnchorsPerThread = 8;
constexpr int kAnchorsPerBlock = kSelectThreads * kAnchorsPerThread;
constexpr int kBinShift = 64 - 12;

// What the kernels of one call share.
struct ProposalLists {
    MaskrtProposals call;
    int32_t* bins;              // [lists, kRankBins]
    int32_t* candidate_counts;  // [lists]
    uint64_t* candidates;       // [batch, all_anchors]
    uint64_t* keys[2];          // [lists, keys_per_list]
    float4* boxes;              // [lists, slots]
    float* scores;              // [lists, slots]
    int32_t* box_counts;        // [lists]
    float* thresholds;          // [lists]
    int32_t* num;               // [lists]
    int32_t* indices;           // [lists, kept]
    int64_t all_anchors, keys_per_list;
    int32_t anchors[MASKRT_MAX_RPN_LEVELS];       // of each level
    int32_t first_anchors[MASKRT_MAX_RPN_LEVELS]; // of the levels before
    int32_t first_blocks[MASKRT_MAX_RPN_LEVELS];  // of kAnchorsPerBlock
    int32_t slots, kept;
};

// The level that a block of a pass over the maps works on.
__device__ inline int level_of_block(const ProposalLists& lists, int block)
{
    int level = 0;
    while (level + 1 < lists.call.attributes.level_count && block >= lists.first_blocks[level + 1]) {
        ++level;
    }
    return level;
}

__device__ inline int wanted_anchors(const ProposalLists& lists, int level)
{
    return min(lists.call.attributes.pre_nms_top_k, lists.anchors[level]);
}

__global__ void __launch_bounds__(kSelectThreads) clear_kernel(int32_t* counts, int64_t size)
{
    const int64_t i = static_cast<int64_t>(blockIdx.x) * kSelectThreads + threadIdx.x;
    if (i < size) {
        counts[i] = 0;
    }
}

__global__ void __launch_bounds__(kSelectThreads) count_bins_kernel(const __grid_constant__ ProposalLists lists)
{
    __shared__ int32_t counts[kRankBins];
    const int thread = static_cast<int>(threadIdx.x);
    const int image = static_cast<int>(blockIdx.y);
    const int level = level_of_block(lists, static_cast<int>(blockIdx.x));
    for (int bin = thread; bin < kRankBins; bin += kSelectThreads) {
        counts[bin] = 0;
    }
    __syncthreads();
    const int first = (static_cast<int>(blockIdx.x) - lists.first_blocks[level]) * kAnchorsPerBlock;
    for (int i = 0; i < kAnchorsPerThread; ++i) {
        const int element = first + i * kSelectThreads + thread;
        if (element < lists.anchors[level]) {
            atomicAdd(&counts[read_rank_key(lists.call, level, image, element) >> kBinShift], 1);
        }
    }
    __syncthreads();
    const int64_t list = static_cast<int64_t>(image) * lists.call.attributes.level_count + level;
    for (int bin = thread; bin < kRankBins; bin += kSelectThreads) {
        if (counts[bin] > 0) {
            atomicAdd(&lists.bins[list * kRankBins + bin], counts[bin]);
        }
    }
}

// The order of the candidates is that in which blocks come; as a set they are determined.
__global__ void __launch_bounds__(kSelectThreads) collect_kernel(const __grid_constant__ ProposalLists lists)
{
    constexpr int kBinsPerThread = kRankBins / kSelectThreads;
    __shared__ int32_t last_bin;
    __shared__ int32_t first_slot;
    const int thread = static_cast<int>(threadIdx.x);
    const int image = static_cast<int>(blockIdx.y);
    const int level = level_of_block(lists, static_cast<int>(blockIdx.x));
    const int64_t list = static_cast<int64_t>(image) * lists.call.attributes.level_count + level;
    const int32_t* bins = lists.bins + list * kRankBins + thread * kBinsPerThread;
    Run total{};
    Run mine{};
    for (int i = 0; i < kBinsPerThread; ++i) {
        mine.count += bins[i];
    }
    // The bin in which the number of anchors reaches the wanted one.
    const int wanted = wanted_anchors(lists, level);
    int64_t reached = scan_block<kSelectThreads>(mine, total).count;
    if (reached < wanted && reached + mine.count >= wanted) {
        int bin = 0;
        for (reached += bins[0]; reached < wanted; reached += bins[bin]) {
            ++bin;
        }
        last_bin = thread * kBinsPerThread + bin;
    }
    __syncthreads();
    const int first = (static_cast<int>(blockIdx.x) - lists.first_blocks[level]) * kAnchorsPerBlock;
    uint64_t keys[kAnchorsPerThread];
    Run found{};
    for (int i = 0; i < kAnchorsPerThread; ++i) {
        const int element = first + i * kSelectThreads + thread;
        keys[i] = element < lists.anchors[level] ? read_rank_key(lists.call, level, image, element) : kNoCandidate;
        if (keys[i] != kNoCandidate && static_cast<int>(keys[i] >> kBinShift) > last_bin) {
            keys[i] = kNoCandidate;
        }
        found.count += keys[i] != kNoCandidate ? 1 : 0;
    }
    int64_t slot = scan_block<kSelectThreads>(found, total).count;
    if (thread == 0) {
        first_slot = atomicAdd(&lists.candidate_counts[list], static_cast<int32_t>(total.count));
    }
    __syncthreads();
    uint64_t* candidates = lists.candidates + image * lists.all_anchors + lists.first_anchors[level] + first_slot;
    for (int i = 0; i < kAnchorsPerThread; ++i) {
        if (keys[i] != kNoCandidate) {
            candidates[slot++] = keys[i];
        }
    }
}

}  // namespace maskrt

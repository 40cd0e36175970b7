// Who would suppress whom among a round's candidates, one bit per pair, and who is suppressed by boxes kept earlier.
#pragma once

#include "arithmetic/iou.h"
#include "arithmetic/score_key.h"
#include "nms_round.h"

namespace maskrt {

constexpr int kMaskThreads = 256;
constexpr int kMaskBlocks = 1024;  // per image, at most: each takes tiles in turn

__device__ inline uint64_t warp_or(uint64_t word)
{
    for (int distance = 16; distance > 0; distance /= 2) {
        word |= __shfl_xor_sync(0xffffffffu, static_cast<unsigned long long>(word), distance);
    }
    return word;
}

// A tile of work: 64 candidates (one word) against kMaskThreads sources, either candidates of the round, none of which
// comes after the word, or boxes kept in earlier rounds.
__global__ void __launch_bounds__(kMaskThreads) mask_kernel(const __grid_constant__ NmsRound round)
{
    __shared__ float4 boxes[kWordCandidates];
    __shared__ float areas[kWordCandidates];
    __shared__ int32_t groups[kWordCandidates];
    const MaskrtBatchedNms& call = round.call;
    const int image = static_cast<int>(blockIdx.y);
    const int thread = static_cast<int>(threadIdx.x);
    const int count = candidates_in_round(round, image);
    const int num = call.num[image];
    if (count <= 0 || num >= call.max_output) {
        return;
    }
    const int kept = round.first > 0 ? num : 0;
    const float threshold = call.iou_threshold[image];
    const int64_t first_box = static_cast<int64_t>(image) * call.boxes_per_image;
    const float4* image_boxes = reinterpret_cast<const float4*>(call.boxes) + first_box;
    const int32_t* image_groups = call.groups + first_box;
    const uint64_t* keys = round.keys + image * round.keys_per_image + round.first;
    const int32_t* kept_indices = call.indices + static_cast<int64_t>(image) * call.max_output;
    const int64_t first_word = static_cast<int64_t>(image) * round.words;
    const int64_t sources_per_word = static_cast<int64_t>(round.words) * kWordCandidates;

    const int words = (count + kWordCandidates - 1) / kWordCandidates;
    const int candidate_tiles = (count + kMaskThreads - 1) / kMaskThreads;
    const int kept_tiles = (kept + kMaskThreads - 1) / kMaskThreads;
    const int tiles = words * (candidate_tiles + kept_tiles);
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
        const int word = tile % words;
        const int source_tile = tile / words;
        const bool from_round = source_tile < candidate_tiles;
        const int first_candidate = word * kWordCandidates;
        const int end_candidate = min(first_candidate + kWordCandidates, count);
        if (from_round && source_tile * kMaskThreads >= end_candidate) {
            continue;
        }
        __syncthreads();  // the last tile's readers are done
        if (first_candidate + thread < end_candidate && thread < kWordCandidates) {
            const int index = key_index(keys[first_candidate + thread]);
            const float4 box = image_boxes[index];
            boxes[thread] = box;
            areas[thread] = box_area(Box{box.x, box.y, box.z, box.w});
            groups[thread] = image_groups[index];
        }
        __syncthreads();
        const int source = (from_round ? source_tile : source_tile - candidate_tiles) * kMaskThreads + thread;
        uint64_t bits = 0;
        if (source < (from_round ? end_candidate : kept)) {
            const int index = from_round ? key_index(keys[source]) : kept_indices[source];
            const float4 corners = image_boxes[index];
            const Box box{corners.x, corners.y, corners.z, corners.w};
            const float area = box_area(box);
            const int32_t group = image_groups[index];
            for (int i = 0; i < end_candidate - first_candidate; ++i) {
                const float4 other = boxes[i];
                if (groups[i] == group
                    && suppresses(box, area, Box{other.x, other.y, other.z, other.w}, areas[i], threshold)) {
                    bits |= uint64_t{1} << i;
                }
            }
        }
        if (from_round) {
            if (source < first_candidate + kWordCandidates) {  // the word's missing candidates too: none is left unset
                round.suppressed_by[(first_word + word) * sources_per_word + source] = bits;
            }
        } else {
            bits = warp_or(bits);
            if (thread % 32 == 0 && bits != 0) {
                atomicOr(reinterpret_cast<unsigned long long*>(round.suppressed_early + first_word + word),
                    static_cast<unsigned long long>(bits));
            }
        }
    }
}

}  // namespace maskrt

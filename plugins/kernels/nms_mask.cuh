// Who would suppress whom among the first candidates, one bit per pair.
#pragma once

#include "arithmetic/iou.h"
#include "arithmetic/score_key.h"
#include "nms_round.h"

namespace maskrt {

constexpr int kMaskThreads = 256;
constexpr int kMaskBlocks = 1024;  // per image, at most: each takes tiles in turn

// A tile of work: 64 candidates (one word) against kMaskThreads sources, none of which comes after the word.
__global__ void __launch_bounds__(kMaskThreads) mask_kernel(const __grid_constant__ NmsRound round)
{
    __shared__ float4 boxes[kWordCandidates];
    __shared__ float areas[kWordCandidates];
    __shared__ int32_t groups[kWordCandidates];
    const MaskrtBatchedNms& call = round.call;
    const int image = static_cast<int>(blockIdx.y);
    const int thread = static_cast<int>(threadIdx.x);
    const int count = candidates_in_round(round, image);
    const float threshold = call.iou_threshold[image];
    const int64_t first_box = static_cast<int64_t>(image) * call.boxes_per_image;
    const float4* image_boxes = reinterpret_cast<const float4*>(call.boxes) + first_box;
    const int32_t* image_groups = call.groups != nullptr ? call.groups + first_box : nullptr;
    const uint64_t* keys = round.keys + image * round.keys_per_image;
    const int64_t first_word = static_cast<int64_t>(image) * (round.size / kWordCandidates);

    const int words = (count + kWordCandidates - 1) / kWordCandidates;
    const int tiles = words * ((count + kMaskThreads - 1) / kMaskThreads);
    for (int tile = static_cast<int>(blockIdx.x); tile < tiles; tile += static_cast<int>(gridDim.x)) {
        const int word = tile % words;
        const int first_source = tile / words * kMaskThreads;
        const int first_candidate = word * kWordCandidates;
        const int end_candidate = min(first_candidate + kWordCandidates, count);
        if (first_source >= end_candidate) {
            continue;
        }
        __syncthreads();  // the last tile's readers are done
        if (first_candidate + thread < end_candidate && thread < kWordCandidates) {
            const int index = key_index(keys[first_candidate + thread]);
            const float4 box = image_boxes[index];
            boxes[thread] = box;
            areas[thread] = box_area(Box{box.x, box.y, box.z, box.w});
            groups[thread] = image_groups != nullptr ? image_groups[index] : 0;
        }
        __syncthreads();
        const int source = first_source + thread;
        uint64_t bits = 0;
        if (source < end_candidate) {
            const int index = key_index(keys[source]);
            const float4 corners = image_boxes[index];
            const Box box{corners.x, corners.y, corners.z, corners.w};
            const float area = box_area(box);
            const int32_t group = image_groups != nullptr ? image_groups[index] : 0;
            for (int i = 0; i < end_candidate - first_candidate; ++i) {
                const float4 other = boxes[i];
                if (groups[i] == group
                    && suppresses(box, area, Box{other.x, other.y, other.z, other.w}, areas[i], threshold)) {
                    bits |= uint64_t{1} << i;
                }
            }
        }
        if (source < first_candidate + kWordCandidates) {  // the word's missing candidates too: none is left unset
            round.suppressed_by[(first_word + word) * round.size + source] = bits;
        }
    }
}

}  // namespace maskrt

// One block for each level of each image: the wanted anchors among the candidates, put in order, decoded, clipped, and
// those that are proposals moved together.
#pragma once

#include "proposal_select.cuh"

namespace maskrt {

constexpr int kRankThreads = 1024;
constexpr int kDigits = 256;

// Sorts `count` keys of `keys`, at most kMostTopK; the result is there or in `spare`, whichever is returned. Called by the
// whole block; `tile` is shared memory.
__device__ inline uint64_t* sort_keys(uint64_t* keys, uint64_t* spare, int count, uint64_t* tile)
{
    const int thread = static_cast<int>(threadIdx.x);
    for (int first = 0; first < count; first += kRankTile) {
        const int length = min(count - first, kRankTile);
        int size = 2;
        while (size < length) {
            size *= 2;
        }
        for (int slot = thread; slot < size; slot += kRankThreads) {
            tile[slot] = slot < length ? keys[first + slot] : kNoCandidate;
        }
        __syncthreads();
        // Bitonic sort: `span` doubles from pairs to the whole tile, `stride` halves down to neighbours.
        for (int span = 2; span <= size; span *= 2) {
            for (int stride = span / 2; stride > 0; stride /= 2) {
                for (int pair = thread; pair < size / 2; pair += kRankThreads) {
                    const int low = 2 * pair - (pair & (stride - 1));
                    const int high = low + stride;
                    const uint64_t a = tile[low];
                    const uint64_t b = tile[high];
                    if ((a > b) == ((low & span) == 0)) {
                        tile[low] = b;
                        tile[high] = a;
                    }
                }
                __syncthreads();
            }
        }
        for (int slot = thread; slot < length; slot += kRankThreads) {
            keys[first + slot] = tile[slot];
        }
        __syncthreads();
    }
    if (count <= kRankTile) {
        return keys;
    }
    for (int slot = thread; slot < count; slot += kRankThreads) {
        const bool in_first = slot < kRankTile;
        const uint64_t* other = in_first ? keys + kRankTile : keys;
        const int other_length = in_first ? count - kRankTile : kRankTile;
        const uint64_t key = keys[slot];
        int below = 0;
        for (int step = kRankTile; step > 0; step /= 2) {
            if (below + step <= other_length && other[below + step - 1] < key) {
                below += step;
            }
        }
        spare[(in_first ? slot : slot - kRankTile) + below] = key;
    }
    __syncthreads();
    return spare;
}

// The largest key to take so that at least `wanted` of `count` are taken, and at most kRankTile or, where `exact` or more
// are wanted, just these: digit by digit from the highest.
__device__ inline uint64_t find_last_key(const uint64_t* keys, int count, int wanted, bool exact)
{
    __shared__ int32_t digits[kDigits];
    __shared__ uint64_t prefix;
    __shared__ int32_t left;   // wanted ones among the keys that begin with the prefix
    __shared__ int32_t taken;  // keys up to the end of the prefix
    const int thread = static_cast<int>(threadIdx.x);
    if (thread == 0) {
        prefix = 0;
        left = wanted;
        taken = count;
    }
    __syncthreads();
    for (int shift = 56; shift >= 0; shift -= 8) {
        if (taken == wanted || (!exact && taken <= kRankTile)) {
            return prefix | (shift == 56 ? ~uint64_t{0} : (uint64_t{1} << (shift + 8)) - 1);
        }
        if (thread < kDigits) {
            digits[thread] = 0;
        }
        __syncthreads();
        for (int i = thread; i < count; i += kRankThreads) {
            const uint64_t key = keys[i];
            if (shift == 56 || (key ^ prefix) >> (shift + 8) == 0) {
                atomicAdd(&digits[key >> shift & (kDigits - 1)], 1);
            }
        }
        __syncthreads();
        if (thread == 0) {
            const int before = wanted - left;
            int digit = 0;
            int reached = digits[0];
            while (reached < left) {
                reached += digits[++digit];
            }
            taken = before + reached;
            left -= reached - digits[digit];
            prefix |= static_cast<uint64_t>(digit) << shift;
        }
        __syncthreads();
    }
    return prefix;
}

__global__ void __launch_bounds__(kRankThreads, 1) rank_kernel(const __grid_constant__ ProposalLists lists)
{
    __shared__ uint64_t tile[kRankTile];
    __shared__ int32_t taken;
    const MaskrtProposals& call = lists.call;
    const MaskrtProposalAttributes& attributes = call.attributes;
    const int thread = static_cast<int>(threadIdx.x);
    const int level = static_cast<int>(blockIdx.x);
    const int image = static_cast<int>(blockIdx.y);
    const int64_t list = static_cast<int64_t>(image) * attributes.level_count + level;
    const int count = lists.candidate_counts[list];
    const int wanted = wanted_anchors(lists, level);
    const uint64_t* candidates = lists.candidates + image * lists.all_anchors + lists.first_anchors[level];
    uint64_t* keys = lists.keys[0] + list * lists.keys_per_list;
    uint64_t* spare = lists.keys[1] + list * lists.keys_per_list;

    const uint64_t last_key = find_last_key(candidates, count, wanted, wanted > kRankTile);
    if (thread == 0) {
        taken = 0;
    }
    __syncthreads();
    for (int i = thread; i < count; i += kRankThreads) {
        if (candidates[i] <= last_key) {
            keys[atomicAdd(&taken, 1)] = candidates[i];
        }
    }
    __syncthreads();
    uint64_t* ranked = sort_keys(keys, spare, taken, tile);

    int cells = 0;  // of the levels before
    for (int i = 0; i < level; ++i) {
        cells += attributes.cell_anchors[i];
    }
    const int own_cells = attributes.cell_anchors[level];
    const int width = call.widths[level];
    if (attributes.top_k_by_probability != 0 && !suppression_follows_probability(attributes)) {
        for (int slot = thread; slot < wanted; slot += kRankThreads) {
            const int32_t index = key_index(ranked[slot]);
            const int32_t position = index / own_cells;
            ranked[slot] = make_rank_key(read_logit(call, level, image, position, index - position * own_cells), index);
        }
        __syncthreads();
        ranked = sort_keys(ranked, ranked == keys ? spare : keys, wanted, tile);
    }
    const int stride = attributes.strides[level];
    const int stride_x = stride > 0 || wanted == 0 ? stride : call.canvas_size[1] / width;
    const int stride_y = stride > 0 || wanted == 0 ? stride : call.canvas_size[0] / call.heights[level];
    const float image_height = static_cast<float>(call.image_sizes[2 * image]);
    const float image_width = static_cast<float>(call.image_sizes[2 * image + 1]);
    float4* boxes = lists.boxes + list * lists.slots;
    float* scores = lists.scores + list * lists.slots;
    int64_t boxes_before = 0;
    for (int first = 0; first < wanted; first += kRankThreads) {
        Box box{};
        float logit = 0.0f;
        bool exists = false;
        if (first + thread < wanted) {
            const int32_t index = key_index(ranked[first + thread]);
            const AnchorPlace place = place_anchor(index, own_cells, width);
            const int64_t position = static_cast<int64_t>(place.row) * width + place.column;
            logit = read_logit(call, level, image, position, place.cell);
            float deltas[4];
            for (int i = 0; i < 4; ++i) {
                deltas[i] = read_delta(call, level, image, position, place.cell, i);
            }
            const float* cell = attributes.anchors + 4 * (cells + place.cell);
            const Box anchor = anchor_box(cell, place, stride_x, stride_y, attributes.offsets[level]);
            box = clip_box(decode_box(attributes, anchor, deltas), image_width, image_height);
            exists = is_proposal(attributes, box, logit);
        }
        Run total{};
        const Run mine{exists ? 1 : 0, 0};
        const int64_t slot = boxes_before + scan_block<kRankThreads>(mine, total).count;
        if (exists) {
            boxes[slot] = make_float4(box.x1, box.y1, box.x2, box.y2);
            scores[slot] = score_of(logit, attributes.nms_by_probability);
        }
        boxes_before += total.count;
        __syncthreads();
    }
    // For non-maximum suppression, which takes boxes in the order of such keys.
    for (int slot = thread; slot < lists.slots; slot += kRankThreads) {
        keys[slot] = static_cast<uint64_t>(slot);
    }
    for (int64_t i = thread; i < lists.kept; i += kRankThreads) {
        lists.indices[list * lists.kept + i] = -1;
    }
    if (thread == 0) {
        lists.box_counts[list] = static_cast<int32_t>(boxes_before);
        lists.thresholds[list] = attributes.nms_threshold;
        lists.num[list] = 0;
    }
}

}  // namespace maskrt

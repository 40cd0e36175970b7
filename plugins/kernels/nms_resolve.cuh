// The greedy choice itself: one block per image walks the candidates a word (64) at a time. Of the first candidates the
// bit masks are there; should they not yield the wanted boxes, the others are compared with the boxes kept so far.
#pragma once

#include "arithmetic/score_key.h"
#include "arithmetic/iou.h"
#include "nms_round.h"

namespace maskrt {

constexpr int kResolveThreads = 1024;
constexpr int kResolveWarps = kResolveThreads / 32;
constexpr int kSourcesPerThread = kLargestRound / kResolveThreads;
static_assert(kResolveWarps == 32, "one lane reads what one warp writes");
constexpr int kWordsPerPass = kResolveThreads / kWordCandidates;

// Over all lanes of a warp; in most calls no bit is set.
__device__ inline uint64_t warp_or(uint64_t word)
{
    if (!__any_sync(0xffffffffu, word != 0)) {
        return 0;
    }
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    const unsigned low = __reduce_or_sync(0xffffffffu, static_cast<unsigned>(word));
    const unsigned high = __reduce_or_sync(0xffffffffu, static_cast<unsigned>(word >> 32));
    return low | static_cast<uint64_t>(high) << 32;
#else
    for (int distance = 16; distance > 0; distance /= 2) {
        word |= __shfl_xor_sync(0xffffffffu, static_cast<unsigned long long>(word), distance);
    }
    return word;
#endif
}

// The kept ones among the 64 candidates `alive`: a candidate is kept when no kept candidate before it suppresses it.
// Called by one whole warp; a lane holds what suppresses candidates `lane` and `lane + 32` (its row of the symmetric
// 64 x 64 mask). Starting from all alive, each pass settles at least one more candidate, in practice most at once; the
// choice that reproduces itself is unique.
__device__ inline uint64_t keep_greedily(uint64_t alive, uint64_t row_low, uint64_t row_high, int lane)
{
    const uint64_t before_low = row_low & ((uint64_t{1} << lane) - 1);
    const uint64_t before_high = row_high & ((uint64_t{1} << (lane + 32)) - 1);
    uint64_t keep = alive;
    while (true) {
        const bool keep_low = (alive >> lane & 1) != 0 && (before_low & keep) == 0;
        const bool keep_high = (alive >> (lane + 32) & 1) != 0 && (before_high & keep) == 0;
        const uint64_t low = __ballot_sync(0xffffffffu, keep_low);
        const uint64_t high = __ballot_sync(0xffffffffu, keep_high);
        const uint64_t next = low | high << 32;
        if (next == keep) {
            return keep;
        }
        keep = next;
    }
}

// Bits of `word` whose rank among its set bits is below `room`.
__device__ inline uint64_t first_bits(uint64_t word, int room, int lane)
{
    const bool low = (word >> lane & 1) != 0 && __popcll(word & ((uint64_t{1} << lane) - 1)) < room;
    const bool high = (word >> (lane + 32) & 1) != 0 && __popcll(word & ((uint64_t{1} << (lane + 32)) - 1)) < room;
    const uint64_t low_bits = __ballot_sync(0xffffffffu, low);
    const uint64_t high_bits = __ballot_sync(0xffffffffu, high);
    return low_bits | high_bits << 32;
}

__global__ void __launch_bounds__(kResolveThreads) resolve_kernel(const __grid_constant__ NmsRound round)
{
    __shared__ uint64_t suppressed[kResolveWarps];  // of this word, by each warp's sources
    __shared__ uint64_t kept_bits;                  // of this word
    __shared__ int kept_count;                      // so far
    const MaskrtBatchedNms& call = round.call;
    const int image = static_cast<int>(blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % 32;
    const int count = candidates_in_round(round, image);
    if (count <= 0) {
        return;
    }
    if (thread == 0) {
        kept_count = 0;
    }
    __syncthreads();
    const int64_t first_word = static_cast<int64_t>(image) * (round.size / kWordCandidates);
    const uint64_t* masks = round.suppressed_by + first_word * round.size;
    const uint64_t* keys = round.keys + image * round.keys_per_image;
    int32_t* indices = call.indices + static_cast<int64_t>(image) * call.max_output;

    // Thread t owns the sources t, t + 1024, …: whether each was kept, and its mask of the word at hand, fetched while
    // the word before is being decided.
    unsigned owned_kept = 0;
    uint64_t owned_masks[kSourcesPerThread];
    uint64_t row_low = thread < 32 ? masks[lane] : 0;
    uint64_t row_high = thread < 32 ? masks[lane + 32] : 0;
    const int words = (count + kWordCandidates - 1) / kWordCandidates;
    for (int word = 0; word < words; ++word) {
        uint64_t bits = 0;
        for (int i = 0; i < kSourcesPerThread; ++i) {
            bits |= (owned_kept >> i & 1) != 0 ? owned_masks[i] : 0;
        }
        bits = warp_or(bits);
        if (lane == 0) {
            suppressed[thread / 32] = bits;
        }
        const uint64_t* next_masks = masks + static_cast<int64_t>(word + 1) * round.size;
        for (int i = 0; i < kSourcesPerThread; ++i) {
            const int source = thread + i * kResolveThreads;
            const bool undecided = source / kWordCandidates == word;
            if (word + 1 < words && ((owned_kept >> i & 1) != 0 || undecided)) {
                owned_masks[i] = next_masks[source];
            }
        }
        __syncthreads();
        if (thread < 32) {
            const int left = count - word * kWordCandidates;
            const uint64_t exists = left >= kWordCandidates ? ~uint64_t{0} : (uint64_t{1} << left) - 1;
            const uint64_t alive = exists & ~warp_or(suppressed[lane]);
            uint64_t keep = keep_greedily(alive, row_low, row_high, lane);
            const int so_far = kept_count;
            keep = first_bits(keep, call.max_output - so_far, lane);
            for (int i = lane; i < kWordCandidates; i += 32) {
                if ((keep >> i & 1) != 0) {
                    const int rank = __popcll(keep & ((uint64_t{1} << i) - 1));
                    indices[so_far + rank] = key_index(keys[word * kWordCandidates + i]);
                }
            }
            if (word + 1 < words) {
                row_low = next_masks[(word + 1) * kWordCandidates + lane];
                row_high = next_masks[(word + 1) * kWordCandidates + lane + 32];
            }
            __syncwarp();
            if (lane == 0) {
                kept_bits = keep;
                kept_count = so_far + __popcll(keep);
            }
        }
        __syncthreads();
        if (kept_count >= call.max_output) {
            break;
        }
        if (thread / kWordCandidates == word % kWordsPerPass && (kept_bits >> (thread % kWordCandidates) & 1) != 0) {
            owned_kept |= 1u << (word / kWordsPerPass);
        }
    }
    __syncthreads();
    if (thread == 0) {
        call.num[image] = kept_count;
    }
}

// The candidates behind the first `size`, for images that lack boxes still; the others return at once.
__global__ void __launch_bounds__(kResolveThreads, 1) resolve_rest_kernel(const __grid_constant__ NmsRound round)
{
    __shared__ float4 boxes[kWordCandidates];  // of the word
    __shared__ float areas[kWordCandidates];
    __shared__ int32_t groups[kWordCandidates];
    __shared__ unsigned suppressed[kResolveWarps];  // by kept boxes: of half a word, warps of even numbers the lower one
    __shared__ uint64_t rows[kWordCandidates];      // who in the word suppresses whom
    __shared__ int kept_count;
    const MaskrtBatchedNms& call = round.call;
    const int image = static_cast<int>(blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % 32;
    const int warp = thread / 32;
    const int candidates = round.candidate_counts[static_cast<int64_t>(image) * round.runs];
    int kept = call.num[image];
    const float threshold = call.iou_threshold[image];
    const int64_t first_box = static_cast<int64_t>(image) * call.boxes_per_image;
    const float4* image_boxes = reinterpret_cast<const float4*>(call.boxes) + first_box;
    const int32_t* image_groups = call.groups + first_box;
    const uint64_t* keys = round.keys + image * round.keys_per_image;
    int32_t* indices = call.indices + static_cast<int64_t>(image) * call.max_output;
    for (int first = round.size; first < candidates && kept < call.max_output; first += kWordCandidates) {
        const int count = min(candidates - first, kWordCandidates);
        if (thread < count) {
            const int index = key_index(keys[first + thread]);
            boxes[thread] = image_boxes[index];
            areas[thread] = box_area(Box{boxes[thread].x, boxes[thread].y, boxes[thread].z, boxes[thread].w});
            groups[thread] = image_groups[index];
        }
        __syncthreads();
        const auto is_suppressed = [&](int candidate, const float4& corners, float area, int32_t group) {
            const float4 other = boxes[candidate];
            return groups[candidate] == group
                && suppresses(Box{corners.x, corners.y, corners.z, corners.w}, area, Box{other.x, other.y, other.z, other.w},
                    areas[candidate], threshold);
        };
        const int candidate = thread % kWordCandidates;
        bool hit = false;
        for (int i = thread / kWordCandidates; i < kept && candidate < count && !hit; i += kWordsPerPass) {
            const int index = indices[i];
            const float4 box = image_boxes[index];
            hit = is_suppressed(candidate, box, box_area(Box{box.x, box.y, box.z, box.w}), image_groups[index]);
        }
        suppressed[warp] = __ballot_sync(0xffffffffu, hit);
        for (int row = warp; row < count; row += kResolveWarps) {
            const bool low = lane < count && is_suppressed(lane, boxes[row], areas[row], groups[row]);
            const bool high = lane + 32 < count && is_suppressed(lane + 32, boxes[row], areas[row], groups[row]);
            const uint64_t low_bits = __ballot_sync(0xffffffffu, low);
            const uint64_t high_bits = __ballot_sync(0xffffffffu, high);
            rows[row] = low_bits | high_bits << 32;
        }
        __syncthreads();
        if (warp == 0) {
            const uint64_t exists = count == kWordCandidates ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
            const uint64_t half = suppressed[lane];
            const uint64_t alive = exists & ~warp_or(lane % 2 == 0 ? half : half << 32);
            const uint64_t row_low = lane < count ? rows[lane] : 0;
            const uint64_t row_high = lane + 32 < count ? rows[lane + 32] : 0;
            const uint64_t keep = first_bits(keep_greedily(alive, row_low, row_high, lane), call.max_output - kept, lane);
            for (int i = lane; i < kWordCandidates; i += 32) {
                if ((keep >> i & 1) != 0) {
                    indices[kept + __popcll(keep & ((uint64_t{1} << i) - 1))] = key_index(keys[first + i]);
                }
            }
            if (lane == 0) {
                kept_count = kept + __popcll(keep);
            }
        }
        __syncthreads();
        kept = kept_count;
    }
    if (thread == 0) {
        call.num[image] = kept;
    }
}

}  // namespace maskrt

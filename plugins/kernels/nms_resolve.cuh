// The greedy choice itself, from the bit masks: one block per image walks the round's candidates a word (64) at a time.
#pragma once

#include "arithmetic/score_key.h"
#include "nms_mask.cuh"
#include "nms_round.h"

namespace maskrt {

constexpr int kResolveThreads = 1024;
constexpr int kSourcesPerThread = kLargestRound / kResolveThreads;
constexpr int kWordsPerPass = kResolveThreads / kWordCandidates;

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
    __shared__ unsigned long long suppressed[2];  // of this word and the next
    __shared__ uint64_t kept_bits;                // of this word
    __shared__ int kept_count;                    // so far, earlier rounds included
    const MaskrtBatchedNms& call = round.call;
    const int image = static_cast<int>(blockIdx.x);
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % 32;
    const int count = candidates_in_round(round, image);
    const int kept_before = call.num[image];
    if (count <= 0 || kept_before >= call.max_output) {
        return;
    }
    if (thread == 0) {
        suppressed[0] = suppressed[1] = 0;
        kept_count = kept_before;
    }
    __syncthreads();
    const int64_t first_word = static_cast<int64_t>(image) * round.words;
    const int64_t sources_per_word = static_cast<int64_t>(round.words) * kWordCandidates;
    const uint64_t* masks = round.suppressed_by + first_word * sources_per_word;
    const uint64_t* keys = round.keys + image * round.keys_per_image + round.first;
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
        if (lane == 0 && bits != 0) {
            atomicOr(&suppressed[word % 2], static_cast<unsigned long long>(bits));
        }
        const uint64_t* next_masks = masks + (word + 1) * sources_per_word;
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
            const uint64_t early = round.first > 0 ? round.suppressed_early[first_word + word] : 0;
            const uint64_t alive = exists & ~(suppressed[word % 2] | early);
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
                suppressed[(word + 1) % 2] = 0;
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
    for (int word = thread; word < round.words; word += kResolveThreads) {  // for the next round
        round.suppressed_early[first_word + word] = 0;
    }
}

}  // namespace maskrt

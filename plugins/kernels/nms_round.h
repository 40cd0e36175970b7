// What the kernels of suppression share.
#pragma once

#include "maskrt_plugins.h"
#include "nms_workspace.h"

namespace maskrt {

// The first `size` candidates in score order are looked at in parallel.
struct NmsRound {
    MaskrtBatchedNms call;           // groups: NULL where all boxes of an image are of one
    const uint64_t* keys;            // sorted, [batch, keys_per_image]
    const int32_t* candidate_counts; // of image b at [b * runs]
    uint64_t* suppressed_by;         // [batch, words, size]
    int64_t keys_per_image;
    int runs;
    int size;  // a multiple of kWordCandidates: of so many words
};

// Candidates of an image among the first `size`.
__device__ inline int candidates_in_round(const NmsRound& round, int image)
{
    const int candidates = round.candidate_counts[static_cast<int64_t>(image) * round.runs];
    return candidates < round.size ? candidates : round.size;
}

}  // namespace maskrt

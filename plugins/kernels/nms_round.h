// What the kernels of one round of suppression share.
#pragma once

#include "maskrt_plugins.h"
#include "nms_workspace.h"

namespace maskrt {

// A round looks at the next `size` candidates in score order, starting with number `first`.
struct NmsRound {
    MaskrtBatchedNms call;
    const uint64_t* keys;            // sorted, [batch, keys_per_image]
    const int32_t* candidate_counts; // of image b at [b * runs]
    uint64_t* suppressed_by;         // [batch, words, words * kWordCandidates]
    uint64_t* suppressed_early;      // [batch, words]
    int64_t keys_per_image;
    int runs;
    int words;  // in the workspace: of the largest round
    int first, size;
};

// Candidates of the round for an image; 0 or less when it has none left.
__device__ inline int candidates_in_round(const NmsRound& round, int image)
{
    const int left = round.candidate_counts[static_cast<int64_t>(image) * round.runs] - round.first;
    return left < round.size ? left : round.size;
}

}  // namespace maskrt

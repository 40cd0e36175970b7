// The sizes of BatchedNMS and the layout of its workspace: a function of the call's sizes alone, the same on every GPU,
// because an engine may be built where there is none.
#pragma once

#include <stdint.h>

namespace maskrt {

constexpr int kSortTile = 2048;            // keys that one block sorts
constexpr int kMergeWays = 8;              // sorted runs that one merge pass joins
constexpr int kWordCandidates = 64;        // candidates to a bit mask word
constexpr int kSmallestRound = 1024;       // candidates
constexpr int kLargestRound = 8192;        // candidates; bounds the bit mask to 8 MiB an image
constexpr int kCandidatesPerOutput = 8;    // of a round, for each wanted box

struct NmsSizes {
    int batch, boxes, outputs;

    // Runs of at most kSortTile keys that the first sorting pass leaves.
    int runs() const
    {
        return boxes > kSortTile ? (boxes + kSortTile - 1) / kSortTile : 1;
    }

    int merge_passes() const
    {
        int passes = 0;
        for (int64_t reach = 1; reach < runs(); reach *= kMergeWays) {
            ++passes;
        }
        return passes;
    }

    int64_t keys_per_image() const
    {
        return static_cast<int64_t>(runs()) * kSortTile;
    }

    // Candidates that are looked at in parallel, before the first chance to stop.
    int round_candidates() const
    {
        const int64_t wanted = static_cast<int64_t>(outputs) * kCandidatesPerOutput / kWordCandidates * kWordCandidates;
        const int64_t least = wanted > kSmallestRound ? wanted : kSmallestRound;
        const int64_t most = least < kLargestRound ? least : kLargestRound;
        return static_cast<int>(most < keys_per_image() ? most : keys_per_image());
    }
};

// Byte offsets. Every part is 256-byte aligned.
struct NmsWorkspaceLayout {
    uint64_t keys[2];          // uint64 [batch, keys_per_image]: what a pass reads and what it writes
    uint64_t run_lengths[2];   // int32 [batch, runs]
    uint64_t suppressed_by;    // uint64 [batch, words, round]: bit c of [w][s] is set when candidate s would suppress
                               // candidate 64 w + c
    uint64_t total;
};

inline NmsWorkspaceLayout nms_workspace_layout(const NmsSizes& sizes)
{
    NmsWorkspaceLayout layout{};
    const auto place = [&](uint64_t bytes) {
        const uint64_t offset = layout.total;
        layout.total += (bytes + 255) / 256 * 256;
        return offset;
    };
    const uint64_t batch = static_cast<uint64_t>(sizes.batch);
    const uint64_t round = static_cast<uint64_t>(sizes.round_candidates());
    const uint64_t words = round / kWordCandidates;
    for (int i = 0; i < 2; ++i) {
        layout.keys[i] = place(batch * static_cast<uint64_t>(sizes.keys_per_image()) * sizeof(uint64_t));
        layout.run_lengths[i] = place(batch * static_cast<uint64_t>(sizes.runs()) * sizeof(int32_t));
    }
    layout.suppressed_by = place(batch * words * round * sizeof(uint64_t));
    return layout;
}

}  // namespace maskrt

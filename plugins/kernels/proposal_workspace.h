// The sizes of GenerateProposals and the layout of its workspace: a function of the call's sizes alone, and no part is
// smaller for a larger call.
#pragma once

#include <stdint.h>

#include "maskrt_plugins.h"
#include "nms_workspace.h"

namespace maskrt {

constexpr int kRankBins = 4096;           // by the highest 12 bits of a rank key
constexpr int kRankTile = 4096;           // keys that a block sorts at once, in shared memory
constexpr int kMostTopK = 2 * kRankTile;  // of a level

struct ProposalSizes {
    int64_t batch, levels, slots, kept;  // slots: of the chosen anchors of a level, whole mask words
    int64_t anchors[MASKRT_MAX_RPN_LEVELS];  // of each level
    int64_t all_anchors;

    explicit ProposalSizes(const MaskrtProposals& call)
        : batch(call.batch)
        , levels(call.attributes.level_count)
        , slots((call.attributes.pre_nms_top_k + kWordCandidates - 1) / kWordCandidates * kWordCandidates)
        , kept(call.attributes.pre_nms_top_k < call.attributes.post_nms_top_k ? call.attributes.pre_nms_top_k
                                                                              : call.attributes.post_nms_top_k)
        , anchors{}
        , all_anchors(0)
    {
        for (int level = 0; level < call.attributes.level_count; ++level) {
            anchors[level] = static_cast<int64_t>(call.attributes.cell_anchors[level]) * call.heights[level]
                * call.widths[level];
            all_anchors += anchors[level];
        }
    }
};

// Byte offsets. Every part is 256-byte aligned. A list: the anchors of one level of one image; lists are [batch, levels].
struct ProposalWorkspaceLayout {
    uint64_t bins;              // int32 [lists, kRankBins]: anchors of each bin
    uint64_t candidate_counts;  // int32 [lists], behind the bins
    uint64_t candidates;        // uint64 [batch, all anchors]: rank keys of those in a bin that may be chosen
    uint64_t keys[2];           // uint64 [lists, slots or kRankTile]: rank keys of the chosen; later, slots for NMS
    uint64_t boxes;             // float [lists, slots, 4]
    uint64_t scores;            // float [lists, slots]: what decides between levels
    uint64_t box_counts;        // int32 [lists]
    uint64_t thresholds;        // float [lists]: IoU
    uint64_t suppressed_by;     // uint64 [lists, slots / 64, slots]
    uint64_t num;               // int32 [lists]: boxes that NMS keeps
    uint64_t indices;           // int32 [lists, kept]: their slots
    uint64_t total;
};

inline int64_t keys_per_list(const ProposalSizes& sizes)
{
    return sizes.slots > kRankTile ? sizes.slots : kRankTile;
}

inline ProposalWorkspaceLayout proposal_workspace_layout(const ProposalSizes& sizes)
{
    ProposalWorkspaceLayout layout{};
    const auto place = [&](int64_t bytes) {
        const uint64_t offset = layout.total;
        layout.total += (static_cast<uint64_t>(bytes) + 255) / 256 * 256;
        return offset;
    };
    const int64_t lists = sizes.batch * sizes.levels;
    const int64_t words = sizes.slots / kWordCandidates;
    layout.bins = place(lists * (kRankBins + 1) * static_cast<int64_t>(sizeof(int32_t)));
    layout.candidate_counts = layout.bins + static_cast<uint64_t>(lists) * kRankBins * sizeof(int32_t);
    layout.candidates = place(sizes.batch * sizes.all_anchors * static_cast<int64_t>(sizeof(uint64_t)));
    for (uint64_t& keys : layout.keys) {
        keys = place(lists * keys_per_list(sizes) * static_cast<int64_t>(sizeof(uint64_t)));
    }
    layout.boxes = place(lists * sizes.slots * 4 * static_cast<int64_t>(sizeof(float)));
    layout.scores = place(lists * sizes.slots * static_cast<int64_t>(sizeof(float)));
    layout.box_counts = place(lists * static_cast<int64_t>(sizeof(int32_t)));
    layout.thresholds = place(lists * static_cast<int64_t>(sizeof(float)));
    layout.suppressed_by = place(lists * words * sizes.slots * static_cast<int64_t>(sizeof(uint64_t)));
    layout.num = place(lists * static_cast<int64_t>(sizeof(int32_t)));
    layout.indices = place(lists * sizes.kept * static_cast<int64_t>(sizeof(int32_t)));
    return layout;
}

}  // namespace maskrt

// GenerateProposals: a fixed sequence of seven launches for given sizes, with nothing read back, so that a CUDA graph can
// hold it. Non-maximum suppression is that of BatchedNMS, with each level of each image for an image.
#include "proposals.h"

#include "launch.h"
#include "nms_launch.h"
#include "proposal_merge.cuh"
#include "proposal_rank.cuh"
#include "proposal_select.cuh"
#include "proposal_workspace.h"

namespace maskrt {
namespace {

constexpr int64_t kMostLists = 65535;     // the limit of gridDim.y
constexpr int64_t kMostAnchors = 1 << 30; // of an image, so that their numbers stay int32

bool is_in_range(const MaskrtProposals& call)
{
    const MaskrtProposalAttributes& attributes = call.attributes;
    if (call.batch < 0 || attributes.level_count < 1 || attributes.level_count > MASKRT_MAX_RPN_LEVELS
        || attributes.pre_nms_top_k < 1 || attributes.pre_nms_top_k > kMostTopK || attributes.post_nms_top_k < 1) {
        return false;
    }
    int64_t cells = 0;
    for (int level = 0; level < attributes.level_count; ++level) {
        if (attributes.cell_anchors[level] < 1 || call.heights[level] < 0 || call.widths[level] < 0) {
            return false;
        }
        cells += attributes.cell_anchors[level];
    }
    return cells <= MASKRT_MAX_CELL_ANCHORS;
}

unsigned blocks_of(int64_t items, int64_t per_block)
{
    return static_cast<unsigned>((items + per_block - 1) / per_block);
}

}  // namespace

int32_t launch_proposals(const MaskrtProposals& call, void* workspace, cudaStream_t stream)
{
    if (!is_in_range(call)) {
        return MASKRT_INVALID_ARGUMENT;
    }
    const ProposalSizes sizes(call);
    const int64_t list_count = sizes.batch * sizes.levels;
    if (list_count > kMostLists || sizes.all_anchors > kMostAnchors || call.attributes.post_nms_top_k > kMostAnchors) {
        return MASKRT_TOO_LARGE;
    }
    if (call.batch == 0) {
        return 0;
    }
    const ProposalWorkspaceLayout layout = proposal_workspace_layout(sizes);
    const auto at = [workspace](uint64_t offset) { return static_cast<void*>(static_cast<char*>(workspace) + offset); };
    ProposalLists lists{};
    lists.call = call;
    lists.bins = static_cast<int32_t*>(at(layout.bins));
    lists.candidate_counts = static_cast<int32_t*>(at(layout.candidate_counts));
    lists.candidates = static_cast<uint64_t*>(at(layout.candidates));
    lists.keys[0] = static_cast<uint64_t*>(at(layout.keys[0]));
    lists.keys[1] = static_cast<uint64_t*>(at(layout.keys[1]));
    lists.boxes = static_cast<float4*>(at(layout.boxes));
    lists.scores = static_cast<float*>(at(layout.scores));
    lists.box_counts = static_cast<int32_t*>(at(layout.box_counts));
    lists.thresholds = static_cast<float*>(at(layout.thresholds));
    lists.num = static_cast<int32_t*>(at(layout.num));
    lists.indices = static_cast<int32_t*>(at(layout.indices));
    lists.all_anchors = sizes.all_anchors;
    lists.keys_per_list = keys_per_list(sizes);
    lists.slots = static_cast<int32_t>(sizes.slots);
    lists.kept = static_cast<int32_t>(sizes.kept);
    unsigned blocks = 0;
    for (int level = 0, first = 0; level < sizes.levels; ++level) {
        lists.anchors[level] = static_cast<int32_t>(sizes.anchors[level]);
        lists.first_anchors[level] = first;
        lists.first_blocks[level] = static_cast<int32_t>(blocks);
        first += lists.anchors[level];
        blocks += blocks_of(sizes.anchors[level], kAnchorsPerBlock);
    }

    const unsigned batch = static_cast<unsigned>(call.batch);
    const int64_t counts = list_count * (kRankBins + 1);
    int32_t status = launch(
        &clear_kernel, dim3(blocks_of(counts, kSelectThreads)), dim3(kSelectThreads), stream, lists.bins, counts);
    if (status == 0 && blocks > 0) {
        status = launch(&count_bins_kernel, dim3(blocks, batch), dim3(kSelectThreads), stream, lists);
    }
    if (status == 0 && blocks > 0) {
        status = launch(&collect_kernel, dim3(blocks, batch), dim3(kSelectThreads), stream, lists);
    }
    if (status == 0) {
        status = launch(
            &rank_kernel, dim3(static_cast<unsigned>(sizes.levels), batch), dim3(kRankThreads), stream, lists);
    }
    if (status == 0) {
        NmsRound round{};
        round.call.batch = static_cast<int32_t>(list_count);
        round.call.boxes_per_image = lists.slots;
        round.call.max_output = lists.kept;
        round.call.boxes = reinterpret_cast<const float*>(lists.boxes);
        round.call.iou_threshold = lists.thresholds;
        round.call.num = lists.num;
        round.call.indices = lists.indices;
        round.keys = lists.keys[0];
        round.candidate_counts = lists.box_counts;
        round.suppressed_by = static_cast<uint64_t*>(at(layout.suppressed_by));
        round.keys_per_image = lists.keys_per_list;
        round.runs = 1;
        round.size = lists.slots;
        status = launch_nms_round(round, stream);
    }
    if (status == 0) {
        const int64_t most = sizes.levels * sizes.kept;
        const int64_t items = most > call.attributes.post_nms_top_k ? most : call.attributes.post_nms_top_k;
        status = launch(
            &merge_boxes_kernel, dim3(blocks_of(items, kMergeBoxThreads), batch), dim3(kMergeBoxThreads), stream, lists);
    }
    return status;
}

}  // namespace maskrt

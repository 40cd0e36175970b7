// GenerateProposals on the CPU, from the kernels' own arithmetic: plain sorting, and the greedy loop level by level.
#include "maskrt_plugins.h"

#include <algorithm>
#include <vector>

#include "arithmetic/iou.h"
#include "arithmetic/proposal.h"

namespace {

using namespace maskrt;

struct Proposal {
    Box box;
    float area;
    uint64_t key;  // by the score that decides between levels; the index is of the order within all levels
};

// The maps of one level of one image.
struct Level {
    const MaskrtProposalAttributes& attributes;
    const float* logits;
    const float* deltas;
    const float* anchors;
    int64_t positions;
    int32_t cells, width, stride_x, stride_y;
    float offset;

    float logit(int32_t index) const
    {
        return logits[index % cells * positions + index / cells];
    }

    // The numbers of the best anchors, in the order in which suppression takes them.
    std::vector<uint64_t> rank() const
    {
        std::vector<uint64_t> keys;
        const int32_t count = static_cast<int32_t>(positions * cells);
        for (int32_t index = 0; index < count; ++index) {
            keys.push_back(make_rank_key(score_of(logit(index), attributes.top_k_by_probability), index));
        }
        const int32_t wanted = std::min(attributes.pre_nms_top_k, count);
        std::partial_sort(keys.begin(), keys.begin() + wanted, keys.end());
        keys.resize(static_cast<size_t>(wanted));
        if (attributes.top_k_by_probability != 0 && !suppression_follows_probability(attributes)) {
            for (uint64_t& key : keys) {
                key = make_rank_key(logit(key_index(key)), key_index(key));
            }
            std::sort(keys.begin(), keys.end());
        }
        return keys;
    }

    Box decode(int32_t index, float image_width, float image_height) const
    {
        const AnchorPlace place = place_anchor(index, cells, width);
        float moves[4];
        for (int i = 0; i < 4; ++i) {
            moves[i] = deltas[(4 * place.cell + i) * positions + static_cast<int64_t>(place.row) * width + place.column];
        }
        const Box anchor = anchor_box(anchors + 4 * place.cell, place, stride_x, stride_y, offset);
        return clip_box(decode_box(attributes, anchor, moves), image_width, image_height);
    }
};

Level describe_level(const MaskrtProposals& call, int32_t image, int32_t level)
{
    const MaskrtProposalAttributes& attributes = call.attributes;
    const int64_t positions = static_cast<int64_t>(call.heights[level]) * call.widths[level];
    const int32_t cells = attributes.cell_anchors[level];
    const int32_t stride = attributes.strides[level];
    const bool by_canvas = stride == 0 && positions > 0;
    int32_t cells_before = 0;
    for (int32_t i = 0; i < level; ++i) {
        cells_before += attributes.cell_anchors[i];
    }
    return Level{attributes, static_cast<const float*>(call.logits[level]) + image * cells * positions,
        static_cast<const float*>(call.deltas[level]) + image * 4 * cells * positions,
        attributes.anchors + 4 * cells_before, positions, cells, call.widths[level],
        by_canvas ? call.canvas_size[1] / call.widths[level] : stride,
        by_canvas ? call.canvas_size[0] / call.heights[level] : stride, attributes.offsets[level]};
}

void suppress_level(const Level& level, float image_width, float image_height, std::vector<Proposal>& proposals)
{
    const MaskrtProposalAttributes& attributes = level.attributes;
    const size_t first = proposals.size();
    const size_t most = first + static_cast<size_t>(attributes.post_nms_top_k);
    for (const uint64_t ranked : level.rank()) {
        if (proposals.size() == most) {
            break;
        }
        const float logit = level.logit(key_index(ranked));
        const Box box = level.decode(key_index(ranked), image_width, image_height);
        const float area = box_area(box);
        if (!is_proposal(attributes, box, logit)
            || std::any_of(proposals.begin() + static_cast<std::ptrdiff_t>(first), proposals.end(), [&](const Proposal& kept) {
                   return suppresses(kept.box, kept.area, box, area, attributes.nms_threshold);
               })) {
            continue;
        }
        const float score = score_of(logit, attributes.nms_by_probability);
        proposals.push_back({box, area, make_score_key(score, static_cast<int32_t>(proposals.size()))});
    }
}

}  // namespace

extern "C" int32_t maskrt_host_proposals(const MaskrtProposals* call)
{
    const int32_t most = call->attributes.post_nms_top_k;
    for (int32_t image = 0; image < call->batch; ++image) {
        const float height = static_cast<float>(call->image_sizes[2 * image]);
        const float width = static_cast<float>(call->image_sizes[2 * image + 1]);
        std::vector<Proposal> proposals;
        for (int32_t level = 0; level < call->attributes.level_count; ++level) {
            suppress_level(describe_level(*call, image, level), width, height, proposals);
        }
        std::sort(proposals.begin(), proposals.end(), [](const Proposal& a, const Proposal& b) { return a.key < b.key; });
        const int32_t num = std::min(most, static_cast<int32_t>(proposals.size()));
        float* rows = call->proposals + static_cast<int64_t>(image) * most * 4;
        std::fill(rows, rows + static_cast<int64_t>(most) * 4, 0.0f);
        for (int32_t i = 0; i < num; ++i) {
            const Box& box = proposals[static_cast<size_t>(i)].box;
            const float corners[4] = {box.x1, box.y1, box.x2, box.y2};
            std::copy(corners, corners + 4, rows + 4 * static_cast<int64_t>(i));
        }
        call->num[image] = num;
    }
    return 0;
}

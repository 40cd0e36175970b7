// Reading the maps of a region proposal network's head in any of their layouts.
#pragma once

#include "arithmetic/proposal.h"
#include "feature_layout.cuh"

namespace maskrt {

__device__ inline float read_map(const void* map, int64_t offset, int32_t data_type)
{
    return data_type == MASKRT_FLOAT16 ? to_float(static_cast<const __half*>(map)[offset])
                                       : static_cast<const float*>(map)[offset];
}

// Of a channel of a position, in a map of so many channels.
__device__ inline float read_channel(const MaskrtProposals& call, const void* map, int level, int image,
    int64_t position, int channel, int channels, int stride)
{
    const int64_t positions = static_cast<int64_t>(call.heights[level]) * call.widths[level];
    const int64_t offset = call.channels_last != 0 ? (image * positions + position) * stride + channel
                                                   : (static_cast<int64_t>(image) * channels + channel) * positions + position;
    return read_map(map, offset, call.data_type);
}

__device__ inline float read_logit(const MaskrtProposals& call, int level, int image, int64_t position, int cell)
{
    return read_channel(call, call.logits[level], level, image, position, cell, call.attributes.cell_anchors[level],
        call.logit_strides[level]);
}

__device__ inline float read_delta(
    const MaskrtProposals& call, int level, int image, int64_t position, int cell, int number)
{
    return read_channel(call, call.deltas[level], level, image, position, 4 * cell + number,
        4 * call.attributes.cell_anchors[level], call.delta_strides[level]);
}

// The key by which an anchor is ranked; `element` counts a level's anchors as they lie in memory.
__device__ inline uint64_t read_rank_key(const MaskrtProposals& call, int level, int image, int64_t element)
{
    const int cells = call.attributes.cell_anchors[level];
    const int64_t positions = static_cast<int64_t>(call.heights[level]) * call.widths[level];
    const int cell = static_cast<int>(call.channels_last != 0 ? element % cells : element / positions);
    const int64_t position = call.channels_last != 0 ? element / cells : element - cell * positions;
    const float logit = read_logit(call, level, image, position, cell);
    return make_rank_key(score_of(logit, call.attributes.top_k_by_probability), static_cast<int32_t>(position * cells + cell));
}

}  // namespace maskrt

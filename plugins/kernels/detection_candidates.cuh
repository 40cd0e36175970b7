// Candidates for detections, in sorted runs: a warp to a proposal makes its scores; only what is above the threshold is
// decoded, and written at all.
#pragma once

#include "arithmetic/detection.h"
#include "feature_layout.cuh"
#include "nms_run.cuh"

namespace maskrt {

struct DetectionLists {
    MaskrtDetections call;
    MaskrtBatchedNms nms;  // boxes, groups, num and indices: of the workspace
    float* scores;         // [batch, slots]
    uint64_t* keys;
    int32_t* run_lengths;
    int32_t runs;
};

__device__ inline float read_number(const void* numbers, int64_t offset, int32_t data_type)
{
    return data_type == MASKRT_FLOAT16 ? to_float(static_cast<const __half*>(numbers)[offset])
                                       : static_cast<const float*>(numbers)[offset];
}

// Called by a whole warp, for a row of logits.
__device__ inline Softmax add_up(const MaskrtDetections& call, int64_t first_logit, int lane)
{
    Softmax softmax{-INFINITY, 0.0f};
    for (int label = lane; label < call.labels; label += kSoftmaxLanes) {
        softmax.largest = fmaxf(softmax.largest, read_number(call.logits, first_logit + label, call.logits_type));
    }
    for (int distance = kSoftmaxLanes / 2; distance > 0; distance /= 2) {
        softmax.largest = fmaxf(softmax.largest, __shfl_xor_sync(0xffffffffu, softmax.largest, distance));
    }
    for (int label = lane; label < call.labels; label += kSoftmaxLanes) {
        softmax.sum
            += exp_float32(read_number(call.logits, first_logit + label, call.logits_type) - softmax.largest);
    }
    for (int distance = kSoftmaxLanes / 2; distance > 0; distance /= 2) {
        softmax.sum += __shfl_xor_sync(0xffffffffu, softmax.sum, distance);
    }
    return softmax;
}

// One block per kSortTile slots and image: all proposals that have a slot there.
__global__ void __launch_bounds__(kSortThreads) candidates_kernel(const __grid_constant__ DetectionLists lists)
{
    __shared__ uint64_t tile[kSortTile];
    __shared__ int candidates;
    const MaskrtDetections& call = lists.call;
    const MaskrtDetectionAttributes& attributes = call.attributes;
    const int thread = static_cast<int>(threadIdx.x);
    const int lane = thread % kSoftmaxLanes;
    const int image = static_cast<int>(blockIdx.y);
    const int classes = call.labels - 1;
    const int first_slot = static_cast<int>(blockIdx.x) * kSortTile;
    const int end_slot = min(first_slot + kSortTile, lists.nms.boxes_per_image);
    const int first_row = first_slot / classes;
    const int end_row = min((end_slot + classes - 1) / classes, existing_proposals(call, image));
    const int columns = delta_columns(attributes, call.labels);
    const float threshold = call.score_threshold[image];
    const float height = static_cast<float>(call.image_sizes[2 * image]);
    const float width = static_cast<float>(call.image_sizes[2 * image + 1]);
    const int64_t image_slots = static_cast<int64_t>(image) * lists.nms.boxes_per_image;
    if (thread == 0) {
        candidates = 0;
    }
    __syncthreads();
    for (int row = first_row + thread / kSoftmaxLanes; row < end_row; row += kSortThreads / kSoftmaxLanes) {
        const int64_t proposal = static_cast<int64_t>(image) * call.proposals_per_image + row;
        const int64_t first_logit = proposal * call.labels;
        const Softmax softmax
            = attributes.activation == MASKRT_SOFTMAX ? add_up(call, first_logit, lane) : Softmax{};
        const int first_class = max(first_slot - row * classes, 0);
        const int end_class = min(end_slot - row * classes, classes);
        for (int object_class = first_class + lane; object_class < end_class; object_class += kSoftmaxLanes) {
            const int label = label_of_class(attributes, object_class);
            const float logit = read_number(call.logits, first_logit + label, call.logits_type);
            const float score = score_of_logit(logit, attributes.activation, softmax);
            if (!(score > threshold)) {  // NaN, too
                continue;
            }
            const int64_t first = proposal * columns + first_delta(attributes, object_class);
            float deltas[4];
            for (int i = 0; i < 4; ++i) {
                deltas[i] = read_number(call.deltas, first + i, call.deltas_type);
            }
            const Box box
                = clip_box(decode_box(attributes, load_box(call.proposals + proposal * 4), deltas), width, height);
            if (!is_large_enough(attributes, box)) {
                continue;
            }
            const int slot = row * classes + object_class;
            reinterpret_cast<float4*>(const_cast<float*>(lists.nms.boxes))[image_slots + slot]
                = make_float4(box.x1, box.y1, box.x2, box.y2);
            const_cast<int32_t*>(lists.nms.groups)[image_slots + slot] = object_class;
            lists.scores[image_slots + slot] = score;
            tile[atomicAdd(&candidates, 1)] = make_score_key(score, slot);
        }
    }
    __syncthreads();
    sort_run(tile, candidates, image, lists.keys, lists.run_lengths, lists.runs);
    empty_outputs(lists.nms, image);
}

constexpr int kGatherThreads = 256;

// A thread for each row of the outputs.
__global__ void __launch_bounds__(kGatherThreads) gather_detections_kernel(const __grid_constant__ DetectionLists lists)
{
    const MaskrtDetections& call = lists.call;
    const int64_t most = call.attributes.max_detections;
    const int64_t row = static_cast<int64_t>(blockIdx.x) * kGatherThreads + threadIdx.x;
    if (row >= most) {
        return;
    }
    const int64_t target = blockIdx.y * most + row;
    const int32_t slot = lists.nms.indices[target];
    float4 box = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    float score = 0.0f;
    int32_t label = 0;
    if (slot >= 0) {
        const int64_t source = static_cast<int64_t>(blockIdx.y) * lists.nms.boxes_per_image + slot;
        box = reinterpret_cast<const float4*>(lists.nms.boxes)[source];
        score = lists.scores[source];
        label = lists.nms.groups[source] + 1;
    }
    reinterpret_cast<float4*>(call.boxes)[target] = box;
    call.scores[target] = score;
    call.classes[target] = label;
}

}  // namespace maskrt

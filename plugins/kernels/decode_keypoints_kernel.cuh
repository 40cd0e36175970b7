// DecodeKeypoints: a block to a heatmap. A thread goes down a column of the stretched heatmap, or down a part of it, and
// keeps the four values along x that the current row blends: nothing is stored but the maximum.
#pragma once

#include "arithmetic/cubic.h"
#include "arithmetic/keypoint.h"

namespace maskrt {

constexpr int kKeypointThreads = 128;
constexpr int kKeypointBlocks = 6;  // that a multiprocessor can hold at least; left to choose, the compiler spills on 7.5

// The values of the stretched columns of a heatmap around a row, for one column.
struct ColumnWindow {
    const float* map;
    int height, width;
    CubicTaps column;
    int first;  // row of values[0]
    float values[4];

    __device__ float stretched(int row) const
    {
        const float* in_row = map + static_cast<int64_t>(cubic_index(row, height)) * width;
        const auto value = [&](int k) { return __ldg(in_row + cubic_index(column.first + k, width)); };
        return cubic_blend(value(0), value(1), value(2), value(3), column.weights);
    }

    __device__ void fill(int row)
    {
        first = row;
        for (int k = 0; k < 4; ++k) {
            values[k] = stretched(row + k);
        }
    }

    __device__ void move_to(int row)
    {
        if (row == first + 1) {
            first = row;
            values[0] = values[1];
            values[1] = values[2];
            values[2] = values[3];
            values[3] = stretched(row + 3);
        } else if (row != first) {
            fill(row);
        }
    }
};

__device__ inline float sum_in_block(float mine, float* shared)
{
    shared[threadIdx.x] = mine;
    __syncthreads();
    for (int half = kKeypointThreads / 2; half > 0; half /= 2) {
        if (static_cast<int>(threadIdx.x) < half) {
            shared[threadIdx.x] += shared[threadIdx.x + half];
        }
        __syncthreads();
    }
    return shared[0];
}

__device__ inline Peak highest_in_block(const Peak& mine, Peak* shared)
{
    shared[threadIdx.x] = mine;
    __syncthreads();
    for (int half = kKeypointThreads / 2; half > 0; half /= 2) {
        if (static_cast<int>(threadIdx.x) < half) {
            shared[threadIdx.x] = higher(shared[threadIdx.x], shared[threadIdx.x + half]);
        }
        __syncthreads();
    }
    return shared[0];
}

__global__ void __launch_bounds__(kKeypointThreads, kKeypointBlocks)
    decode_keypoints_kernel(const __grid_constant__ MaskrtDecodeKeypoints call)
{
    __shared__ CubicTaps rows[kKeypointThreads];
    __shared__ Peak peaks[kKeypointThreads];
    __shared__ float sums[kKeypointThreads];
    const int64_t number = blockIdx.x;
    const int thread = static_cast<int>(threadIdx.x);
    const Box box = load_box(call.boxes + number / call.keypoints * 4);
    const KeypointAxis x = make_keypoint_axis(box.x1, box.x2);
    const KeypointAxis y = make_keypoint_axis(box.y1, box.y2);
    const float scale_x = static_cast<float>(call.map_width) / static_cast<float>(x.pixels);
    const float scale_y = static_cast<float>(call.map_height) / static_cast<float>(y.pixels);
    const int64_t cells = static_cast<int64_t>(call.map_height) * call.map_width;
    const float* map = call.heatmaps + number * cells;

    // Of a narrow box several threads share a column.
    int columns_at_once = kKeypointThreads;
    while (columns_at_once / 2 >= x.pixels) {
        columns_at_once /= 2;
    }
    const int part = thread / columns_at_once;
    const int rows_per_part = columns_at_once;  // of kKeypointThreads rows at once
    Peak peak{-INFINITY, INT32_MAX, INT32_MAX};
    for (int top = 0; top < y.pixels; top += kKeypointThreads) {
        __syncthreads();  // the rows before have been read
        rows[thread] = make_cubic_taps(top + thread, scale_y, call.map_height);
        __syncthreads();
        const int begin = part * rows_per_part;
        const int left = y.pixels - top;
        const int end = begin + rows_per_part < left ? begin + rows_per_part : left;
        for (int column = thread % columns_at_once; column < x.pixels && begin < end; column += columns_at_once) {
            ColumnWindow window{map, call.map_height, call.map_width, make_cubic_taps(column, scale_x, call.map_width), 0, {}};
            window.fill(rows[begin].first);
            for (int row = begin; row < end; ++row) {
                window.move_to(rows[row].first);
                const float value = cubic_blend(
                    window.values[0], window.values[1], window.values[2], window.values[3], rows[row].weights);
                peak = higher(peak, Peak{value, top + row, column});
            }
        }
    }
    peak = highest_in_block(peak, peaks);
    float score = peak.value;
    if (call.normalized != 0) {
        float sum = 0.0f;
        for (int64_t i = thread; i < cells; i += kKeypointThreads) {
            sum += expf(__ldg(map + i) - peak.value);
        }
        score = 1.0f / sum_in_block(sum, sums);
    }
    if (thread == 0) {
        store_keypoint(call.output + number * 3, x, y, peak, score);
    }
}

}  // namespace maskrt

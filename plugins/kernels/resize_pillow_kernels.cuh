// Resizing as Pillow does, in three launches: the weights of both axes, the pass along x, the pass along y with the
// canvas around.
//
// The weights take divisions in double precision, which GPUs for graphics have few units for: they are worked out once a
// column and once a row, and the passes multiply whole numbers.
#pragma once

#include "maskrt_plugins.h"
#include "pillow_workspace.h"
#include "pixel_pair.cuh"
#include "resize_pad_kernel.cuh"

namespace maskrt {

constexpr int kPillowThreads = 128;
constexpr int kPillowRows = 8;  // of a block in the pass along x

struct PillowFrame {
    MaskrtFrame frame;
    PillowAxis x, y;
    uint8_t* rows;     // [height, row_bytes]: after the pass along x
    int32_t* table_x;  // [resized_width, 2 + x.max_taps]
    int32_t* table_y;  // [resized_height, 2 + y.max_taps]
    int row_bytes;
};

struct PillowBatch {
    PillowFrame frames[kResizeFrames];
    void* canvas;
    int canvas_height, canvas_width;
    unsigned blocks_per_row;  // in the pass along y
};

// blockIdx.y: the frame. A thread works on one entry of one of its two tables.
__global__ void __launch_bounds__(kPillowThreads) pillow_weights_kernel(const __grid_constant__ PillowBatch batch)
{
    const PillowFrame& placed = batch.frames[blockIdx.y];
    const int item = static_cast<int>(blockIdx.x * kPillowThreads + threadIdx.x);
    const int columns = placed.frame.resized_width;
    if (item >= columns + placed.frame.resized_height) {
        return;
    }
    const bool is_column = item < columns;
    const PillowAxis& axis = is_column ? placed.x : placed.y;
    const int position = is_column ? item : item - columns;
    const int source_size = is_column ? placed.frame.width : placed.frame.height;
    int32_t* entry = (is_column ? placed.table_x : placed.table_y) + static_cast<int64_t>(position) * (2 + axis.max_taps);
    const PillowSpan span = pillow_span(axis, position, source_size);
    entry[0] = span.first;
    entry[1] = span.count;
    pillow_weights(axis, span, position, entry + 2);
}

// blockIdx.x: kPillowThreads columns, blockIdx.y: kPillowRows rows, blockIdx.z: the frame. A thread works on a column.
__global__ void __launch_bounds__(kPillowThreads) pillow_columns_kernel(const __grid_constant__ PillowBatch batch)
{
    const PillowFrame& placed = batch.frames[blockIdx.z];
    const MaskrtFrame& frame = placed.frame;
    const int column = static_cast<int>(blockIdx.x * kPillowThreads + threadIdx.x);
    if (column >= frame.resized_width) {
        return;
    }
    const int32_t* entry = placed.table_x + static_cast<int64_t>(column) * (2 + placed.x.max_taps);
    const int first = entry[0];
    const int count = entry[1];
    const int32_t* weights = entry + 2;
    const uint8_t* end = frame.pixels + (frame.height - 1) * frame.row_stride + 3 * frame.width;
    const int first_row = static_cast<int>(blockIdx.y) * kPillowRows;
    const int end_row = min(first_row + kPillowRows, frame.height);
#pragma unroll 1
    for (int row = first_row; row < end_row; ++row) {
        const uint8_t* source = frame.pixels + row * frame.row_stride + 3 * static_cast<int64_t>(first);
        int32_t sums[3] = {kPillowHalf, kPillowHalf, kPillowHalf};
#pragma unroll 1
        for (int tap = 0; tap < count; tap += 2) {
            const bool alone = tap + 1 == count;
            const PixelPair pair = load_pixel_pair(source + 3 * tap, alone, frame.pixels, end);
            const int32_t second_weight = alone ? 0 : weights[tap + 1];
            for (int channel = 0; channel < 3; ++channel) {
                sums[channel] += pair.first(channel) * weights[tap] + pair.second(channel) * second_weight;
            }
        }
        uint8_t* target = placed.rows + static_cast<int64_t>(row) * placed.row_bytes + 3 * column;
        for (int channel = 0; channel < 3; ++channel) {
            target[channel] = pillow_level(sums[channel]);
        }
    }
}

// blockIdx.y: the frame. blockIdx.x: blocks_per_row blocks side by side to a row of the canvas. A thread works on four
// numbers of a row.
template <typename Value, bool kWhole>
__global__ void __launch_bounds__(kPillowThreads) pillow_rows_kernel(const __grid_constant__ PillowBatch batch)
{
    const PillowFrame& placed = batch.frames[blockIdx.y];
    const MaskrtFrame& frame = placed.frame;
    const int row = static_cast<int>(blockIdx.x / batch.blocks_per_row);
    const int number
        = static_cast<int>((blockIdx.x % batch.blocks_per_row) * kPillowThreads + threadIdx.x) * kResizeVector;
    const int row_numbers = 3 * batch.canvas_width;
    if (number >= row_numbers) {
        return;
    }
    const int inside = row < frame.resized_height ? 3 * frame.resized_width - number : 0;  // so many are the frame's
    int32_t sums[kResizeVector] = {kPillowHalf, kPillowHalf, kPillowHalf, kPillowHalf};
    if (inside > 0) {
        const int32_t* entry = placed.table_y + static_cast<int64_t>(row) * (2 + placed.y.max_taps);
        const int count = entry[1];
        const uint8_t* source = placed.rows + static_cast<int64_t>(entry[0]) * placed.row_bytes + number;
#pragma unroll 1
        for (int tap = 0; tap < count; ++tap, source += placed.row_bytes) {
            const uint32_t levels = *reinterpret_cast<const uint32_t*>(source);
            const int32_t weight = entry[2 + tap];
            for (int i = 0; i < kResizeVector; ++i) {
                sums[i] += static_cast<int32_t>(levels >> (8 * i) & 0xff) * weight;
            }
        }
    }
    ResizeVector<Value> written;
    for (int i = 0; i < kResizeVector; ++i) {
        written.values[i] = i < inside ? static_cast<Value>(pillow_level(sums[i])) : Value{};
    }
    Value* canvas = static_cast<Value*>(batch.canvas);
    Value* target = canvas + (static_cast<int64_t>(blockIdx.y) * batch.canvas_height + row) * row_numbers + number;
    store_vector<kWhole>(target, written, row_numbers - number);
}

}  // namespace maskrt

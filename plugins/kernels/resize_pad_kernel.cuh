// Raw frames to a padded canvas in one pass: resizing, layout, type and the zeros around, for a whole batch.
//
// A thread writes the same four numbers (a vector; they belong to two pixels) of kResizeRows rows, one below the other:
// it works out the columns' source positions once, and rows that share source rows meet in the cache. Stores are whole
// vectors, next to each other within a warp. Source rows are not staged in shared memory: how many a tile needs depends
// on the scale without bound, and the four taps of neighbouring pixels are close enough for the L1 cache.
#pragma once

#include "maskrt_plugins.h"
#include "pixel_pair.cuh"

namespace maskrt {

constexpr int kResizeThreads = 128;
constexpr int kResizeRows = 8;
constexpr int kResizeVector = 4;   // numbers
constexpr int kResizeFrames = 32;  // to a launch: their descriptions are kernel arguments, of which 4 KiB fit

template <typename Arithmetic>
struct PlacedFrame {
    MaskrtFrame frame;
    typename Arithmetic::Scale scale_y, scale_x;
};

template <typename Arithmetic>
struct ResizeBatch {
    PlacedFrame<Arithmetic> frames[kResizeFrames];
    void* canvas;
    int canvas_height;
    int row_numbers;
    int vectors_per_row;  // the last one may reach beyond the row
    unsigned blocks_per_row;
};

template <typename T>
struct alignas(kResizeVector * sizeof(T)) ResizeVector {
    T values[kResizeVector];
};

// kWhole: rows are whole vectors. Otherwise a row may start at any number, and its last vector may have only `count` that
// belong to it.
template <bool kWhole, typename T>
__device__ inline void store_vector(T* target, const ResizeVector<T>& vector, int count)
{
    if (kWhole) {
        *reinterpret_cast<ResizeVector<T>*>(target) = vector;
        return;
    }
    for (int i = 0; i < kResizeVector; ++i) {
        if (i < count) {
            target[i] = vector.values[i];
        }
    }
}

// Value: of the canvas. blockIdx.y: the frame. blockIdx.x: blocks_per_row blocks side by side, kResizeRows rows high, from top to bottom.
template <typename Arithmetic, typename Value, bool kWhole>
__global__ void __launch_bounds__(kResizeThreads)
    resize_pad_kernel(const __grid_constant__ ResizeBatch<Arithmetic> batch)
{
    using Tap = typename Arithmetic::Tap;
    __shared__ Tap row_taps[kResizeRows];
    const PlacedFrame<Arithmetic>& placed = batch.frames[blockIdx.y];
    const MaskrtFrame& frame = placed.frame;
    const int thread = static_cast<int>(threadIdx.x);
    const unsigned block_row = blockIdx.x / batch.blocks_per_row;
    const int vector = static_cast<int>((blockIdx.x - block_row * batch.blocks_per_row) * kResizeThreads) + thread;
    const int first_row = static_cast<int>(block_row) * kResizeRows;
    if (thread < kResizeRows) {
        row_taps[thread] = Arithmetic::row_tap(first_row + thread, frame.height, placed.scale_y);
    }
    __syncthreads();
    if (vector >= batch.vectors_per_row) {
        return;
    }

    const int first_pixel = vector * kResizeVector / 3;
    const int skipped = vector * kResizeVector - 3 * first_pixel;  // channels of the first pixel before the vector
    const Tap columns[2] = {Arithmetic::column_tap(first_pixel, frame.width, placed.scale_x),
        Arithmetic::column_tap(first_pixel + 1, frame.width, placed.scale_x)};
    const uint8_t* end = frame.pixels + (frame.height - 1) * frame.row_stride + 3 * frame.width;
    const int end_row = min(first_row + kResizeRows, batch.canvas_height);
    const int64_t row_numbers = batch.row_numbers;
    Value* target = static_cast<Value*>(batch.canvas) + (static_cast<int64_t>(blockIdx.y) * batch.canvas_height + first_row) * row_numbers
        + vector * kResizeVector;
#pragma unroll 1
    for (int row = first_row; row < end_row; ++row, target += row_numbers) {
        Value pixels[6] = {};
        if (row < frame.resized_height) {
            const Tap row_tap = row_taps[row - first_row];
            const uint8_t* top = frame.pixels + row_tap.first * frame.row_stride;
            const uint8_t* bottom = frame.pixels + row_tap.second * frame.row_stride;
            for (int i = 0; i < 2; ++i) {
                if (first_pixel + i >= frame.resized_width) {
                    continue;
                }
                const Tap& column = columns[i];
                const bool alone = column.first == column.second;
                const PixelPair upper = load_pixel_pair(top + 3 * column.first, alone, frame.pixels, end);
                const PixelPair lower = load_pixel_pair(bottom + 3 * column.first, alone, frame.pixels, end);
                for (int channel = 0; channel < 3; ++channel) {
                    pixels[3 * i + channel] = static_cast<Value>(Arithmetic::blend(row_tap, column, upper.first(channel),
                        upper.second(channel), lower.first(channel), lower.second(channel)));
                }
            }
        }
        ResizeVector<Value> written;
        for (int i = 0; i < kResizeVector; ++i) {
            written.values[i] = skipped == 0 ? pixels[i] : skipped == 1 ? pixels[i + 1] : pixels[i + 2];
        }
        store_vector<kWhole>(target, written, batch.row_numbers - vector * kResizeVector);
    }
}

}  // namespace maskrt

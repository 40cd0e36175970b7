// Resizing and padding: one launch for every kResizeFrames frames; as Pillow does it, three.
#include "resize_pad.h"

#include <limits.h>

#include "arithmetic/resize_float32.h"
#include "arithmetic/resize_limits.h"
#include "arithmetic/resize_uint8.h"
#include "launch.h"
#include "resize_pad_kernel.cuh"
#include "resize_pillow_kernels.cuh"

namespace maskrt {
namespace {

int64_t frame_numbers(const MaskrtResizePad& call)
{
    return static_cast<int64_t>(call.canvas_height) * call.canvas_width * 3;
}

int vectors_of_row(const MaskrtResizePad& call)
{
    return (3 * call.canvas_width + kResizeVector - 1) / kResizeVector;
}

bool has_whole_vectors(const MaskrtResizePad& call)
{
    return call.canvas_width % kResizeVector == 0;
}

// Calls launch_part(first, frames) for every kResizeFrames frames.
template <typename LaunchPart>
int32_t launch_parts(const MaskrtResizePad& call, const LaunchPart& launch_part)
{
    int32_t status = 0;
    for (int32_t first = 0; first < call.batch && status == 0; first += kResizeFrames) {
        status = launch_part(first, call.batch - first < kResizeFrames ? call.batch - first : kResizeFrames);
    }
    return status;
}

template <typename Arithmetic, typename Value>
int32_t launch_frames(const MaskrtResizePad& call, cudaStream_t stream)
{
    ResizeBatch<Arithmetic> batch{};
    batch.canvas_height = call.canvas_height;
    batch.row_numbers = 3 * call.canvas_width;
    batch.vectors_per_row = vectors_of_row(call);
    batch.blocks_per_row = static_cast<unsigned>((batch.vectors_per_row + kResizeThreads - 1) / kResizeThreads);
    const int64_t block_rows = (call.canvas_height + kResizeRows - 1) / kResizeRows;
    if (block_rows * batch.blocks_per_row > INT_MAX) {
        return MASKRT_TOO_LARGE;
    }
    return launch_parts(call, [&](int32_t first, int32_t frames) {
        for (int32_t i = 0; i < frames; ++i) {
            const MaskrtFrame& frame = call.frames[first + i];
            batch.frames[i] = {frame, Arithmetic::scale(frame.height, frame.resized_height),
                Arithmetic::scale(frame.width, frame.resized_width)};
        }
        batch.canvas = static_cast<Value*>(call.canvas) + first * frame_numbers(call);
        const dim3 grid(static_cast<unsigned>(block_rows * batch.blocks_per_row), static_cast<unsigned>(frames));
        return has_whole_vectors(call)
            ? launch(&resize_pad_kernel<Arithmetic, Value, true>, grid, dim3(kResizeThreads), stream, batch)
            : launch(&resize_pad_kernel<Arithmetic, Value, false>, grid, dim3(kResizeThreads), stream, batch);
    });
}

unsigned blocks(int64_t items, int per_block)
{
    return static_cast<unsigned>((items + per_block - 1) / per_block);
}

template <typename Value>
int32_t launch_pillow(const MaskrtResizePad& call, void* workspace, cudaStream_t stream)
{
    PillowBatch batch{};
    batch.canvas_height = call.canvas_height;
    batch.canvas_width = call.canvas_width;
    batch.blocks_per_row = blocks(vectors_of_row(call), kPillowThreads);
    if (static_cast<int64_t>(call.canvas_height) * batch.blocks_per_row > INT_MAX) {
        return MASKRT_TOO_LARGE;
    }
    auto* free = static_cast<uint8_t*>(workspace);
    return launch_parts(call, [&](int32_t first, int32_t frames) {
        int entries = 1;
        int width = 1;
        int height = 1;
        for (int32_t i = 0; i < frames; ++i) {
            const MaskrtFrame& frame = call.frames[first + i];
            const PillowLayout layout = pillow_layout(frame);
            batch.frames[i] = {frame, pillow_axis(frame.width, frame.resized_width),
                pillow_axis(frame.height, frame.resized_height), free, reinterpret_cast<int32_t*>(free + layout.table_x),
                reinterpret_cast<int32_t*>(free + layout.table_y), static_cast<int>(pillow_row_bytes(frame))};
            free += layout.total;
            entries = max(entries, frame.resized_width + frame.resized_height);
            width = max(width, frame.resized_width);
            height = max(height, frame.height);
        }
        batch.canvas = static_cast<Value*>(call.canvas) + first * frame_numbers(call);
        const auto number = static_cast<unsigned>(frames);
        const dim3 threads(kPillowThreads);
        int32_t status
            = launch(&pillow_weights_kernel, dim3(blocks(entries, kPillowThreads), number), threads, stream, batch);
        if (status == 0) {
            const dim3 grid(blocks(width, kPillowThreads), blocks(height, kPillowRows), number);
            status = launch(&pillow_columns_kernel, grid, threads, stream, batch);
        }
        if (status == 0) {
            const dim3 grid(static_cast<unsigned>(call.canvas_height) * batch.blocks_per_row, number);
            status = has_whole_vectors(call) ? launch(&pillow_rows_kernel<Value, true>, grid, threads, stream, batch)
                                             : launch(&pillow_rows_kernel<Value, false>, grid, threads, stream, batch);
        }
        return status;
    });
}

}  // namespace

int32_t launch_resize_pad(const MaskrtResizePad& call, void* workspace, cudaStream_t stream)
{
    const int32_t status = check_resize_pad(call);
    if (status != 0) {
        return status;
    }
    const bool is_uint8 = call.data_type == MASKRT_UINT8;
    if (call.filter == MASKRT_PILLOW_BILINEAR) {
        return is_uint8 ? launch_pillow<uint8_t>(call, workspace, stream) : launch_pillow<float>(call, workspace, stream);
    }
    if (is_uint8) {
        return launch_frames<ResizeUint8, uint8_t>(call, stream);
    }
    return call.filter == MASKRT_OPENCV_BILINEAR ? launch_frames<ResizeUint8, float>(call, stream)
                                                 : launch_frames<ResizeFloat32, float>(call, stream);
}

}  // namespace maskrt

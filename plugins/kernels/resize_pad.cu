// Resizing and padding: one launch for every kResizeFrames frames.
#include "resize_pad.h"

#include <limits.h>

#include "arithmetic/resize_float32.h"
#include "arithmetic/resize_limits.h"
#include "arithmetic/resize_uint8.h"
#include "launch.h"
#include "resize_pad_kernel.cuh"

namespace maskrt {
namespace {

template <typename Arithmetic>
int32_t launch_frames(const MaskrtResizePad& call, cudaStream_t stream)
{
    ResizeBatch<Arithmetic> batch{};
    batch.canvas_height = call.canvas_height;
    batch.vectors_per_row = call.canvas_width / kResizeVector * 3;
    batch.blocks_per_row = static_cast<unsigned>((batch.vectors_per_row + kResizeThreads - 1) / kResizeThreads);
    const int64_t block_rows = (call.canvas_height + kResizeRows - 1) / kResizeRows;
    if (block_rows * batch.blocks_per_row > INT_MAX) {
        return MASKRT_TOO_LARGE;
    }
    const dim3 threads(kResizeThreads);
    const int64_t slot_numbers = static_cast<int64_t>(call.canvas_height) * call.canvas_width * 3;
    int32_t status = 0;
    for (int32_t first = 0; first < call.batch && status == 0; first += kResizeFrames) {
        const int32_t frames = call.batch - first < kResizeFrames ? call.batch - first : kResizeFrames;
        for (int32_t i = 0; i < frames; ++i) {
            const MaskrtFrame& frame = call.frames[first + i];
            batch.frames[i] = {frame, Arithmetic::scale(frame.height, frame.resized_height),
                Arithmetic::scale(frame.width, frame.resized_width)};
        }
        batch.canvas = static_cast<typename Arithmetic::Value*>(call.canvas) + first * slot_numbers;
        const dim3 grid(static_cast<unsigned>(block_rows * batch.blocks_per_row), static_cast<unsigned>(frames));
        status = launch(&resize_pad_kernel<Arithmetic>, grid, threads, stream, batch);
    }
    return status;
}

}  // namespace

int32_t launch_resize_pad(const MaskrtResizePad& call, cudaStream_t stream)
{
    const int32_t status = check_resize_pad(call);
    if (status != 0) {
        return status;
    }
    return call.data_type == MASKRT_UINT8 ? launch_frames<ResizeUint8>(call, stream)
                                          : launch_frames<ResizeFloat32>(call, stream);
}

}  // namespace maskrt

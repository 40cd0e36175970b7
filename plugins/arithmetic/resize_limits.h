// Which calls of resizing and padding are in order.
#pragma once

#include "maskrt_plugins.h"

namespace maskrt {

constexpr int32_t kMaxResizedSide = 1 << 22;  // float32 has the centres of so many pixels
constexpr int32_t kMaxFrameSide = 1 << 29;    // the bytes of a row stay below 2^31

constexpr int32_t kMaxPillowSide = 65535 * 8;  // so many blocks of rows has a grid

// A status as maskrt_plugins.h describes.
inline int32_t check_resize_pad(const MaskrtResizePad& call)
{
    if (call.batch < 0 || call.canvas_height < 1 || call.canvas_width < 1
        || (call.data_type != MASKRT_UINT8 && call.data_type != MASKRT_FLOAT32) || call.filter < MASKRT_BILINEAR
        || call.filter > MASKRT_OPENCV_BILINEAR) {
        return MASKRT_INVALID_ARGUMENT;
    }
    if (call.canvas_height > kMaxResizedSide || call.canvas_width > kMaxResizedSide) {
        return MASKRT_TOO_LARGE;
    }
    for (int32_t i = 0; i < call.batch; ++i) {
        const MaskrtFrame& frame = call.frames[i];
        if (frame.height < 1 || frame.width < 1 || frame.row_stride < 3 * static_cast<int64_t>(frame.width)
            || frame.resized_height < 1 || frame.resized_height > call.canvas_height || frame.resized_width < 1
            || frame.resized_width > call.canvas_width) {
            return MASKRT_INVALID_ARGUMENT;
        }
        const int32_t most = call.filter == MASKRT_PILLOW_BILINEAR ? kMaxPillowSide : kMaxFrameSide;
        if (frame.height > most || frame.width > most) {
            return MASKRT_TOO_LARGE;
        }
    }
    return 0;
}

}  // namespace maskrt

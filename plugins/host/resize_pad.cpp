// Resizing and padding on the CPU, from the kernels' own arithmetic.
#include "maskrt_plugins.h"

#include <algorithm>
#include <vector>

#include "arithmetic/resize_float32.h"
#include "arithmetic/resize_limits.h"
#include "arithmetic/resize_uint8.h"

namespace {

using namespace maskrt;

template <typename Arithmetic>
void resize_frame(const MaskrtFrame& frame, int64_t canvas_width, typename Arithmetic::Value* slot)
{
    const auto scale_y = Arithmetic::scale(frame.height, frame.resized_height);
    const auto scale_x = Arithmetic::scale(frame.width, frame.resized_width);
    std::vector<typename Arithmetic::Tap> columns;
    for (int32_t x = 0; x < frame.resized_width; ++x) {
        columns.push_back(Arithmetic::column_tap(x, frame.width, scale_x));
    }
    for (int32_t y = 0; y < frame.resized_height; ++y) {
        const auto row = Arithmetic::row_tap(y, frame.height, scale_y);
        const uint8_t* top = frame.pixels + row.first * frame.row_stride;
        const uint8_t* bottom = frame.pixels + row.second * frame.row_stride;
        auto* target = slot + y * canvas_width * 3;
        for (const auto& column : columns) {
            const int64_t left = 3 * static_cast<int64_t>(column.first);
            const int64_t right = 3 * static_cast<int64_t>(column.second);
            for (int channel = 0; channel < 3; ++channel) {
                *target++ = Arithmetic::blend(row, column, top[left + channel], top[right + channel],
                    bottom[left + channel], bottom[right + channel]);
            }
        }
    }
}

template <typename Arithmetic>
void resize_frames(const MaskrtResizePad& call)
{
    const int64_t slot_numbers = static_cast<int64_t>(call.canvas_height) * call.canvas_width * 3;
    auto* slot = static_cast<typename Arithmetic::Value*>(call.canvas);
    for (int32_t i = 0; i < call.batch; ++i, slot += slot_numbers) {
        std::fill(slot, slot + slot_numbers, typename Arithmetic::Value{});
        resize_frame<Arithmetic>(call.frames[i], call.canvas_width, slot);
    }
}

}  // namespace

extern "C" int32_t maskrt_host_resize_pad(const MaskrtResizePad* call)
{
    const int32_t status = check_resize_pad(*call);
    if (status == 0 && call->data_type == MASKRT_UINT8) {
        resize_frames<ResizeUint8>(*call);
    } else if (status == 0) {
        resize_frames<ResizeFloat32>(*call);
    }
    return status;
}

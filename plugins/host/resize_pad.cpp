// Resizing and padding on the CPU, from the kernels' own arithmetic.
#include "maskrt_plugins.h"

#include <algorithm>
#include <vector>

#include "arithmetic/resize_float32.h"
#include "arithmetic/resize_limits.h"
#include "arithmetic/resize_pillow.h"
#include "arithmetic/resize_uint8.h"

namespace {

using namespace maskrt;

template <typename Arithmetic, typename Value>
void resize_frame(const MaskrtFrame& frame, int64_t canvas_width, Value* slot)
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
                *target++ = static_cast<Value>(Arithmetic::blend(row, column, top[left + channel], top[right + channel],
                    bottom[left + channel], bottom[right + channel]));
            }
        }
    }
}

// Calls weigh(position, span, weights) for each output pixel of an axis.
template <typename Weigh>
void for_each_position(int32_t source_size, int32_t size, const Weigh& weigh)
{
    const PillowAxis axis = pillow_axis(source_size, size);
    std::vector<int32_t> weights(axis.max_taps);
    for (int32_t position = 0; position < size; ++position) {
        const PillowSpan span = pillow_span(axis, position, source_size);
        pillow_weights(axis, span, position, weights.data());
        weigh(position, span, weights);
    }
}

template <typename Value>
void resize_frame_as_pillow(const MaskrtFrame& frame, int64_t canvas_width, Value* slot)
{
    const int64_t row_numbers = 3 * static_cast<int64_t>(frame.resized_width);
    std::vector<uint8_t> rows(frame.height * row_numbers);
    for_each_position(frame.width, frame.resized_width, [&](int32_t x, const PillowSpan& span, const auto& weights) {
        for (int32_t row = 0; row < frame.height; ++row) {
            const uint8_t* source = frame.pixels + row * frame.row_stride + 3 * static_cast<int64_t>(span.first);
            for (int channel = 0; channel < 3; ++channel) {
                int32_t sum = kPillowHalf;
                for (int tap = 0; tap < span.count; ++tap) {
                    sum += source[3 * tap + channel] * weights[tap];
                }
                rows[row * row_numbers + 3 * static_cast<int64_t>(x) + channel] = pillow_level(sum);
            }
        }
    });
    for_each_position(frame.height, frame.resized_height, [&](int32_t y, const PillowSpan& span, const auto& weights) {
        for (int64_t number = 0; number < row_numbers; ++number) {
            int32_t sum = kPillowHalf;
            for (int tap = 0; tap < span.count; ++tap) {
                sum += rows[(span.first + tap) * row_numbers + number] * weights[tap];
            }
            slot[3 * y * canvas_width + number] = static_cast<Value>(pillow_level(sum));
        }
    });
}

template <typename Value, typename Resize>
void resize_frames(const MaskrtResizePad& call, const Resize& resize)
{
    const int64_t slot_numbers = static_cast<int64_t>(call.canvas_height) * call.canvas_width * 3;
    auto* slot = static_cast<Value*>(call.canvas);
    for (int32_t i = 0; i < call.batch; ++i, slot += slot_numbers) {
        std::fill(slot, slot + slot_numbers, Value{});
        resize(call.frames[i], call.canvas_width, slot);
    }
}

}  // namespace

extern "C" int32_t maskrt_host_resize_pad(const MaskrtResizePad* call)
{
    const int32_t status = check_resize_pad(*call);
    if (status != 0) {
        return status;
    }
    const bool is_uint8 = call->data_type == MASKRT_UINT8;
    if (call->filter == MASKRT_PILLOW_BILINEAR && is_uint8) {
        resize_frames<uint8_t>(*call, resize_frame_as_pillow<uint8_t>);
    } else if (call->filter == MASKRT_PILLOW_BILINEAR) {
        resize_frames<float>(*call, resize_frame_as_pillow<float>);
    } else if (is_uint8) {
        resize_frames<uint8_t>(*call, resize_frame<ResizeUint8, uint8_t>);
    } else if (call->filter == MASKRT_OPENCV_BILINEAR) {
        resize_frames<float>(*call, resize_frame<ResizeUint8, float>);
    } else {
        resize_frames<float>(*call, resize_frame<ResizeFloat32, float>);
    }
    return 0;
}

// What resizing as Pillow does leaves in the workspace between its launches, frame by frame: the spans and weights of
// both axes, and the frame after the pass along x.
#pragma once

#include "arithmetic/resize_pillow.h"
#include "maskrt_plugins.h"

namespace maskrt {

// An axis's table: of each output pixel its span, then max_taps weights.
inline int64_t pillow_table_bytes(const PillowAxis& axis, int size)
{
    return static_cast<int64_t>(size) * (2 + axis.max_taps) * static_cast<int64_t>(sizeof(int32_t));
}

// Bytes from a row of the frame after the first pass to the next; vectors of 4 numbers are whole in it.
inline int64_t pillow_row_bytes(const MaskrtFrame& frame)
{
    return (3 * static_cast<int64_t>(frame.resized_width) + 15) / 16 * 16;
}

// Where the parts of a frame begin in its share of the workspace.
struct PillowLayout {
    int64_t rows, table_x, table_y, total;
};

inline PillowLayout pillow_layout(const MaskrtFrame& frame)
{
    const auto aligned = [](int64_t bytes) { return (bytes + 15) / 16 * 16; };
    PillowLayout layout{};
    layout.table_x = frame.height * pillow_row_bytes(frame);
    const PillowAxis x = pillow_axis(frame.width, frame.resized_width);
    const PillowAxis y = pillow_axis(frame.height, frame.resized_height);
    layout.table_y = layout.table_x + aligned(pillow_table_bytes(x, frame.resized_width));
    layout.total = layout.table_y + aligned(pillow_table_bytes(y, frame.resized_height));
    return layout;
}

// Bytes for all frames of a call; 0 for filters that need none.
inline uint64_t resize_workspace_bytes(const MaskrtResizePad& call)
{
    uint64_t bytes = 0;
    for (int32_t i = 0; call.filter == MASKRT_PILLOW_BILINEAR && i < call.batch; ++i) {
        bytes += static_cast<uint64_t>(pillow_layout(call.frames[i]).total);
    }
    return bytes;
}

}  // namespace maskrt

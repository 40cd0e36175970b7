// Which calls of mask pasting are in order.
#pragma once

#include "maskrt_plugins.h"

namespace maskrt {

// A status as maskrt_plugins.h describes.
inline int32_t check_paste_rle(const MaskrtPasteRle& call)
{
    if (call.instances < 0 || call.mask_size < 1 || call.image_height < 1 || call.image_width < 1
        || call.capacity < 0 || (call.rule != MASKRT_INTEGER_BOX && call.rule != MASKRT_PIXEL_CENTERS)) {
        return MASKRT_INVALID_ARGUMENT;
    }
    const int64_t area = static_cast<int64_t>(call.image_height) * call.image_width;
    const int64_t most_changes = (static_cast<int64_t>(call.mask_size) + 1) * call.image_width;
    return area > UINT32_MAX || most_changes >= INT32_MAX ? MASKRT_TOO_LARGE : 0;
}

}  // namespace maskrt

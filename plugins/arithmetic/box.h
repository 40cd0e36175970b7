// An axis-aligned box, xyxy, and its area.
#pragma once

#include "host_device.h"

namespace maskrt {

struct Box {
    float x1, y1, x2, y2;
};

MASKRT_HOST_DEVICE Box load_box(const float* xyxy)
{
    return Box{xyxy[0], xyxy[1], xyxy[2], xyxy[3]};
}

MASKRT_HOST_DEVICE Box scale_box(const Box& box, float scale_x, float scale_y)
{
    return Box{box.x1 * scale_x, box.y1 * scale_y, box.x2 * scale_x, box.y2 * scale_y};
}

// Negative for a box inverted on one axis, as in torchvision.
MASKRT_HOST_DEVICE float box_area(const Box& box)
{
    return (box.x2 - box.x1) * (box.y2 - box.y1);
}

}  // namespace maskrt

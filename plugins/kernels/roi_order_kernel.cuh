// The order in which RoIs are pooled: by level, then by place, so that those that read the same pixels run together and
// find them in the cache. What is pooled does not depend on it.
#pragma once

#include "arithmetic/level.h"
#include "maskrt_plugins.h"
#include "nms_run.cuh"

namespace maskrt {

constexpr float kOrderTile = 16.0f;  // feature pixels: a row of such tiles of a fine level is a few MiB

// Of an RoI's center on one axis.
__device__ inline uint64_t order_tile(float low, float high, float scale)
{
    return static_cast<uint64_t>(fminf(fmaxf((low + high) * 0.5f * scale / kOrderTile, 0.0f), 65535.0f));  // 0 for NaN
}

// One block per image, of at most kSortTile RoIs.
__global__ void __launch_bounds__(kSortThreads) roi_order_kernel(const __grid_constant__ MaskrtRoiAlign call)
{
    __shared__ uint64_t tile[kSortTile];
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const int count = call.rois_per_image;
    const int64_t first = static_cast<int64_t>(blockIdx.x) * count;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSortThreads) {
        const float4 corners = __ldg(reinterpret_cast<const float4*>(call.rois) + first + i);
        const Box roi{corners.x, corners.y, corners.z, corners.w};
        const int level = select_level(roi, attributes.level_thresholds, attributes.level_count - 1);
        const float scale = attributes.scales[level];
        tile[i] = static_cast<uint64_t>(level) << 48 | order_tile(roi.y1, roi.y2, scale) << 32
            | order_tile(roi.x1, roi.x2, scale) << 16 | static_cast<uint64_t>(i);
    }
    __syncthreads();
    sort_tile(tile, count);
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kSortThreads) {
        call.order[first + i] = static_cast<int32_t>(tile[i] & 0xffff);
    }
}

}  // namespace maskrt

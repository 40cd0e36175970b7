// The launcher of mask pasting.
#pragma once

#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

namespace maskrt {

// Queues the operation on the stream. workspace: instances * paste_tiles(image_width) PasteTiles, whatever they hold.
// Returns a status as maskrt_plugins.h describes.
int32_t launch_paste_rle(const MaskrtPasteRle& call, void* workspace, cudaStream_t stream);

}  // namespace maskrt

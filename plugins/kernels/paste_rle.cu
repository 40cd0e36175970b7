// Mask pasting: three launches, with nothing read back in between.
#include "paste_rle.h"

#include "arithmetic/paste_limits.h"
#include "launch.h"
#include "paste_rle_kernels.cuh"

namespace maskrt {
namespace {

constexpr int kMaxInstances = 65535;  // the limit of gridDim.y

}  // namespace

int32_t launch_paste_rle(const MaskrtPasteRle& call, void* workspace, cudaStream_t stream)
{
    int32_t status = check_paste_rle(call);
    if (status == 0 && call.instances > kMaxInstances) {
        status = MASKRT_TOO_LARGE;
    }
    if (status != 0) {
        return status;
    }
    const int tiles = static_cast<int>(paste_tiles(call.image_width));
    const PasteCall paste{call, mask_growth(call.mask_size), tiles, static_cast<PasteTile*>(workspace)};
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(call.instances));
    if (call.instances > 0) {
        status = launch(&paste_tile_kernel<false>, grid, dim3(kPasteThreads), stream, paste);
    }
    if (status == 0) {
        status = launch(&paste_scan_kernel, dim3(1), dim3(kPasteScanThreads), stream, paste);
    }
    if (status == 0 && call.instances > 0) {
        status = launch(&paste_tile_kernel<true>, grid, dim3(kPasteThreads), stream, paste);
    }
    return status;
}

}  // namespace maskrt

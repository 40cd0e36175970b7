// Mask pasting: three launches, with nothing read back in between.
#include "paste_rle.h"

#include "arithmetic/paste_limits.h"
#include "launch.h"
#include "paste_rle_kernels.cuh"

namespace maskrt {
namespace {

constexpr int kMaxInstances = 65535;  // the limit of gridDim.y

template <typename Rule>
int32_t launch_by_rule(const MaskrtPasteRle& call, void* workspace, cudaStream_t stream)
{
    const int tiles = static_cast<int>(paste_tiles(call.image_width));
    const PasteCall<Rule> paste{call, Rule(call), tiles, static_cast<PasteTile*>(workspace)};
    const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(call.instances));
    int32_t status = 0;
    if (call.instances > 0) {
        status = launch(&paste_tile_kernel<Rule, false>, grid, dim3(kPasteThreads), stream, paste);
    }
    if (status == 0) {
        status = launch(&paste_scan_kernel<Rule>, dim3(1), dim3(kPasteScanThreads), stream, paste);
    }
    if (status == 0 && call.instances > 0) {
        status = launch(&paste_tile_kernel<Rule, true>, grid, dim3(kPasteThreads), stream, paste);
    }
    return status;
}

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
    return call.rule == MASKRT_PIXEL_CENTERS ? launch_by_rule<PixelCenters>(call, workspace, stream)
                                             : launch_by_rule<IntegerBox>(call, workspace, stream);
}

}  // namespace maskrt

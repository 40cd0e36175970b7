// BatchedNMS: a fixed sequence of launches for given sizes, with nothing read back, so that a CUDA graph can hold it.
// The candidates are sorted; the first of them are suppressed in parallel, and the rest, where boxes are lacking still,
// by one kernel that ends when it has them.
#include "batched_nms.h"

#include "launch.h"
#include "nms_launch.h"
#include "nms_mask.cuh"
#include "nms_resolve.cuh"
#include "nms_sort.cuh"

namespace maskrt {
namespace {

int64_t divide_up(int64_t number, int64_t divisor)
{
    return (number + divisor - 1) / divisor;
}

// As many as there can be tiles of work, up to kMaskBlocks.
unsigned mask_blocks(const NmsRound& round)
{
    const int64_t candidates = round.call.boxes_per_image < round.size ? round.call.boxes_per_image : round.size;
    const int64_t tiles = divide_up(candidates, kWordCandidates) * divide_up(candidates, kMaskThreads);
    return static_cast<unsigned>(tiles < kMaskBlocks ? tiles : kMaskBlocks);
}

template <typename T>
T* at(void* workspace, uint64_t offset)
{
    return reinterpret_cast<T*>(static_cast<char*>(workspace) + offset);
}

}  // namespace

int32_t check_nms_sizes(int64_t batch, int64_t boxes_per_image, int64_t max_output)
{
    constexpr int64_t kMaxBatch = 65535;   // the limit of gridDim.y
    constexpr int64_t kMaxRows = 1 << 30;  // so that slots and their sums stay int32
    if (batch < 0 || boxes_per_image < 0 || max_output < 1) {
        return MASKRT_INVALID_ARGUMENT;
    }
    return batch > kMaxBatch || boxes_per_image > kMaxRows || max_output > kMaxRows ? MASKRT_TOO_LARGE : 0;
}

int32_t launch_nms_round(const NmsRound& round, cudaStream_t stream)
{
    const unsigned images = static_cast<unsigned>(round.call.batch);
    const int32_t status = launch(&mask_kernel, dim3(mask_blocks(round), images), dim3(kMaskThreads), stream, round);
    return status != 0 ? status : launch(&resolve_kernel, dim3(images), dim3(kResolveThreads), stream, round);
}

int32_t launch_nms_of_runs(const MaskrtBatchedNms& call, void* workspace, cudaStream_t stream)
{
    const NmsSizes sizes{call.batch, call.boxes_per_image, call.max_output};
    const NmsWorkspaceLayout layout = nms_workspace_layout(sizes);
    const int runs = sizes.runs();
    const int64_t slots = sizes.keys_per_image();
    const unsigned batch = static_cast<unsigned>(call.batch);
    int32_t status = 0;
    int from = 0;
    int64_t reach = kSortTile;
    for (int pass = 0; pass < sizes.merge_passes() && status == 0; ++pass) {
        const unsigned blocks = static_cast<unsigned>(divide_up(slots, kMergeThreads));
        status = launch(&merge_runs_kernel, dim3(blocks, batch), dim3(kMergeThreads), stream,
            static_cast<const uint64_t*>(at<uint64_t>(workspace, layout.keys[from])),
            static_cast<const int32_t*>(at<int32_t>(workspace, layout.run_lengths[from])),
            at<uint64_t>(workspace, layout.keys[1 - from]), at<int32_t>(workspace, layout.run_lengths[1 - from]), slots,
            reach, runs);
        from = 1 - from;
        reach *= kMergeWays;
    }

    NmsRound round{};
    round.call = call;
    round.keys = at<uint64_t>(workspace, layout.keys[from]);
    round.candidate_counts = at<int32_t>(workspace, layout.run_lengths[from]);
    round.suppressed_by = at<uint64_t>(workspace, layout.suppressed_by);
    round.keys_per_image = slots;
    round.runs = runs;
    round.size = sizes.round_candidates();
    if (status == 0 && call.boxes_per_image > 0) {
        status = launch_nms_round(round, stream);
    }
    if (status == 0 && call.boxes_per_image > round.size) {
        status = launch(&resolve_rest_kernel, dim3(batch), dim3(kResolveThreads), stream, round);
    }
    return status;
}

int32_t launch_batched_nms(const MaskrtBatchedNms& call, void* workspace, cudaStream_t stream)
{
    const int32_t limits = check_nms_sizes(call.batch, call.boxes_per_image, call.max_output);
    if (limits != 0 || call.batch == 0) {
        return limits;
    }
    const NmsSizes sizes{call.batch, call.boxes_per_image, call.max_output};
    const NmsWorkspaceLayout layout = nms_workspace_layout(sizes);
    const dim3 tiles(static_cast<unsigned>(sizes.runs()), static_cast<unsigned>(call.batch));
    const int32_t status = launch(&sort_tile_kernel, tiles, dim3(kSortThreads), stream, call,
        at<uint64_t>(workspace, layout.keys[0]), at<int32_t>(workspace, layout.run_lengths[0]), sizes.runs());
    return status != 0 ? status : launch_nms_of_runs(call, workspace, stream);
}

}  // namespace maskrt

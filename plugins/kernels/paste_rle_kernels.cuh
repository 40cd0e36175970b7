// Mask pasting straight to COCO run lengths, without any pixel: a thread works on one image column of one mask, and a
// run length is the distance between two neighbouring changes in column order.
//
// Counting and writing both find the changes of every column anew (some hundred instructions; storing them would take
// memory for the worst case). In between, sums over tiles and masks say where each run length goes: no atomics, so that
// the result does not depend on the order of the blocks.
#pragma once

#include "arithmetic/mask_column.h"
#include "block_scan.cuh"
#include "maskrt_plugins.h"
#include "paste_workspace.h"

namespace maskrt {

constexpr int kPasteScanThreads = 256;

template <typename Rule>
struct PasteCall {
    MaskrtPasteRle call;
    Rule rule;
    int tiles;        // per mask
    PasteTile* work;  // [instances, tiles]
};

// Where a region is as high as the image, the last pixel of a column and the first of the next are neighbours in column
// order. Whether the border between them is a change is left to the second of the two columns.
struct ColumnEnds {
    bool starts_as_foreground;  // at the border to the column before
    bool ends_as_foreground;    // at the border to the next column
};

// Calls visit(position) for each change of a column but those at its borders, ascending, in pixels of the image in
// column order. A column outside of the region has none.
template <typename Rule, typename Visit>
__device__ ColumnEnds visit_positions(const PasteCall<Rule>& paste, const MaskRegion<typename Rule::Place>& region,
    int instance, int column, const Visit& visit)
{
    const MaskrtPasteRle& call = paste.call;
    ColumnEnds ends{false, false};
    if (column < 0 || column >= region.x.clipped_length) {
        return ends;
    }
    const bool has_borders = region.y.clipped_length == call.image_height;
    const int64_t start = column_position(call, region, column);
    const int64_t area = image_area(call);
    visit_changes(paste.rule, region, mask_of(call, instance), column, [&](int row) {
        if (has_borders && row == 0) {
            ends.starts_as_foreground = true;
        } else if (has_borders && row == call.image_height) {
            ends.ends_as_foreground = true;
        } else if (start + row < area) {  // a run that lasts to the end has no change behind it
            visit(start + row);
        }
    });
    return ends;
}

// blockIdx.x: the tile, blockIdx.y: the instance. kWrite false: leaves the tile's number of changes in work; true:
// finds there what paste_scan_kernel left, and writes the tile's run lengths.
template <typename Rule, bool kWrite>
__global__ void __launch_bounds__(kPasteThreads) paste_tile_kernel(const __grid_constant__ PasteCall<Rule> paste)
{
    using Region = MaskRegion<typename Rule::Place>;
    __shared__ bool ends_as_foreground[kPasteThreads];
    const MaskrtPasteRle& call = paste.call;
    const int thread = static_cast<int>(threadIdx.x);
    const int instance = static_cast<int>(blockIdx.y);
    const Region region = is_present(call, instance) ? paste.rule.locate(call, instance) : Region{};
    PasteTile& tile = paste.work[static_cast<int64_t>(instance) * paste.tiles + blockIdx.x];
    const int first_column = static_cast<int>(blockIdx.x) * kPasteColumns;
    if (first_column > region.x.clipped_length || region.x.clipped_length == 0) {
        if (!kWrite && thread == 0) {
            tile = PasteTile{0, 0};
        }
        return;
    }
    // One column more than the region has: its border is the end of the last one.
    const int column = first_column + thread - 1;
    const bool counts_here = thread > 0 && column <= region.x.clipped_length;
    Run run{0, 0};
    const ColumnEnds ends = visit_positions(
        paste, region, instance, column, [&](int64_t position) { run = Run{run.count + 1, position}; });
    ends_as_foreground[thread] = ends.ends_as_foreground;
    __syncthreads();
    const int64_t border = column_position(call, region, column);
    const bool changes_at_border = counts_here && ends.starts_as_foreground != ends_as_foreground[thread - 1]
        && border < image_area(call);
    if (changes_at_border) {
        run = join(Run{1, border}, run);
    }
    Run total;
    const Run before = scan_block<kPasteThreads>(counts_here ? run : Run{0, 0}, total);
    if (!kWrite) {
        if (thread == 0) {
            tile = PasteTile{total.count, total.position};
        }
        return;
    }
    if (!counts_here) {
        return;
    }
    int64_t index = tile.changes + before.count;
    int64_t last = max(tile.last_position, before.position);
    const auto write = [&](int64_t position) {
        if (index < call.capacity) {
            call.counts[index] = static_cast<uint32_t>(position - last);
        }
        ++index;
        last = position;
    };
    if (changes_at_border) {
        write(border);
    }
    visit_positions(paste, region, instance, column, write);
}

// One block. Turns each tile's number of changes into the place of its first run length, and writes each mask's length
// and last run length, and their total.
template <typename Rule>
__global__ void __launch_bounds__(kPasteScanThreads) paste_scan_kernel(const __grid_constant__ PasteCall<Rule> paste)
{
    const MaskrtPasteRle& call = paste.call;
    const int thread = static_cast<int>(threadIdx.x);
    int64_t next = 0;  // where the run lengths of this pass's masks begin
    for (int first = 0; first < call.instances; first += kPasteScanThreads) {
        const int instance = first + thread;
        const bool present = instance < call.instances && is_present(call, instance);
        PasteTile* tiles = paste.work + static_cast<int64_t>(instance) * paste.tiles;
        Run changes{0, 0};
        for (int i = 0; present && i < paste.tiles; ++i) {
            const Run tile{tiles[i].changes, tiles[i].last_position};
            tiles[i] = PasteTile{changes.count, changes.position};
            changes = join(changes, tile);
        }
        const int64_t length = present ? changes.count + 1 : 0;  // a run length per change, and what is left at the end
        Run total;
        const int64_t start = next + scan_block<kPasteScanThreads>(Run{length, 0}, total).count;
        for (int i = 0; present && i < paste.tiles; ++i) {
            tiles[i].changes += start;
        }
        if (present && start + changes.count < call.capacity) {
            call.counts[start + changes.count] = static_cast<uint32_t>(image_area(call) - changes.position);
        }
        if (instance < call.instances) {
            call.lengths[instance] = static_cast<int32_t>(length);
        }
        next += total.count;
        __syncthreads();  // before the next scan_block
    }
    if (thread == 0) {
        *call.total = next;
    }
}

}  // namespace maskrt

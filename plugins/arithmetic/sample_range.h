// Which samples of a bin can lie inside the feature map, so that an RoI of huge extent costs no more than the map.
#pragma once

#include "axis_grid.h"

namespace maskrt {

struct SampleRange {
    int begin, end;
};

constexpr int kFewSamples = 8;  // cheaper to visit than to search

// A range that holds every sample inside the map. With bin_size > 0 (which an adaptive grid with any samples has)
// coordinates do not decrease with the sample's number, rounding being monotonic, so both ends are found by bisection.
MASKRT_HOST_DEVICE SampleRange inside_range(const AxisGrid& grid, int bin, int extent)
{
    if (grid.samples <= kFewSamples || !(grid.bin_size > 0.0f)) {
        return SampleRange{0, grid.samples};
    }
    int begin = 0;
    int before_end = grid.samples;
    while (begin < before_end) {  // the first sample at -1 or above
        const int middle = begin + (before_end - begin) / 2;
        if (sample_coordinate(grid, bin, middle, grid.samples) >= -1.0f) {
            before_end = middle;
        } else {
            begin = middle + 1;
        }
    }
    int end = begin;
    int after_end = grid.samples;
    while (end < after_end) {  // the first sample above the extent
        const int middle = end + (after_end - end) / 2;
        if (sample_coordinate(grid, bin, middle, grid.samples) > static_cast<float>(extent)) {
            after_end = middle;
        } else {
            end = middle + 1;
        }
    }
    return SampleRange{begin, end};
}

}  // namespace maskrt

// The mean of one output bin from its taps, for several channels at once: the loop that the kernels and the host build
// share.
#pragma once

#include "axis_taps.h"

namespace maskrt {

// load(row, column, values) reads kChannels channels, as float32, of the feature pixel in the line of tap number `row` and
// in column `column`.
// kColumns: x.count where the compiler is to know it, otherwise 0.
// All that the lines have is read before any of it is used: so many loads are under way at a time.
template <int kLines, int kColumns, int kChannels, typename Load>
MASKRT_HOST_DEVICE void add_lines(
    const AxisTaps& y, const AxisTaps& x, int first_row, const Load& load, float (&pooled)[kChannels])
{
    const int columns = kColumns > 0 ? kColumns : x.count;
    float values[kLines][kMostTaps][kChannels];
#pragma unroll
    for (int line = 0; line < kLines; ++line) {
#pragma unroll
        for (int column = 0; column < kMostTaps; ++column) {
            if (column < columns) {
                load(first_row + line, x.pixel[column], values[line][column]);
            }
        }
    }
#pragma unroll
    for (int line = 0; line < kLines; ++line) {
#pragma unroll
        for (int column = 0; column < kMostTaps; ++column) {
            if (column < columns) {
                const float weight = y.weight[first_row + line] * x.weight[column];
                for (int k = 0; k < kChannels; ++k) {
                    pooled[k] = fmaf(weight, values[line][column][k], pooled[k]);
                }
            }
        }
    }
}

template <int kColumns, int kChannels, typename Load>
MASKRT_HOST_DEVICE void add_columns(const AxisTaps& y, const AxisTaps& x, const Load& load, float (&pooled)[kChannels])
{
    if (kColumns == 0) {
#pragma unroll
        for (int row = 0; row < kMostTaps; ++row) {
            if (row < y.count) {
                add_lines<1, kColumns>(y, x, row, load, pooled);
            }
        }
        return;
    }
    add_lines<2, kColumns>(y, x, 0, load, pooled);
    if (y.count == 3) {
        add_lines<1, kColumns>(y, x, 2, load, pooled);
    } else if (y.count == 4) {
        add_lines<2, kColumns>(y, x, 2, load, pooled);
    }
}

// kSameBin: the threads of a warp have the same columns, so that a branch for each number of them costs nothing.
template <bool kSameBin, int kChannels, typename Load>
MASKRT_HOST_DEVICE void pool_taps(const AxisTaps& y, const AxisTaps& x, const Load& load, float (&pooled)[kChannels])
{
    for (int k = 0; k < kChannels; ++k) {
        pooled[k] = 0.0f;
    }
    if (y.count == 0 || x.count == 0) {
        return;
    }
    if (!kSameBin) {
        add_columns<0>(y, x, load, pooled);
    } else if (x.count == 2) {
        add_columns<2>(y, x, load, pooled);
    } else if (x.count == 3) {
        add_columns<3>(y, x, load, pooled);
    } else {
        add_columns<4>(y, x, load, pooled);
    }
}

}  // namespace maskrt

// The rows at which one image column of a pasted mask changes between background and foreground, without its pixels:
// runtime/masks/paste.py's crossings, one column at a time.
//
// Along a column the resized mask is linear in y between neighbouring mask rows, so that it crosses 0.5 at most once
// between two. The crossing is solved for in double precision, then checked in the two rows beside it with the float32
// interpolation itself, which has the last word.
#pragma once

#include "mask_region.h"

namespace maskrt {

constexpr float kMaskThreshold = 0.5f;

// torch's area_pixel_compute_source_index for any distance: in double precision, rounded once to float32.
MASKRT_HOST_DEVICE float mask_coordinate(int64_t pixel, float scale)
{
    const float source = static_cast<float>((static_cast<double>(pixel) + 0.5) * static_cast<double>(scale) - 0.5);
    return source > 0.0f ? source : 0.0f;
}

// y: the region's axis. The first row of the box whose upper mask row is k or later.
MASKRT_HOST_DEVICE int64_t first_row_of(const MaskAxis& y, int k)
{
    if (k == 0) {
        return 0;
    }
    int64_t row = static_cast<int64_t>(ceil((k + 0.5) / static_cast<double>(y.scale) - 0.5));
    // The float32 coordinate of the row before may be rounded up to k; that of the row itself is never rounded below k.
    row -= mask_coordinate(row - 1, y.scale) >= static_cast<float>(k) ? 1 : 0;
    return row < y.length ? row : y.length;
}

// Whether a box row between mask rows k and k + 1 has the side of 0.5 that the lower of the two has.
MASKRT_HOST_DEVICE bool is_past(const MaskAxis& y, int64_t row, int k, float upper, float lower)
{
    const float weight = mask_coordinate(row, y.scale) - static_cast<float>(k);
    const float value = upper * (1.0f - weight) + lower * weight;
    return (value > kMaskThreshold) == (lower > kMaskThreshold);
}

// The first box row on the lower side of the crossing between mask rows k and k + 1.
MASKRT_HOST_DEVICE int64_t solve_row(const MaskAxis& y, int k, float upper, float lower)
{
    const int64_t first = first_row_of(y, k);
    const int64_t end = first_row_of(y, k + 1);
    const double fraction = (kMaskThreshold - static_cast<double>(upper)) / static_cast<double>(lower - upper);
    const double solved = ceil((k + fraction + 0.5) / static_cast<double>(y.scale) - 0.5);
    int64_t row = first;  // also for NaN
    if (solved > static_cast<double>(first)) {
        row = solved < static_cast<double>(end) ? static_cast<int64_t>(solved) : end;
    }
    const bool back = row > first && is_past(y, row - 1, k, upper, lower);
    const bool forward = row < end && !is_past(y, row, k, upper, lower);
    return row - back + forward;
}

// Calls visit(row) for each row in which the column changes, ascending; rows and columns count from the corner of the
// region's part inside the image. A column starts as background and ends as background: a change in the row behind the
// last, y.clipped_length, is the end of a run that reaches the last.
// mask: [mask_size, mask_size] probabilities.
template <typename Visit>
MASKRT_HOST_DEVICE void visit_changes(
    const MaskRegion& region, const float* mask, int mask_size, int column, const Visit& visit)
{
    const MaskAxis& x = region.x;
    const MaskAxis& y = region.y;
    // Interpolate along x first, as torch does. The padding is zero and not stored.
    const float source = mask_coordinate(x.clipped_start + column - x.start, x.scale);
    const int last = mask_size + 1;
    const int left = source < static_cast<float>(last) ? static_cast<int>(source) : last;
    const int right = left < last ? left + 1 : left;
    const float right_weight = fminf(source - static_cast<float>(left), 1.0f);
    const float left_weight = 1.0f - right_weight;
    const bool has_left = left >= 1 && left <= mask_size;
    const bool has_right = right >= 1 && right <= mask_size;

    int64_t pending = -1;  // two changes in one row are none: visited when the next one is in another row
    bool is_change = false;
    float upper = 0.0f;
    for (int k = 0; k < last; ++k) {  // between the padded mask's rows k and k + 1
        float lower = 0.0f;
        if (k < mask_size) {
            const float* row = mask + static_cast<int64_t>(k) * mask_size - 1;
            lower = (has_left ? row[left] : 0.0f) * left_weight + (has_right ? row[right] : 0.0f) * right_weight;
        }
        if ((upper > kMaskThreshold) != (lower > kMaskThreshold)) {
            int64_t row = solve_row(y, k, upper, lower) + y.start - y.clipped_start;
            row = row < 0 ? 0 : row < y.clipped_length ? row : y.clipped_length;
            if (row == pending) {
                is_change = !is_change;
            } else {
                if (is_change) {
                    visit(static_cast<int>(pending));
                }
                pending = row;
                is_change = true;
            }
        }
        upper = lower;
    }
    if (is_change) {
        visit(static_cast<int>(pending));
    }
}

}  // namespace maskrt

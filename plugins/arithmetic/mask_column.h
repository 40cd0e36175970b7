// The rows at which one image column of a pasted mask changes between background and foreground, without its pixels:
// runtime/masks/paste.py's crossings, one column at a time.
//
// Along a column the resized mask is linear in y between neighbouring mask rows, so that it crosses the threshold at most
// once between two. The crossing is solved for in double precision, then checked in the two rows beside it with the
// float32 interpolation of the rule itself (integer_box.h, pixel_centers.h), which has the last word.
#pragma once

#include "integer_box.h"
#include "pixel_centers.h"

namespace maskrt {

// The first image row on the lower side of a crossing.
template <typename Rule>
MASKRT_HOST_DEVICE int64_t solve_row(
    const Rule& rule, const typename Rule::Axis& y, const float* mask, const MaskCrossing& crossing)
{
    const int64_t first = rule.first_row(y, crossing.row);
    const int64_t end = rule.first_row(y, crossing.row + 1);
    const double fraction = (static_cast<double>(rule.threshold) - static_cast<double>(crossing.upper))
        / static_cast<double>(crossing.lower - crossing.upper);
    const double solved = rule.image_row(y, crossing.row + fraction);
    int64_t row = first;  // also for NaN
    if (solved > static_cast<double>(first)) {
        row = solved < static_cast<double>(end) ? static_cast<int64_t>(solved) : end;
    }
    const bool lower_side = rule.is_foreground(crossing.lower);
    const auto is_past = [&](int64_t at) { return rule.is_foreground(rule.value(y, mask, crossing, at)) == lower_side; };
    const bool back = row > first && is_past(row - 1);
    const bool forward = row < end && !is_past(row);
    return row - back + forward;
}

// Calls visit(row) for each row in which the column changes, ascending; rows and columns count from the corner of the
// region's part inside the image. A column starts as background and ends as background: a change in the row behind the
// last, y.clipped_length, is the end of a run that reaches the last.
// mask: [mask_size, mask_size] probabilities.
template <typename Rule, typename Visit>
MASKRT_HOST_DEVICE void visit_changes(const Rule& rule, const MaskRegion<typename Rule::Place>& region,
    const float* mask, int column, const Visit& visit)
{
    const auto& y = region.y;
    if (rule.is_foreground(0.0f)) {  // all that the mask can touch
        visit(0);
        visit(y.clipped_length);
        return;
    }
    // Interpolate along x first, as the frameworks do.
    MaskCrossing crossing;
    crossing.columns = rule.columns(region.x, region.x.clipped_start + column);
    const MaskColumns columns = crossing.columns;
    const float left_weight = 1.0f - columns.right_weight;

    int64_t pending = -1;  // two changes in one row are none: visited when the next one is in another row
    bool is_change = false;
    crossing.upper = 0.0f;
    for (int k = 0; k <= rule.mask_size; ++k) {  // between the padded mask's rows k and k + 1
        crossing.row = k;
        crossing.lower = padded_value(mask, rule.mask_size, k + 1, columns.left) * left_weight
            + padded_value(mask, rule.mask_size, k + 1, columns.right) * columns.right_weight;
        if (rule.is_foreground(crossing.upper) != rule.is_foreground(crossing.lower)) {
            int64_t row = solve_row(rule, y, mask, crossing) - y.clipped_start;
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
        crossing.upper = crossing.lower;
    }
    if (is_change) {
        visit(static_cast<int>(pending));
    }
}

}  // namespace maskrt

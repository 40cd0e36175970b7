// Mask pasting on the CPU, from the kernels' own arithmetic: all changes of a mask in one list, pairs at one pixel
// dropped.
#include "maskrt_plugins.h"

#include <vector>

#include "arithmetic/mask_column.h"
#include "arithmetic/paste_limits.h"

namespace {

using namespace maskrt;

// Positions in column order, ascending, all below the image's area.
template <typename Rule>
std::vector<int64_t> mask_changes(const MaskrtPasteRle& call, int32_t instance)
{
    const Rule rule(call);
    const auto region = rule.locate(call, instance);
    std::vector<int64_t> changes;
    for (int column = 0; column < region.x.clipped_length; ++column) {
        const int64_t base = column_position(call, region, column);
        visit_changes(rule, region, mask_of(call, instance), column, [&](int row) {
            if (!changes.empty() && changes.back() == base + row) {
                changes.pop_back();
            } else {
                changes.push_back(base + row);
            }
        });
    }
    if (!changes.empty() && changes.back() == image_area(call)) {
        changes.pop_back();
    }
    return changes;
}

}  // namespace

extern "C" int32_t maskrt_host_paste_rle(const MaskrtPasteRle* call)
{
    const int32_t status = check_paste_rle(*call);
    if (status != 0) {
        return status;
    }
    int64_t next = 0;
    for (int32_t instance = 0; instance < call->instances; ++instance) {
        const int64_t before = next;
        if (is_present(*call, instance)) {
            std::vector<int64_t> ends = call->rule == MASKRT_PIXEL_CENTERS ? mask_changes<PixelCenters>(*call, instance)
                                                                           : mask_changes<IntegerBox>(*call, instance);
            ends.push_back(image_area(*call));
            int64_t last = 0;
            for (const int64_t end : ends) {
                if (next < call->capacity) {
                    call->counts[next] = static_cast<uint32_t>(end - last);
                }
                ++next;
                last = end;
            }
        }
        call->lengths[instance] = static_cast<int32_t>(next - before);
    }
    *call->total = next;
    return 0;
}

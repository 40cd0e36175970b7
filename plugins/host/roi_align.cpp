// MultilevelRoIAlign on the CPU, from the kernels' own arithmetic.
#include "maskrt_plugins.h"

#include <vector>

#include "arithmetic/level.h"
#include "arithmetic/pool_bin.h"
#include "arithmetic/pool_taps.h"

namespace {

using namespace maskrt;

constexpr int kChannels = 8;  // that share one computation of sample positions

template <PoolMode kMode>
void pool_roi(const MaskrtRoiAlign& call, int64_t roi_index)
{
    const MaskrtRoiAlignAttributes& attributes = call.attributes;
    const Box roi = load_box(call.rois + roi_index * 4);
    const int level = select_level(roi, attributes.level_thresholds, attributes.level_count - 1);
    const int height = call.heights[level];
    const int width = call.widths[level];
    const float scale = attributes.scales[level];
    const bool half_pixel = attributes.half_pixel != 0;
    const AxisGrid grid_y
        = make_axis_grid(roi.y1, roi.y2, scale, half_pixel, attributes.output_height, attributes.sampling_ratio);
    const AxisGrid grid_x
        = make_axis_grid(roi.x1, roi.x2, scale, half_pixel, attributes.output_width, attributes.sampling_ratio);
    std::vector<AxisTaps> taps_y, taps_x;
    const bool merges = kMode == PoolMode::kAverage
        && merges_taps(attributes.sampling_ratio, attributes.output_height, attributes.output_width);
    for (int bin = 0; merges && bin < attributes.output_height; ++bin) {
        taps_y.push_back(make_axis_taps(grid_y, bin, height));
    }
    for (int bin = 0; merges && bin < attributes.output_width; ++bin) {
        taps_x.push_back(make_axis_taps(grid_x, bin, width));
    }
    const int64_t plane = static_cast<int64_t>(height) * width;
    const int64_t bins = static_cast<int64_t>(attributes.output_height) * attributes.output_width;
    const float* image
        = static_cast<const float*>(call.features[level]) + roi_index / call.rois_per_image * call.channels * plane;
    float* output = static_cast<float*>(call.output) + roi_index * call.channels * bins;
    for (int channel = 0; channel < call.channels; channel += kChannels) {
        const int valid = call.channels - channel < kChannels ? call.channels - channel : kChannels;
        const auto load = [&](int pixel, float(&values)[kChannels]) {
            const float* first = image + channel * plane + pixel;
            for (int k = 0; k < kChannels; ++k) {
                values[k] = k < valid ? first[k * plane] : 0.0f;
            }
        };
        for (int64_t bin = 0; bin < bins; ++bin) {
            const int bin_y = static_cast<int>(bin / attributes.output_width);
            const int bin_x = static_cast<int>(bin % attributes.output_width);
            float pooled[kChannels];
            if (merges) {
                const AxisTaps& y = taps_y[bin_y];
                pool_taps<false>(
                    y, taps_x[bin_x],
                    [&](int row, int column, float(&values)[kChannels]) { load(y.pixel[row] * width + column, values); },
                    pooled);
            } else {
                pool_bin<kMode, 0>(grid_y, grid_x, bin_y, bin_x, height, width, load, pooled);
            }
            for (int k = 0; k < valid; ++k) {
                output[(channel + k) * bins + bin] = pooled[k];
            }
        }
    }
}

}  // namespace

extern "C" int32_t maskrt_abi_version(void)
{
    return MASKRT_ABI_VERSION;
}

extern "C" int32_t maskrt_host_roi_align(const MaskrtRoiAlign* call)
{
    if (call->data_type != MASKRT_FLOAT32 || call->channels_last != 0) {
        return MASKRT_INVALID_ARGUMENT;
    }
    for (int32_t level = 0; level < call->attributes.level_count; ++level) {
        if (static_cast<int64_t>(call->heights[level]) * call->widths[level] > INT32_MAX) {
            return MASKRT_TOO_LARGE;
        }
    }
    const int64_t rois = static_cast<int64_t>(call->batch) * call->rois_per_image;
    for (int64_t roi = 0; roi < rois; ++roi) {
        if (call->attributes.max_mode != 0) {
            pool_roi<PoolMode::kMax>(*call, roi);
        } else {
            pool_roi<PoolMode::kAverage>(*call, roi);
        }
    }
    return 0;
}

extern "C" void maskrt_host_select_levels(
    const float* rois, int64_t count, const float* thresholds, int32_t threshold_count, int32_t* levels)
{
    for (int64_t i = 0; i < count; ++i) {
        levels[i] = select_level(load_box(rois + i * 4), thresholds, threshold_count);
    }
}

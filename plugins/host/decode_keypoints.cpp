// DecodeKeypoints on the CPU, from the kernels' own arithmetic: heatmaps are stretched along x once, then row by row along
// y, where each column keeps its maximum. No surface is stored.
#include "maskrt_plugins.h"

#include <cmath>
#include <vector>

#include "arithmetic/cubic.h"
#include "arithmetic/keypoint.h"

namespace {

using namespace maskrt;

struct Workspace {
    std::vector<CubicTaps> columns;
    std::vector<float> stretched;  // [map_height, pixels of x]
    std::vector<float> maxima;     // of each column
    std::vector<int32_t> rows;     // that they lie in
};

inline void stretch_rows(const MaskrtDecodeKeypoints& call, const float* map, int width, Workspace& space)
{
    for (int32_t row = 0; row < call.map_height; ++row) {
        const float* values = map + static_cast<int64_t>(row) * call.map_width;
        float* target = space.stretched.data() + static_cast<int64_t>(row) * width;
        for (int x = 0; x < width; ++x) {
            const CubicTaps& taps = space.columns[static_cast<size_t>(x)];
            const auto value = [&](int k) { return values[cubic_index(taps.first + k, call.map_width)]; };
            target[x] = cubic_blend(value(0), value(1), value(2), value(3), taps.weights);
        }
    }
}

inline Peak find_peak(const MaskrtDecodeKeypoints& call, int height, int width, Workspace& space)
{
    const float scale = static_cast<float>(call.map_height) / static_cast<float>(height);
    float* maxima = space.maxima.data();
    int32_t* rows = space.rows.data();
    for (int y = 0; y < height; ++y) {
        const CubicTaps taps = make_cubic_taps(y, scale, call.map_height);
        const float* around[4];
        for (int k = 0; k < 4; ++k) {
            const int64_t row = cubic_index(taps.first + k, call.map_height);
            around[k] = space.stretched.data() + row * width;
        }
        if (y == 0) {
            for (int x = 0; x < width; ++x) {
                maxima[x] = cubic_blend(around[0][x], around[1][x], around[2][x], around[3][x], taps.weights);
                rows[x] = 0;
            }
            continue;
        }
#pragma GCC ivdep
        for (int x = 0; x < width; ++x) {  // without branches: the compiler takes several columns at once
            const float value = cubic_blend(around[0][x], around[1][x], around[2][x], around[3][x], taps.weights);
            const float maximum = maxima[x];
            const bool above = (value > maximum) | ((value != value) & (maximum == maximum));
            maxima[x] = above ? value : maximum;
            rows[x] = above ? y : rows[x];
        }
    }
    Peak peak{maxima[0], rows[0], 0};
    for (int x = 1; x < width; ++x) {
        peak = higher(peak, Peak{maxima[x], rows[x], x});
    }
    return peak;
}

inline float normalized_score(const MaskrtDecodeKeypoints& call, const float* map, float maximum)
{
    const int64_t cells = static_cast<int64_t>(call.map_height) * call.map_width;
    double sum = 0.0;
    for (int64_t i = 0; i < cells; ++i) {
        sum += expf(map[i] - maximum);
    }
    return static_cast<float>(1.0 / sum);
}

inline __attribute__((always_inline)) void decode(const MaskrtDecodeKeypoints& call)
{
    Workspace space;
    const int64_t cells = static_cast<int64_t>(call.map_height) * call.map_width;
    for (int64_t roi = 0; roi < call.rois; ++roi) {
        const Box box = load_box(call.boxes + roi * 4);
        const KeypointAxis x = make_keypoint_axis(box.x1, box.x2);
        const KeypointAxis y = make_keypoint_axis(box.y1, box.y2);
        const float scale = static_cast<float>(call.map_width) / static_cast<float>(x.pixels);
        space.columns.resize(static_cast<size_t>(x.pixels));
        for (int column = 0; column < x.pixels; ++column) {
            space.columns[static_cast<size_t>(column)] = make_cubic_taps(column, scale, call.map_width);
        }
        space.stretched.resize(static_cast<size_t>(call.map_height) * static_cast<size_t>(x.pixels));
        space.maxima.resize(static_cast<size_t>(x.pixels));
        space.rows.resize(static_cast<size_t>(x.pixels));
        for (int32_t keypoint = 0; keypoint < call.keypoints; ++keypoint) {
            const int64_t number = roi * call.keypoints + keypoint;
            const float* map = call.heatmaps + number * cells;
            stretch_rows(call, map, x.pixels, space);
            const Peak peak = find_peak(call, y.pixels, x.pixels, space);
            const float score = call.normalized != 0 ? normalized_score(call, map, peak.value) : peak.value;
            store_keypoint(call.output + number * 3, x, y, peak, score);
        }
    }
}

#if defined(__x86_64__)
// The same with fused multiply-add as an instruction: as a call of the mathematical library it takes most of the time.
__attribute__((target("avx2,fma"), flatten)) void decode_with_fma(const MaskrtDecodeKeypoints& call)
{
    decode(call);
}
#endif

}  // namespace

extern "C" int32_t maskrt_host_decode_keypoints(const MaskrtDecodeKeypoints* call)
{
    const int32_t status = check_decode_keypoints(*call);
    if (status != 0) {
        return status;
    }
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        decode_with_fma(*call);
        return 0;
    }
#endif
    decode(*call);
    return 0;
}

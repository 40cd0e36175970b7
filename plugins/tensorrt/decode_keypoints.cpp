#include "decode_keypoints.h"

#include <climits>
#include <exception>

#include "fields.h"
#include "kernels/decode_keypoints.h"
#include "logger.h"
#include "shapes.h"

namespace maskrt {

using namespace nvinfer1;

namespace {

constexpr int32_t kKeypointInputs = 2;
constexpr const char* kNormalized = "normalized";

// Whether the inputs fit each other, as far as their sizes are known; logs what does not.
bool check_shapes(const Dims& boxes, const Dims& heatmaps) noexcept
{
    if (boxes.nbDims != 3 || !may_be(boxes.d[2], 4)) {
        log_error("DecodeKeypoints: input boxes must be [B, K, 4], but it is %s", ShapeText(boxes).get());
        return false;
    }
    const int64_t rois = boxes.d[0] < 0 || boxes.d[1] < 0 ? -1 : boxes.d[0] * boxes.d[1];
    if (heatmaps.nbDims != 4 || !may_be(heatmaps.d[0], rois)) {
        log_error("DecodeKeypoints: input heatmaps must be [B * K, N, H, W], as boxes are %s, but it is %s",
            ShapeText(boxes).get(), ShapeText(heatmaps).get());
        return false;
    }
    return true;
}

}  // namespace

int32_t DecodeKeypoints::getNbOutputs() const noexcept
{
    return 1;
}

int32_t DecodeKeypoints::getOutputDataTypes(
    DataType* output_types, int32_t output_count, const DataType* input_types, int32_t input_count) const noexcept
{
    if (input_count != kKeypointInputs || output_count != 1) {
        log_error("DecodeKeypoints: there must be 2 inputs and 1 output, but there are %d and %d", input_count, output_count);
        return 1;
    }
    if (input_types[0] != DataType::kFLOAT || input_types[1] != DataType::kFLOAT) {
        log_error("DecodeKeypoints: boxes and heatmaps must be float32");
        return 1;
    }
    output_types[0] = DataType::kFLOAT;
    return 0;
}

int32_t DecodeKeypoints::getOutputShapes(DimsExprs const* inputs, int32_t input_count, DimsExprs const*, int32_t,
    DimsExprs* outputs, int32_t output_count, IExprBuilder& builder) noexcept
{
    if (input_count != kKeypointInputs || output_count != 1 || !check_shapes(known_sizes(inputs[0]), known_sizes(inputs[1]))) {
        return 1;
    }
    outputs[0].nbDims = 4;
    outputs[0].d[0] = inputs[0].d[0];
    outputs[0].d[1] = inputs[0].d[1];
    outputs[0].d[2] = inputs[1].d[1];
    outputs[0].d[3] = builder.constant(3);
    return 0;
}

bool DecodeKeypoints::supportsFormatCombination(
    int32_t position, DynamicPluginTensorDesc const* tensors, int32_t input_count, int32_t output_count) noexcept
{
    const PluginTensorDesc& tensor = tensors[position].desc;
    return input_count == kKeypointInputs && output_count == 1 && tensor.type == DataType::kFLOAT
        && tensor.format == TensorFormat::kLINEAR;
}

int32_t DecodeKeypoints::enqueue(PluginTensorDesc const* input_descriptions, PluginTensorDesc const*,
    void const* const* inputs, void* const* outputs, void*, cudaStream_t stream) noexcept
{
    const Dims& boxes = input_descriptions[0].dims;
    const Dims& heatmaps = input_descriptions[1].dims;
    if (!check_shapes(boxes, heatmaps)) {
        return 1;
    }
    for (int32_t i = 0; i < heatmaps.nbDims; ++i) {
        if (heatmaps.d[i] > INT_MAX) {
            log_error("DecodeKeypoints: input heatmaps must have sizes below 2^31, but it is %s", ShapeText(heatmaps).get());
            return 1;
        }
    }
    MaskrtDecodeKeypoints call{};
    call.rois = static_cast<int32_t>(heatmaps.d[0]);
    call.keypoints = static_cast<int32_t>(heatmaps.d[1]);
    call.map_height = static_cast<int32_t>(heatmaps.d[2]);
    call.map_width = static_cast<int32_t>(heatmaps.d[3]);
    call.normalized = normalized_;
    call.boxes = static_cast<const float*>(inputs[0]);
    call.heatmaps = static_cast<const float*>(inputs[1]);
    call.output = static_cast<float*>(outputs[0]);
    const int32_t status = launch_decode_keypoints(call, stream);
    if (status != 0) {
        log_error("DecodeKeypoints: the launch failed: %s", maskrt_status_string(status));
    }
    return status;
}

PluginFieldCollection const* DecodeKeypoints::getFieldsToSerialize() noexcept
{
    field_ = PluginField(kNormalized, &normalized_, PluginFieldType::kINT32, 1);
    collection_.nbFields = 1;
    collection_.fields = &field_;
    return &collection_;
}

IPluginV3* DecodeKeypointsCreator::createPlugin(
    AsciiChar const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept
{
    try {
        int32_t normalized = 0;
        const bool fit = Fields(DecodeKeypoints::kName, fields).read_int(kNormalized, 0, 1, normalized);
        return fit ? new DecodeKeypoints(normalized) : nullptr;
    } catch (const std::exception& error) {
        log_error("DecodeKeypoints: %s", error.what());
        return nullptr;
    }
}

PluginFieldCollection const* DecodeKeypointsCreator::getFieldNames() noexcept
{
    static const PluginField field(kNormalized, nullptr, PluginFieldType::kINT32, 1);
    static const PluginFieldCollection collection{1, &field};
    return &collection;
}

}  // namespace maskrt

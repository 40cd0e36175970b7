#include "batched_nms.h"

#include <algorithm>
#include <climits>
#include <exception>

#include "fields.h"
#include "kernels/batched_nms.h"
#include "kernels/nms_workspace.h"
#include "logger.h"
#include "shapes.h"

namespace maskrt {

using namespace nvinfer1;

namespace {

constexpr int32_t kInputs = 5;
constexpr int32_t kOutputs = 2;
constexpr DataType kTypes[kInputs + kOutputs] = {DataType::kFLOAT, DataType::kFLOAT, DataType::kINT32, DataType::kFLOAT,
    DataType::kFLOAT, DataType::kINT32, DataType::kINT32};
constexpr const char* kInputNames[kInputs] = {"boxes", "scores", "groups", "iou_threshold", "score_threshold"};
constexpr int32_t kLargestMaxOutput = 1 << 20;

// Whether the inputs fit each other, as far as their sizes are known; logs what does not.
bool check_shapes(const Dims (&inputs)[kInputs]) noexcept
{
    const Dims& boxes = inputs[0];
    if (boxes.nbDims != 3 || !may_be(boxes.d[2], 4)) {
        log_error("BatchedNMS: input boxes must be [B, N, 4], but it is %s", ShapeText(boxes).get());
        return false;
    }
    const Dims per_box{2, {boxes.d[0], boxes.d[1]}};
    const Dims per_image{2, {boxes.d[0], 1}};
    const Dims* const wanted[kInputs] = {&boxes, &per_box, &per_box, &per_image, &per_image};
    for (int32_t i = 1; i < kInputs; ++i) {
        if (!may_be(inputs[i], *wanted[i])) {
            log_error("BatchedNMS: input %s must be %s, as boxes are %s, but it is %s", kInputNames[i],
                ShapeText(*wanted[i]).get(), ShapeText(boxes).get(), ShapeText(inputs[i]).get());
            return false;
        }
    }
    return true;
}

}  // namespace

int32_t BatchedNMS::getNbOutputs() const noexcept
{
    return kOutputs;
}

int32_t BatchedNMS::getOutputDataTypes(
    DataType* output_types, int32_t output_count, const DataType* input_types, int32_t input_count) const noexcept
{
    if (input_count != kInputs || output_count != kOutputs) {
        log_error("BatchedNMS: there must be 5 inputs and 2 outputs, but there are %d and %d", input_count, output_count);
        return 1;
    }
    for (int32_t i = 0; i < kInputs; ++i) {
        if (input_types[i] != kTypes[i]) {
            log_error("BatchedNMS: input %s must be %s", kInputNames[i], kTypes[i] == DataType::kINT32 ? "int32" : "float32");
            return 1;
        }
    }
    output_types[0] = output_types[1] = DataType::kINT32;
    return 0;
}

int32_t BatchedNMS::getOutputShapes(DimsExprs const* inputs, int32_t input_count, DimsExprs const*, int32_t,
    DimsExprs* outputs, int32_t output_count, IExprBuilder& builder) noexcept
{
    if (input_count != kInputs || output_count != kOutputs) {
        return 1;
    }
    Dims shapes[kInputs];
    std::transform(inputs, inputs + kInputs, shapes, known_sizes);
    if (!check_shapes(shapes)) {
        return 1;
    }
    outputs[0].nbDims = 1;
    outputs[0].d[0] = inputs[0].d[0];
    outputs[1].nbDims = 2;
    outputs[1].d[0] = inputs[0].d[0];
    outputs[1].d[1] = builder.constant(max_output_);
    return 0;
}

bool BatchedNMS::supportsFormatCombination(
    int32_t position, DynamicPluginTensorDesc const* tensors, int32_t input_count, int32_t output_count) noexcept
{
    if (input_count != kInputs || output_count != kOutputs) {
        return false;
    }
    const PluginTensorDesc& tensor = tensors[position].desc;
    return tensor.type == kTypes[position] && tensor.format == TensorFormat::kLINEAR;
}

size_t BatchedNMS::getWorkspaceSize(
    DynamicPluginTensorDesc const* inputs, int32_t, DynamicPluginTensorDesc const*, int32_t) const noexcept
{
    const Dims& largest = inputs[0].max;
    return nms_workspace_layout({static_cast<int32_t>(largest.d[0]), static_cast<int32_t>(largest.d[1]), max_output_}).total;
}

int32_t BatchedNMS::enqueue(PluginTensorDesc const* input_descriptions, PluginTensorDesc const*,
    void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept
{
    Dims shapes[kInputs];
    std::transform(input_descriptions, input_descriptions + kInputs, shapes,
        [](const PluginTensorDesc& description) { return description.dims; });
    if (!check_shapes(shapes)) {
        return 1;
    }
    const Dims& boxes = shapes[0];
    if (boxes.d[0] > INT_MAX || boxes.d[1] > INT_MAX) {
        log_error("BatchedNMS: input boxes must have fewer than 2^31 rows, but it is %s", ShapeText(boxes).get());
        return 1;
    }
    MaskrtBatchedNms call{};
    call.batch = static_cast<int32_t>(boxes.d[0]);
    call.boxes_per_image = static_cast<int32_t>(boxes.d[1]);
    call.max_output = max_output_;
    call.boxes = static_cast<const float*>(inputs[0]);
    call.scores = static_cast<const float*>(inputs[1]);
    call.groups = static_cast<const int32_t*>(inputs[2]);
    call.iou_threshold = static_cast<const float*>(inputs[3]);
    call.score_threshold = static_cast<const float*>(inputs[4]);
    call.num = static_cast<int32_t*>(outputs[0]);
    call.indices = static_cast<int32_t*>(outputs[1]);
    const int32_t status = launch_batched_nms(call, workspace, stream);
    if (status != 0) {
        log_error("BatchedNMS: the launch failed: %s", maskrt_status_string(status));
    }
    return status;
}

PluginFieldCollection const* BatchedNMS::getFieldsToSerialize() noexcept
{
    field_ = PluginField("max_output", &max_output_, PluginFieldType::kINT32, 1);
    collection_.nbFields = 1;
    collection_.fields = &field_;
    return &collection_;
}

IPluginV3* BatchedNMSCreator::createPlugin(
    AsciiChar const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept
{
    try {
        int32_t max_output = 0;
        const bool fit = Fields(BatchedNMS::kName, fields).read_int("max_output", 1, kLargestMaxOutput, max_output);
        return fit ? new BatchedNMS(max_output) : nullptr;
    } catch (const std::exception& error) {
        log_error("BatchedNMS: %s", error.what());
        return nullptr;
    }
}

PluginFieldCollection const* BatchedNMSCreator::getFieldNames() noexcept
{
    static const PluginField field("max_output", nullptr, PluginFieldType::kINT32, 1);
    static const PluginFieldCollection collection{1, &field};
    return &collection;
}

}  // namespace maskrt

#include "detection_output.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <exception>
#include <iterator>

#include "arithmetic/detection.h"
#include "fields.h"
#include "kernels/detection_workspace.h"
#include "kernels/detections.h"
#include "logger.h"
#include "shapes.h"

namespace maskrt {

using namespace nvinfer1;

namespace {

enum Input { kLogits, kDeltas, kRois, kNumRois, kImageSizes, kScoreThreshold, kNmsThreshold, kDetectionInputs };

constexpr int32_t kDetectionOutputs = 4;
constexpr int32_t kMostDetections = 1 << 20;
constexpr const char* kActivations[] = {"softmax", "sigmoid", "none"};  // index: activation
constexpr const char* kBackgrounds[] = {"last", "first"};               // index: background_first
constexpr const char* kWeighings[] = {"divide", "multiply"};            // index: multiply
constexpr const char* kDetectionInputNames[kDetectionInputs]
    = {"logits", "deltas", "proposals", "num_proposals", "image_sizes", "score_threshold", "nms_threshold"};

bool read_attributes(const PluginFieldCollection* collection, MaskrtDetectionAttributes& a)
{
    const Fields fields(DetectionOutput::kName, collection);
    return fields.read_choice("activation", {kActivations[0], kActivations[1], kActivations[2]}, a.activation)
        && fields.read_choice("background", {kBackgrounds[0], kBackgrounds[1]}, a.background_first)
        && fields.read_int("class_agnostic", 0, 1, a.class_agnostic) && fields.read_finite("weights", 4, a.weights)
        && fields.read_choice("weights_operation", {kWeighings[0], kWeighings[1]}, a.multiply)
        && fields.read_finite("min_log_scale", 1, &a.min_log_scale)
        && fields.read_finite("max_log_scale", 1, &a.max_log_scale) && fields.read_finite("min_side", 1, &a.min_side)
        && fields.read_int("min_side_inclusive", 0, 1, a.min_side_inclusive)
        && fields.read_int("max_detections", 1, kMostDetections, a.max_detections);
}

bool has_inputs(int32_t input_count, int32_t output_count) noexcept
{
    if (input_count == kDetectionInputs && output_count == kDetectionOutputs) {
        return true;
    }
    log_error("DetectionOutput: there must be 7 inputs and 4 outputs, but there are %d and %d", input_count, output_count);
    return false;
}

bool is_type_of(int32_t input, DataType type) noexcept
{
    switch (input) {
    case kLogits:
    case kDeltas: return type == DataType::kFLOAT || type == DataType::kHALF;
    case kNumRois:
    case kImageSizes: return type == DataType::kINT32;
    default: return type == DataType::kFLOAT;
    }
}

// Whether the inputs fit each other, as far as their sizes are known; logs what does not.
bool check_shapes(const MaskrtDetectionAttributes& attributes, const Dims (&inputs)[kDetectionInputs]) noexcept
{
    const Dims& rois = inputs[kRois];
    if (!may_be(rois, Dims{3, {-1, -1, 4}})) {
        log_error("DetectionOutput: input proposals must be [B, R, 4], but it is %s", ShapeText(rois).get());
        return false;
    }
    const Dims& logits = inputs[kLogits];
    const bool known = logits.nbDims == 2 && logits.d[1] >= 0;
    if (known && (logits.d[1] < 2 || logits.d[1] > INT_MAX)) {
        log_error("DetectionOutput: logits must be of 2 labels or more, but it is %s", ShapeText(logits).get());
        return false;
    }
    const int64_t rows = rois.d[0] >= 0 && rois.d[1] >= 0 ? rois.d[0] * rois.d[1] : -1;
    const int64_t columns = known ? delta_columns(attributes, static_cast<int32_t>(logits.d[1])) : -1;
    const Dims per_image{2, {rois.d[0], 1}};
    const Dims wanted[kDetectionInputs] = {Dims{2, {rows, -1}}, Dims{2, {rows, columns}}, rois, Dims{1, {rois.d[0]}},
        Dims{2, {rois.d[0], 2}}, per_image, per_image};
    for (int32_t i = 0; i < kDetectionInputs; ++i) {
        if (!may_be(inputs[i], wanted[i])) {
            log_error("DetectionOutput: input %s must be %s, as proposals are %s and logits %s, but it is %s",
                kDetectionInputNames[i], ShapeText(wanted[i]).get(), ShapeText(rois).get(), ShapeText(logits).get(),
                ShapeText(inputs[i]).get());
            return false;
        }
    }
    return true;
}

// The sizes of a call; whether they fit into int32.
bool describe_sizes(
    const MaskrtDetectionAttributes& attributes, const Dims& rois, const Dims& logits, MaskrtDetections& call) noexcept
{
    call.attributes = attributes;
    call.batch = static_cast<int32_t>(rois.d[0]);
    call.proposals_per_image = static_cast<int32_t>(rois.d[1]);
    call.labels = static_cast<int32_t>(logits.d[1]);
    return rois.d[0] <= INT_MAX && rois.d[1] <= INT_MAX && rois.d[1] * (logits.d[1] - 1) <= INT_MAX;
}

int32_t type_number(const PluginTensorDesc& tensor) noexcept
{
    return tensor.type == DataType::kHALF ? MASKRT_FLOAT16 : MASKRT_FLOAT32;
}

}  // namespace

int32_t DetectionOutput::getNbOutputs() const noexcept
{
    return kDetectionOutputs;
}

int32_t DetectionOutput::getOutputDataTypes(
    DataType* output_types, int32_t output_count, const DataType* input_types, int32_t input_count) const noexcept
{
    if (!has_inputs(input_count, output_count)) {
        return 1;
    }
    for (int32_t i = 0; i < kDetectionInputs; ++i) {
        if (!is_type_of(i, input_types[i])) {
            log_error("DetectionOutput: input %s must be %s", kDetectionInputNames[i],
                i <= kDeltas                           ? "float32 or float16"
                    : is_type_of(i, DataType::kINT32) ? "int32"
                                                      : "float32");
            return 1;
        }
    }
    output_types[0] = output_types[3] = DataType::kINT32;
    output_types[1] = output_types[2] = DataType::kFLOAT;
    return 0;
}

int32_t DetectionOutput::getOutputShapes(DimsExprs const* inputs, int32_t input_count, DimsExprs const*, int32_t,
    DimsExprs* outputs, int32_t output_count, IExprBuilder& builder) noexcept
{
    if (!has_inputs(input_count, output_count)) {
        return 1;
    }
    Dims shapes[kDetectionInputs];
    std::transform(inputs, inputs + kDetectionInputs, shapes, known_sizes);
    if (!check_shapes(attributes_, shapes)) {
        return 1;
    }
    const int32_t dimensions[kDetectionOutputs] = {1, 3, 2, 2};
    for (int32_t i = 0; i < kDetectionOutputs; ++i) {
        outputs[i].nbDims = dimensions[i];
        outputs[i].d[0] = inputs[kRois].d[0];
        outputs[i].d[1] = builder.constant(attributes_.max_detections);
        outputs[i].d[2] = builder.constant(4);
    }
    return 0;
}

bool DetectionOutput::supportsFormatCombination(
    int32_t position, DynamicPluginTensorDesc const* tensors, int32_t input_count, int32_t output_count) noexcept
{
    if (input_count != kDetectionInputs || output_count != kDetectionOutputs) {
        return false;
    }
    const PluginTensorDesc& tensor = tensors[position].desc;
    const int32_t output = position - kDetectionInputs;
    const bool is_type = output < 0 ? is_type_of(position, tensor.type)
                                    : tensor.type == (output == 0 || output == 3 ? DataType::kINT32 : DataType::kFLOAT);
    return is_type && tensor.format == TensorFormat::kLINEAR;
}

size_t DetectionOutput::getWorkspaceSize(
    DynamicPluginTensorDesc const* inputs, int32_t, DynamicPluginTensorDesc const*, int32_t) const noexcept
{
    MaskrtDetections largest{};
    describe_sizes(attributes_, inputs[kRois].max, inputs[kLogits].max, largest);
    return detection_workspace_layout(detection_sizes(largest)).total;
}

int32_t DetectionOutput::enqueue(PluginTensorDesc const* input_descriptions, PluginTensorDesc const*,
    void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept
{
    Dims shapes[kDetectionInputs];
    std::transform(input_descriptions, input_descriptions + kDetectionInputs, shapes,
        [](const PluginTensorDesc& description) { return description.dims; });
    if (!check_shapes(attributes_, shapes)) {
        return 1;
    }
    MaskrtDetections call{};
    if (!describe_sizes(attributes_, shapes[kRois], shapes[kLogits], call)) {
        log_error("DetectionOutput: there must be fewer than 2^31 boxes to an image, but proposals are %s and logits %s",
            ShapeText(shapes[kRois]).get(), ShapeText(shapes[kLogits]).get());
        return 1;
    }
    call.logits_type = type_number(input_descriptions[kLogits]);
    call.deltas_type = type_number(input_descriptions[kDeltas]);
    call.logits = inputs[kLogits];
    call.deltas = inputs[kDeltas];
    call.proposals = static_cast<const float*>(inputs[kRois]);
    call.num_proposals = static_cast<const int32_t*>(inputs[kNumRois]);
    call.image_sizes = static_cast<const int32_t*>(inputs[kImageSizes]);
    call.score_threshold = static_cast<const float*>(inputs[kScoreThreshold]);
    call.nms_threshold = static_cast<const float*>(inputs[kNmsThreshold]);
    call.num = static_cast<int32_t*>(outputs[0]);
    call.boxes = static_cast<float*>(outputs[1]);
    call.scores = static_cast<float*>(outputs[2]);
    call.classes = static_cast<int32_t*>(outputs[3]);
    const int32_t status = launch_detections(call, workspace, stream);
    if (status != 0) {
        log_error("DetectionOutput: the launch failed: %s", maskrt_status_string(status));
    }
    return status;
}

PluginFieldCollection const* DetectionOutput::getFieldsToSerialize() noexcept
{
    const MaskrtDetectionAttributes& a = attributes_;
    const auto text = [](const char* name, const char* value) {
        return PluginField(name, value, PluginFieldType::kCHAR, static_cast<int32_t>(std::strlen(value)) + 1);
    };
    const auto integer
        = [](const char* name, const int32_t& value) { return PluginField(name, &value, PluginFieldType::kINT32, 1); };
    const auto floats = [](const char* name, const float* values, int32_t count) {
        return PluginField(name, values, PluginFieldType::kFLOAT32, count);
    };
    const PluginField fields[] = {
        text("activation", kActivations[a.activation]),
        text("background", kBackgrounds[a.background_first]),
        integer("class_agnostic", a.class_agnostic),
        floats("weights", a.weights, 4),
        text("weights_operation", kWeighings[a.multiply]),
        floats("min_log_scale", &a.min_log_scale, 1),
        floats("max_log_scale", &a.max_log_scale, 1),
        floats("min_side", &a.min_side, 1),
        integer("min_side_inclusive", a.min_side_inclusive),
        integer("max_detections", a.max_detections),
    };
    static_assert(sizeof(fields) == sizeof(fields_));
    std::copy(std::begin(fields), std::end(fields), fields_);
    collection_.nbFields = static_cast<int32_t>(std::size(fields));
    collection_.fields = fields_;
    return &collection_;
}

IPluginV3* DetectionOutputCreator::createPlugin(
    AsciiChar const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept
{
    try {
        MaskrtDetectionAttributes attributes{};
        return read_attributes(fields, attributes) ? new DetectionOutput(attributes) : nullptr;
    } catch (const std::exception& error) {
        log_error("DetectionOutput: %s", error.what());
        return nullptr;
    }
}

PluginFieldCollection const* DetectionOutputCreator::getFieldNames() noexcept
{
    static DetectionOutput any{MaskrtDetectionAttributes{}};  // the same names and types, whatever the values
    return any.getFieldsToSerialize();
}

}  // namespace maskrt

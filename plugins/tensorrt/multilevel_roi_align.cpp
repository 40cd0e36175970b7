#include "multilevel_roi_align.h"

#include <climits>
#include <cmath>
#include <cstring>
#include <exception>

#include "fields.h"
#include "kernels/roi_align.h"
#include "logger.h"
#include "shapes.h"

namespace maskrt {

using namespace nvinfer1;

namespace {

constexpr int32_t kLargestOutput = 1024;
constexpr int32_t kLargestSamplingRatio = 1024;
constexpr const char* kTransformations[] = {"output_half_pixel", "half_pixel"};  // index: half_pixel
constexpr const char* kModes[] = {"avg", "max"};                                 // index: max_mode

int64_t round_up_to_8(int64_t channels)
{
    return (channels + 7) / 8 * 8;
}

const char* name_of(DataType type)
{
    switch (type) {
    case DataType::kFLOAT: return "float32";
    case DataType::kHALF: return "float16";
    case DataType::kBF16: return "bfloat16 (convert the model with `maskrt quantize --precision fp16`)";
    case DataType::kINT32: return "int32";
    case DataType::kINT8: return "int8";
    default: return "of another type";
    }
}

// The pairs of type and format that features and output may have.
bool is_feature_format(const PluginTensorDesc& tensor)
{
    if (tensor.dims.nbDims != 4) {
        return false;
    }
    switch (tensor.type) {
    case DataType::kFLOAT:
        return tensor.format == TensorFormat::kLINEAR
            || (tensor.format == TensorFormat::kHWC && tensor.dims.d[1] > 0 && tensor.dims.d[1] % 4 == 0);
    case DataType::kHALF: return tensor.format == TensorFormat::kLINEAR || tensor.format == TensorFormat::kHWC8;
    default: return false;
    }
}

bool read_attributes(const PluginFieldCollection* collection, MaskrtRoiAlignAttributes& attributes)
{
    const Fields fields(MultilevelRoIAlign::kName, collection);
    int32_t thresholds = 0;
    if (!fields.read_int("output_height", 1, kLargestOutput, attributes.output_height)
        || !fields.read_int("output_width", 1, kLargestOutput, attributes.output_width)
        || !fields.read_int("sampling_ratio", 0, kLargestSamplingRatio, attributes.sampling_ratio)
        || !fields.read_choice(
            "coordinate_transformation_mode", {kTransformations[0], kTransformations[1]}, attributes.half_pixel)
        || !fields.read_choice("mode", {kModes[0], kModes[1]}, attributes.max_mode)
        || !fields.read_floats("scales", 1, MASKRT_MAX_LEVELS, attributes.scales, attributes.level_count)
        || !fields.read_floats("level_thresholds", attributes.level_count - 1, attributes.level_count - 1,
            attributes.level_thresholds, thresholds)) {
        return false;
    }
    if (attributes.max_mode != 0 && attributes.sampling_ratio == 0) {
        log_error("MultilevelRoIAlign: mode \"max\" needs a sampling_ratio of at least 1, but it is 0 (adaptive)");
        return false;
    }
    for (int32_t i = 0; i < attributes.level_count; ++i) {
        if (!(attributes.scales[i] > 0.0f) || !std::isfinite(attributes.scales[i])) {
            log_error("MultilevelRoIAlign: scales must be positive, but scale %d is %g", i, attributes.scales[i]);
            return false;
        }
    }
    for (int32_t i = 1; i < thresholds; ++i) {
        if (!(attributes.level_thresholds[i] >= attributes.level_thresholds[i - 1])) {
            log_error("MultilevelRoIAlign: level_thresholds must not descend, but %g comes after %g",
                attributes.level_thresholds[i], attributes.level_thresholds[i - 1]);
            return false;
        }
    }
    return true;
}

}  // namespace

int32_t MultilevelRoIAlign::getNbOutputs() const noexcept
{
    return 1;
}

int32_t MultilevelRoIAlign::getOutputDataTypes(
    DataType* output_types, int32_t output_count, const DataType* input_types, int32_t input_count) const noexcept
{
    if (input_count != 1 + attributes_.level_count || output_count != 1) {
        log_error("MultilevelRoIAlign: %d scales need %d inputs (rois and the features), but there are %d",
            attributes_.level_count, 1 + attributes_.level_count, input_count);
        return 1;
    }
    if (input_types[0] != DataType::kFLOAT) {
        log_error("MultilevelRoIAlign: rois must be float32");
        return 1;
    }
    for (int32_t i = 1; i < input_count; ++i) {
        if ((input_types[i] != DataType::kFLOAT && input_types[i] != DataType::kHALF) || input_types[i] != input_types[1]) {
            log_error("MultilevelRoIAlign: features must be all float32 or all float16, but feature %d is %s", i - 1,
                name_of(input_types[i]));
            return 1;
        }
    }
    output_types[0] = input_types[1];
    return 0;
}

int32_t MultilevelRoIAlign::getOutputShapes(DimsExprs const* inputs, int32_t input_count, DimsExprs const*, int32_t,
    DimsExprs* outputs, int32_t output_count, IExprBuilder& builder) noexcept
{
    if (input_count != 1 + attributes_.level_count || output_count != 1) {
        return 1;
    }
    const Dims rois = known_sizes(inputs[0]);
    if (rois.nbDims != 3 || !may_be(rois.d[2], 4)) {
        log_error("MultilevelRoIAlign: input rois must be [B, R, 4], but it is %s", ShapeText(rois).get());
        return 1;
    }
    for (int32_t i = 1; i < input_count; ++i) {
        if (inputs[i].nbDims != 4) {
            log_error("MultilevelRoIAlign: feature %d must be [B, C, H, W], but it is %s", i - 1,
                ShapeText(known_sizes(inputs[i])).get());
            return 1;
        }
    }
    outputs[0].nbDims = 4;
    outputs[0].d[0] = builder.operation(DimensionOperation::kPROD, *inputs[0].d[0], *inputs[0].d[1]);
    outputs[0].d[1] = inputs[1].d[1];
    outputs[0].d[2] = builder.constant(attributes_.output_height);
    outputs[0].d[3] = builder.constant(attributes_.output_width);
    return 0;
}

bool MultilevelRoIAlign::supportsFormatCombination(
    int32_t position, DynamicPluginTensorDesc const* tensors, int32_t input_count, int32_t output_count) noexcept
{
    if (input_count != 1 + attributes_.level_count || output_count != 1) {
        return false;
    }
    const PluginTensorDesc& tensor = tensors[position].desc;
    if (position == 0) {
        return tensor.type == DataType::kFLOAT && tensor.format == TensorFormat::kLINEAR;
    }
    const PluginTensorDesc& first_feature = tensors[1].desc;
    if (!is_feature_format(tensor) || tensor.type != first_feature.type) {
        return false;
    }
    // An output for a matrix product is linear, which spares a reformat of all of it.
    const bool is_output = position == input_count;
    return tensor.format == first_feature.format
        || (is_output && tensor.format == TensorFormat::kLINEAR && writes_linear(attributes_));
}

size_t MultilevelRoIAlign::getWorkspaceSize(
    DynamicPluginTensorDesc const* inputs, int32_t, DynamicPluginTensorDesc const*, int32_t) const noexcept
{
    const Dims& largest = inputs[0].max;
    return static_cast<size_t>(largest.d[0] * largest.d[1]) * sizeof(int32_t);  // the order of the RoIs
}

int32_t MultilevelRoIAlign::enqueue(PluginTensorDesc const* input_descriptions,
    PluginTensorDesc const* output_descriptions, void const* const* inputs, void* const* outputs, void* workspace,
    cudaStream_t stream) noexcept
{
    const Dims& rois = input_descriptions[0].dims;
    const PluginTensorDesc& first_feature = input_descriptions[1];
    MaskrtRoiAlign call{};
    call.attributes = attributes_;
    if (rois.d[0] > INT_MAX || rois.d[1] > INT_MAX || rois.d[2] != 4) {
        log_error("MultilevelRoIAlign: input rois must be [B, R, 4], but it is %s", ShapeText(rois).get());
        return 1;
    }
    call.batch = static_cast<int32_t>(rois.d[0]);
    call.rois_per_image = static_cast<int32_t>(rois.d[1]);
    call.channels = static_cast<int32_t>(first_feature.dims.d[1]);
    call.data_type = first_feature.type == DataType::kHALF ? MASKRT_FLOAT16 : MASKRT_FLOAT32;
    call.channels_last = first_feature.format == TensorFormat::kLINEAR ? 0 : 1;
    call.channel_stride = static_cast<int32_t>(
        first_feature.format == TensorFormat::kHWC8 ? round_up_to_8(call.channels) : call.channels);
    call.linear_output
        = call.channels_last != 0 && output_descriptions[0].format == TensorFormat::kLINEAR ? 1 : 0;
    call.rois = static_cast<const float*>(inputs[0]);
    call.order = static_cast<int32_t*>(workspace);
    for (int32_t level = 0; level < attributes_.level_count; ++level) {
        const Dims& feature = input_descriptions[1 + level].dims;
        if (feature.d[0] != rois.d[0] || feature.d[1] != first_feature.dims.d[1]) {
            log_error("MultilevelRoIAlign: feature %d has batch %lld and %lld channels, expected %lld and %lld", level,
                static_cast<long long>(feature.d[0]), static_cast<long long>(feature.d[1]),
                static_cast<long long>(rois.d[0]), static_cast<long long>(first_feature.dims.d[1]));
            return 1;
        }
        call.heights[level] = static_cast<int32_t>(feature.d[2]);
        call.widths[level] = static_cast<int32_t>(feature.d[3]);
        call.features[level] = inputs[1 + level];
    }
    call.output = outputs[0];
    const int32_t status = launch_roi_align(call, stream);
    if (status != 0) {
        log_error("MultilevelRoIAlign: the launch failed: %s", maskrt_status_string(status));
    }
    return status;
}

PluginFieldCollection const* MultilevelRoIAlign::getFieldsToSerialize() noexcept
{
    const auto text = [](const char* name, const char* value) {
        return PluginField(name, value, PluginFieldType::kCHAR, static_cast<int32_t>(std::strlen(value)) + 1);
    };
    fields_[0] = PluginField("output_height", &attributes_.output_height, PluginFieldType::kINT32, 1);
    fields_[1] = PluginField("output_width", &attributes_.output_width, PluginFieldType::kINT32, 1);
    fields_[2] = PluginField("sampling_ratio", &attributes_.sampling_ratio, PluginFieldType::kINT32, 1);
    fields_[3] = text("coordinate_transformation_mode", kTransformations[attributes_.half_pixel]);
    fields_[4] = text("mode", kModes[attributes_.max_mode]);
    fields_[5] = PluginField("scales", attributes_.scales, PluginFieldType::kFLOAT32, attributes_.level_count);
    fields_[6] = PluginField(
        "level_thresholds", attributes_.level_thresholds, PluginFieldType::kFLOAT32, attributes_.level_count - 1);
    collection_.nbFields = attributes_.level_count > 1 ? 7 : 6;  // one level has no thresholds: no empty field
    collection_.fields = fields_;
    return &collection_;
}

IPluginV3* MultilevelRoIAlignCreator::createPlugin(
    AsciiChar const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept
{
    try {
        MaskrtRoiAlignAttributes attributes{};
        return read_attributes(fields, attributes) ? new MultilevelRoIAlign(attributes) : nullptr;
    } catch (const std::exception& error) {
        log_error("MultilevelRoIAlign: %s", error.what());
        return nullptr;
    }
}

PluginFieldCollection const* MultilevelRoIAlignCreator::getFieldNames() noexcept
{
    static const PluginField fields[] = {
        PluginField("output_height", nullptr, PluginFieldType::kINT32, 1),
        PluginField("output_width", nullptr, PluginFieldType::kINT32, 1),
        PluginField("sampling_ratio", nullptr, PluginFieldType::kINT32, 1),
        PluginField("coordinate_transformation_mode", nullptr, PluginFieldType::kCHAR, 0),
        PluginField("mode", nullptr, PluginFieldType::kCHAR, 0),
        PluginField("scales", nullptr, PluginFieldType::kFLOAT32, MASKRT_MAX_LEVELS),
        PluginField("level_thresholds", nullptr, PluginFieldType::kFLOAT32, MASKRT_MAX_LEVELS - 1),
    };
    static const PluginFieldCollection collection{sizeof(fields) / sizeof(fields[0]), fields};
    return &collection;
}

}  // namespace maskrt

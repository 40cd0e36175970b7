#include "generate_proposals.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <exception>
#include <iterator>
#include <numeric>

#include "fields.h"
#include "kernels/proposal_workspace.h"
#include "kernels/proposals.h"
#include "logger.h"
#include "shapes.h"

namespace maskrt {

using namespace nvinfer1;

namespace {

constexpr int32_t kSizeInputs = 2;  // inputs before the maps
constexpr int32_t kProposalOutputs = 2;
constexpr int32_t kMostProposalInputs = kSizeInputs + 2 * MASKRT_MAX_RPN_LEVELS;
constexpr int32_t kMostProposals = 1 << 20;
constexpr int32_t kLargestStride = 1 << 15;
constexpr const char* kScores[] = {"logit", "probability"};     // index: …_by_probability
constexpr const char* kOperations[] = {"divide", "multiply"};   // index: multiply

bool read_attributes(const PluginFieldCollection* collection, MaskrtProposalAttributes& a)
{
    const Fields fields(GenerateProposals::kName, collection);
    int32_t cells[MASKRT_MAX_RPN_LEVELS];
    int32_t levels = 0;
    if (!fields.read_ints("cell_anchors", 1, MASKRT_MAX_RPN_LEVELS, 1, MASKRT_MAX_CELL_ANCHORS, cells, levels)) {
        return false;
    }
    a.level_count = levels;
    std::copy(cells, cells + levels, a.cell_anchors);
    const int32_t all_cells = std::accumulate(cells, cells + levels, 0);
    if (all_cells > MASKRT_MAX_CELL_ANCHORS) {
        log_error("GenerateProposals: all levels together must have at most %d anchors to a position, but have %d",
            MASKRT_MAX_CELL_ANCHORS, all_cells);
        return false;
    }
    int32_t strides = 0;
    return fields.read_ints("strides", levels, levels, 0, kLargestStride, a.strides, strides)
        && fields.read_finite("offsets", levels, a.offsets) && fields.read_finite("anchors", 4 * all_cells, a.anchors)
        && fields.read_finite("weights", 4, a.weights)
        && fields.read_choice("weights_operation", {kOperations[0], kOperations[1]}, a.multiply)
        && fields.read_finite("min_log_scale", 1, &a.min_log_scale)
        && fields.read_finite("max_log_scale", 1, &a.max_log_scale)
        && fields.read_choice("top_k_by", {kScores[0], kScores[1]}, a.top_k_by_probability)
        && fields.read_choice("nms_by", {kScores[0], kScores[1]}, a.nms_by_probability)
        && fields.read_int("pre_nms_top_k", 1, kMostTopK, a.pre_nms_top_k)
        && fields.read_int("post_nms_top_k", 1, kMostProposals, a.post_nms_top_k)
        && fields.read_finite("min_side", 1, &a.min_side)
        && fields.read_int("min_side_inclusive", 0, 1, a.min_side_inclusive)
        && fields.read_finite("min_probability", 1, &a.min_probability)
        && fields.read_int("finite_logits", 0, 1, a.finite_logits)
        && fields.read_finite("nms_threshold", 1, &a.nms_threshold);
}

bool has_maps(const MaskrtProposalAttributes& attributes, int32_t input_count, int32_t output_count) noexcept
{
    if (input_count == kSizeInputs + 2 * attributes.level_count && output_count == kProposalOutputs) {
        return true;
    }
    log_error("GenerateProposals: %d levels need %d inputs and 2 outputs, but there are %d and %d",
        attributes.level_count, kSizeInputs + 2 * attributes.level_count, input_count, output_count);
    return false;
}

// Whether the inputs fit each other, as far as their sizes are known; logs what does not.
bool check_shapes(const MaskrtProposalAttributes& attributes, const Dims* inputs) noexcept
{
    const int64_t batch = inputs[0].nbDims > 0 ? inputs[0].d[0] : -1;
    if (!may_be(inputs[0], Dims{2, {batch, 2}}) || !may_be(inputs[1], Dims{1, {2}})) {
        log_error("GenerateProposals: input image_sizes must be [B, 2] and canvas_size [2], but they are %s and %s",
            ShapeText(inputs[0]).get(), ShapeText(inputs[1]).get());
        return false;
    }
    for (int32_t level = 0; level < attributes.level_count; ++level) {
        const Dims& logits = inputs[kSizeInputs + level];
        const Dims& deltas = inputs[kSizeInputs + attributes.level_count + level];
        const int64_t cells = attributes.cell_anchors[level];
        const int64_t height = logits.nbDims == 4 ? logits.d[2] : -1;
        const int64_t width = logits.nbDims == 4 ? logits.d[3] : -1;
        if (!may_be(logits, Dims{4, {batch, cells, -1, -1}}) || !may_be(deltas, Dims{4, {batch, 4 * cells, height, width}})) {
            log_error("GenerateProposals: logits and deltas of level %d must be [B, %lld, H, W] and [B, %lld, H, W] of the "
                      "batch of image_sizes, %s, but they are %s and %s",
                level, static_cast<long long>(cells), static_cast<long long>(4 * cells), ShapeText(inputs[0]).get(),
                ShapeText(logits).get(), ShapeText(deltas).get());
            return false;
        }
    }
    return true;
}

// Sizes and strides of the maps; whether they fit into int32.
bool describe_maps(const MaskrtProposalAttributes& attributes, const Dims* inputs, bool padded, MaskrtProposals& call) noexcept
{
    call.attributes = attributes;
    call.batch = static_cast<int32_t>(inputs[0].d[0]);
    bool fits = inputs[0].d[0] <= INT_MAX;
    for (int32_t level = 0; level < attributes.level_count; ++level) {
        const Dims& logits = inputs[kSizeInputs + level];
        fits = fits && logits.d[2] <= INT_MAX && logits.d[3] <= INT_MAX;
        call.heights[level] = static_cast<int32_t>(logits.d[2]);
        call.widths[level] = static_cast<int32_t>(logits.d[3]);
        const int32_t cells = attributes.cell_anchors[level];
        call.logit_strides[level] = padded ? (cells + 7) / 8 * 8 : cells;
        call.delta_strides[level] = padded ? (4 * cells + 7) / 8 * 8 : 4 * cells;
    }
    return fits;
}

}  // namespace

int32_t GenerateProposals::getNbOutputs() const noexcept
{
    return kProposalOutputs;
}

int32_t GenerateProposals::getOutputDataTypes(
    DataType* output_types, int32_t output_count, const DataType* input_types, int32_t input_count) const noexcept
{
    if (!has_maps(attributes_, input_count, output_count)) {
        return 1;
    }
    if (input_types[0] != DataType::kINT32 || input_types[1] != DataType::kINT32) {
        log_error("GenerateProposals: image_sizes and canvas_size must be int32");
        return 1;
    }
    for (int32_t i = kSizeInputs; i < input_count; ++i) {
        const DataType type = input_types[i];
        if ((type != DataType::kFLOAT && type != DataType::kHALF) || type != input_types[kSizeInputs]) {
            log_error("GenerateProposals: logits and deltas must be all float32 or all float16, but input %d is not", i);
            return 1;
        }
    }
    output_types[0] = DataType::kINT32;
    output_types[1] = DataType::kFLOAT;
    return 0;
}

int32_t GenerateProposals::getOutputShapes(DimsExprs const* inputs, int32_t input_count, DimsExprs const*, int32_t,
    DimsExprs* outputs, int32_t output_count, IExprBuilder& builder) noexcept
{
    if (!has_maps(attributes_, input_count, output_count)) {
        return 1;
    }
    Dims shapes[kMostProposalInputs];
    std::transform(inputs, inputs + input_count, shapes, known_sizes);
    if (!check_shapes(attributes_, shapes)) {
        return 1;
    }
    outputs[0].nbDims = 1;
    outputs[0].d[0] = inputs[0].d[0];
    outputs[1].nbDims = 3;
    outputs[1].d[0] = inputs[0].d[0];
    outputs[1].d[1] = builder.constant(attributes_.post_nms_top_k);
    outputs[1].d[2] = builder.constant(4);
    return 0;
}

bool GenerateProposals::supportsFormatCombination(
    int32_t position, DynamicPluginTensorDesc const* tensors, int32_t input_count, int32_t output_count) noexcept
{
    if (input_count != kSizeInputs + 2 * attributes_.level_count || output_count != kProposalOutputs) {
        return false;
    }
    const PluginTensorDesc& tensor = tensors[position].desc;
    if (position < kSizeInputs || position >= input_count) {
        const DataType type = position == input_count + 1 ? DataType::kFLOAT : DataType::kINT32;
        return tensor.type == type && tensor.format == TensorFormat::kLINEAR;
    }
    const PluginTensorDesc& first = tensors[kSizeInputs].desc;
    const bool channels_last = (tensor.type == DataType::kFLOAT && tensor.format == TensorFormat::kHWC)
        || (tensor.type == DataType::kHALF && tensor.format == TensorFormat::kHWC8);
    const bool linear = (tensor.type == DataType::kFLOAT || tensor.type == DataType::kHALF)
        && tensor.format == TensorFormat::kLINEAR;
    return (linear || channels_last) && tensor.type == first.type && tensor.format == first.format;
}

size_t GenerateProposals::getWorkspaceSize(
    DynamicPluginTensorDesc const* inputs, int32_t input_count, DynamicPluginTensorDesc const*, int32_t) const noexcept
{
    Dims shapes[kMostProposalInputs];
    std::transform(inputs, inputs + input_count, shapes, [](const DynamicPluginTensorDesc& input) { return input.max; });
    MaskrtProposals largest{};
    describe_maps(attributes_, shapes, false, largest);
    return proposal_workspace_layout(ProposalSizes(largest)).total;
}

int32_t GenerateProposals::enqueue(PluginTensorDesc const* input_descriptions, PluginTensorDesc const*,
    void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept
{
    const int32_t levels = attributes_.level_count;
    Dims shapes[kMostProposalInputs];
    std::transform(input_descriptions, input_descriptions + kSizeInputs + 2 * levels, shapes,
        [](const PluginTensorDesc& description) { return description.dims; });
    const PluginTensorDesc& first = input_descriptions[kSizeInputs];
    MaskrtProposals call{};
    if (!check_shapes(attributes_, shapes)) {
        return 1;
    }
    if (!describe_maps(attributes_, shapes, first.format == TensorFormat::kHWC8, call)) {
        log_error("GenerateProposals: the maps must have fewer than 2^31 rows and columns");
        return 1;
    }
    call.data_type = first.type == DataType::kHALF ? MASKRT_FLOAT16 : MASKRT_FLOAT32;
    call.channels_last = first.format == TensorFormat::kLINEAR ? 0 : 1;
    call.image_sizes = static_cast<const int32_t*>(inputs[0]);
    call.canvas_size = static_cast<const int32_t*>(inputs[1]);
    std::copy(inputs + kSizeInputs, inputs + kSizeInputs + levels, call.logits);
    std::copy(inputs + kSizeInputs + levels, inputs + kSizeInputs + 2 * levels, call.deltas);
    call.num = static_cast<int32_t*>(outputs[0]);
    call.proposals = static_cast<float*>(outputs[1]);
    const int32_t status = launch_proposals(call, workspace, stream);
    if (status != 0) {
        log_error("GenerateProposals: the launch failed: %s", maskrt_status_string(status));
    }
    return status;
}

PluginFieldCollection const* GenerateProposals::getFieldsToSerialize() noexcept
{
    const MaskrtProposalAttributes& a = attributes_;
    const auto text = [](const char* name, const char* value) {
        return PluginField(name, value, PluginFieldType::kCHAR, static_cast<int32_t>(std::strlen(value)) + 1);
    };
    const auto ints = [](const char* name, const int32_t* values, int32_t count) {
        return PluginField(name, values, PluginFieldType::kINT32, count);
    };
    const auto floats = [](const char* name, const float* values, int32_t count) {
        return PluginField(name, values, PluginFieldType::kFLOAT32, count);
    };
    const int32_t cells = std::accumulate(a.cell_anchors, a.cell_anchors + a.level_count, 0);
    const PluginField fields[] = {
        ints("cell_anchors", a.cell_anchors, a.level_count),
        ints("strides", a.strides, a.level_count),
        floats("offsets", a.offsets, a.level_count),
        floats("anchors", a.anchors, 4 * cells),
        floats("weights", a.weights, 4),
        text("weights_operation", kOperations[a.multiply]),
        floats("min_log_scale", &a.min_log_scale, 1),
        floats("max_log_scale", &a.max_log_scale, 1),
        text("top_k_by", kScores[a.top_k_by_probability]),
        text("nms_by", kScores[a.nms_by_probability]),
        ints("pre_nms_top_k", &a.pre_nms_top_k, 1),
        ints("post_nms_top_k", &a.post_nms_top_k, 1),
        floats("min_side", &a.min_side, 1),
        ints("min_side_inclusive", &a.min_side_inclusive, 1),
        floats("min_probability", &a.min_probability, 1),
        ints("finite_logits", &a.finite_logits, 1),
        floats("nms_threshold", &a.nms_threshold, 1),
    };
    static_assert(sizeof(fields) == sizeof(fields_));
    std::copy(std::begin(fields), std::end(fields), fields_);
    collection_.nbFields = static_cast<int32_t>(std::size(fields));
    collection_.fields = fields_;
    return &collection_;
}

IPluginV3* GenerateProposalsCreator::createPlugin(
    AsciiChar const*, PluginFieldCollection const* fields, TensorRTPhase) noexcept
{
    try {
        MaskrtProposalAttributes attributes{};
        return read_attributes(fields, attributes) ? new GenerateProposals(attributes) : nullptr;
    } catch (const std::exception& error) {
        log_error("GenerateProposals: %s", error.what());
        return nullptr;
    }
}

PluginFieldCollection const* GenerateProposalsCreator::getFieldNames() noexcept
{
    static GenerateProposals any{MaskrtProposalAttributes{}};  // the same names and types, whatever the values
    return any.getFieldsToSerialize();
}

}  // namespace maskrt

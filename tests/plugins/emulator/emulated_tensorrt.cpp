// The TensorRT plugins on the CPU, called as TensorRT calls them; the kernels are those of the emulated library.
#include "maskrt_plugins.h"

#include "tensorrt/decode_keypoints.cpp"
#include "tensorrt/detection_output.cpp"
#include "tensorrt/fields.cpp"
#include "tensorrt/generate_proposals.cpp"
#include "tensorrt/logger.cpp"
#include "tensorrt/multilevel_roi_align.cpp"
#include "tensorrt/registration.cpp"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

namespace {

using namespace nvinfer1;

Dims dims(std::initializer_list<int64_t> sizes)
{
    Dims result{};
    for (const int64_t size : sizes) {
        result.d[result.nbDims++] = size;
    }
    return result;
}

PluginTensorDesc describe(DataType type, TensorFormat format, const Dims& size)
{
    PluginTensorDesc tensor{};
    tensor.dims = size;
    tensor.type = type;
    tensor.format = format;
    return tensor;
}

// What an engine has after it was written and read again: a plugin made from the fields that another one gives, then
// copied for an execution context.
std::unique_ptr<IPluginV3> reread(IPluginV3& plugin)
{
    auto* runtime = static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    auto* core = static_cast<IPluginV3OneCore*>(plugin.getCapabilityInterface(PluginCapabilityType::kCORE));
    int32_t count = 0;
    IPluginCreatorInterface* const* creators = getCreators(count);
    for (int32_t i = 0; i < count; ++i) {
        auto* creator = static_cast<IPluginCreatorV3One*>(creators[i]);
        if (std::strcmp(creator->getPluginName(), core->getPluginName()) == 0) {
            std::unique_ptr<IPluginV3> read(
                creator->createPlugin("", runtime->getFieldsToSerialize(), TensorRTPhase::kRUNTIME));
            if (read == nullptr) {
                return nullptr;
            }
            auto* read_runtime
                = static_cast<IPluginV3OneRuntime*>(read->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
            return std::unique_ptr<IPluginV3>(read_runtime->attachToContext(nullptr));
        }
    }
    return nullptr;
}

bool supports(IPluginV3& plugin, const std::vector<PluginTensorDesc>& tensors, int32_t inputs)
{
    auto* build = static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD));
    std::vector<DynamicPluginTensorDesc> dynamic;
    for (const PluginTensorDesc& tensor : tensors) {
        dynamic.push_back({tensor, tensor.dims, tensor.dims, tensor.dims});
    }
    const int32_t count = static_cast<int32_t>(tensors.size());
    for (int32_t i = 0; i < count; ++i) {
        if (!build->supportsFormatCombination(i, dynamic.data(), inputs, count - inputs)) {
            return false;
        }
    }
    return true;
}

}  // namespace

// Beside what enqueue returns.
constexpr int32_t kUnsupported = -77;  // supportsFormatCombination says no
constexpr int32_t kStrayed = -78;      // something was written behind the workspace

// Channels-last is TensorRT's HWC8 in float16, where channels are padded to a multiple of 8, and its HWC in float32.
extern "C" int32_t emulated_roi_align(const MaskrtRoiAlign* call)
{
    maskrt::MultilevelRoIAlign original(call->attributes);
    const std::unique_ptr<IPluginV3> plugin = reread(original);
    const DataType type = call->data_type == MASKRT_FLOAT16 ? DataType::kHALF : DataType::kFLOAT;
    const TensorFormat layout = call->channels_last == 0 ? TensorFormat::kLINEAR
        : type == DataType::kHALF                        ? TensorFormat::kHWC8
                                                         : TensorFormat::kHWC;
    std::vector<PluginTensorDesc> tensors{
        describe(DataType::kFLOAT, TensorFormat::kLINEAR, dims({call->batch, call->rois_per_image, 4}))};
    std::vector<const void*> inputs{call->rois};
    for (int32_t level = 0; level < call->attributes.level_count; ++level) {
        tensors.push_back(
            describe(type, layout, dims({call->batch, call->channels, call->heights[level], call->widths[level]})));
        inputs.push_back(call->features[level]);
    }
    tensors.push_back(describe(type, call->linear_output != 0 ? TensorFormat::kLINEAR : layout,
        dims({call->batch * call->rois_per_image, call->channels, call->attributes.output_height,
            call->attributes.output_width})));
    if (!supports(*plugin, tensors, static_cast<int32_t>(inputs.size()))) {
        return kUnsupported;
    }
    auto* runtime = static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    auto* build = static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
    const DynamicPluginTensorDesc rois{tensors[0], tensors[0].dims, tensors[0].dims, tensors[0].dims};
    std::vector<int32_t> workspace(build->getWorkspaceSize(&rois, 1, nullptr, 1) / sizeof(int32_t) + 16, 77);
    void* output = call->output;
    const int32_t status
        = runtime->enqueue(tensors.data(), &tensors.back(), inputs.data(), &output, workspace.data(), nullptr);
    const bool strayed = std::any_of(workspace.end() - 16, workspace.end(), [](int32_t value) { return value != 77; });
    return strayed ? kStrayed : status;
}

// The ID for TensorRT's timing cache, of a plugin as it is made, or after it was written and read again.
extern "C" const char* emulated_roi_align_timing_id(const MaskrtRoiAlignAttributes* attributes, int32_t read_again)
{
    static char id[64];
    maskrt::MultilevelRoIAlign original(*attributes);
    const std::unique_ptr<IPluginV3> copy = reread(original);
    IPluginV3& plugin = read_again != 0 ? *copy : original;
    auto* build = static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD));
    std::snprintf(id, sizeof(id), "%s", build->getTimingCacheID());
    return id;
}

// The DataType of the output for inputs of these DataTypes, or -1 where the plugin refuses them.
extern "C" int32_t emulated_roi_align_type(const MaskrtRoiAlignAttributes* attributes, const int32_t* types, int32_t count)
{
    const maskrt::MultilevelRoIAlign plugin(*attributes);
    std::vector<DataType> inputs;
    for (int32_t i = 0; i < count; ++i) {
        inputs.push_back(static_cast<DataType>(types[i]));
    }
    DataType output{};
    return plugin.getOutputDataTypes(&output, 1, inputs.data(), count) == 0 ? static_cast<int32_t>(output) : -1;
}

// rois_per_image: K of the boxes [B, K, 4], of which call->rois is the product.
extern "C" int32_t emulated_decode_keypoints(const MaskrtDecodeKeypoints* call, int32_t rois_per_image, int32_t maps)
{
    maskrt::DecodeKeypoints original(call->normalized);
    const std::unique_ptr<IPluginV3> plugin = reread(original);
    const TensorFormat linear = TensorFormat::kLINEAR;
    const int32_t batch = call->rois / rois_per_image;
    std::vector<PluginTensorDesc> tensors{describe(DataType::kFLOAT, linear, dims({batch, rois_per_image, 4})),
        describe(DataType::kFLOAT, linear, dims({maps, call->keypoints, call->map_height, call->map_width})),
        describe(DataType::kFLOAT, linear, dims({batch, rois_per_image, call->keypoints, 3}))};
    if (!supports(*plugin, tensors, 2)) {
        return kUnsupported;
    }
    const void* inputs[] = {call->boxes, call->heatmaps};
    void* output = call->output;
    auto* runtime = static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    return runtime->enqueue(tensors.data(), &tensors[2], inputs, &output, nullptr, nullptr);
}

// In float16, channels-last is TensorRT's HWC8, so the strides of the call are multiples of 8.
extern "C" int32_t emulated_proposals(const MaskrtProposals* call)
{
    maskrt::GenerateProposals original(call->attributes);
    const std::unique_ptr<IPluginV3> plugin = reread(original);
    if (plugin == nullptr) {
        return kUnsupported;
    }
    const DataType type = call->data_type == MASKRT_FLOAT16 ? DataType::kHALF : DataType::kFLOAT;
    const TensorFormat layout = call->channels_last == 0 ? TensorFormat::kLINEAR
        : type == DataType::kHALF                        ? TensorFormat::kHWC8
                                                         : TensorFormat::kHWC;
    const int32_t levels = call->attributes.level_count;
    const int32_t most = call->attributes.post_nms_top_k;
    std::vector<PluginTensorDesc> tensors{describe(DataType::kINT32, TensorFormat::kLINEAR, dims({call->batch, 2})),
        describe(DataType::kINT32, TensorFormat::kLINEAR, dims({2}))};
    std::vector<const void*> inputs{call->image_sizes, call->canvas_size};
    for (const int32_t channels : {1, 4}) {
        for (int32_t level = 0; level < levels; ++level) {
            const int64_t cells = call->attributes.cell_anchors[level];
            tensors.push_back(
                describe(type, layout, dims({call->batch, channels * cells, call->heights[level], call->widths[level]})));
            inputs.push_back(channels == 1 ? call->logits[level] : call->deltas[level]);
        }
    }
    const int32_t input_count = static_cast<int32_t>(inputs.size());
    tensors.push_back(describe(DataType::kINT32, TensorFormat::kLINEAR, dims({call->batch})));
    tensors.push_back(describe(DataType::kFLOAT, TensorFormat::kLINEAR, dims({call->batch, most, 4})));
    if (!supports(*plugin, tensors, input_count)) {
        return kUnsupported;
    }
    std::vector<DynamicPluginTensorDesc> dynamic;
    for (const PluginTensorDesc& tensor : tensors) {  // of a profile with one more image at most
        Dims largest = tensor.dims;
        largest.d[0] += tensor.dims.nbDims > 1 ? 1 : 0;
        dynamic.push_back({tensor, tensor.dims, largest, tensor.dims});
    }
    auto* build = static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
    const size_t bytes = build->getWorkspaceSize(dynamic.data(), input_count, nullptr, 2);
    constexpr size_t kGuard = 4096;
    std::vector<unsigned char> memory(bytes + 2 * kGuard, 0xa5);
    void* workspace = memory.data() + (kGuard - reinterpret_cast<uintptr_t>(memory.data()) % 256);
    void* outputs[] = {call->num, call->proposals};
    auto* runtime = static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    const int32_t status
        = runtime->enqueue(tensors.data(), &tensors[inputs.size()], inputs.data(), outputs, workspace, nullptr);
    const auto* end = static_cast<const unsigned char*>(workspace) + bytes;
    const unsigned char* guard_end = memory.data() + memory.size();
    const bool strayed = std::any_of(end, guard_end, [](unsigned char byte) { return byte != 0xa5; });
    return strayed ? kStrayed : status;
}

// Whether a plugin is made from these attributes; what is wrong with them is logged.
extern "C" int32_t emulated_proposals_creation(const MaskrtProposalAttributes* attributes)
{
    maskrt::GenerateProposals original(*attributes);
    return reread(original) != nullptr ? 1 : 0;
}

// misfit: the number of an input that is described as having the shape `sizes` instead of its own; -1 for none.
extern "C" int32_t emulated_detections(const MaskrtDetections* call, int32_t misfit, const int64_t* sizes, int32_t dimensions)
{
    maskrt::DetectionOutput original(call->attributes);
    const std::unique_ptr<IPluginV3> plugin = reread(original);
    if (plugin == nullptr) {
        return kUnsupported;
    }
    const auto type = [](int32_t number) { return number == MASKRT_FLOAT16 ? DataType::kHALF : DataType::kFLOAT; };
    const TensorFormat linear = TensorFormat::kLINEAR;
    const int64_t batch = call->batch;
    const int64_t rows = batch * call->proposals_per_image;
    const int64_t most = call->attributes.max_detections;
    std::vector<PluginTensorDesc> tensors{describe(type(call->logits_type), linear, dims({rows, call->labels})),
        describe(type(call->deltas_type), linear, dims({rows, maskrt::delta_columns(call->attributes, call->labels)})),
        describe(DataType::kFLOAT, linear, dims({batch, call->proposals_per_image, 4})),
        describe(DataType::kINT32, linear, dims({batch})), describe(DataType::kINT32, linear, dims({batch, 2})),
        describe(DataType::kFLOAT, linear, dims({batch, 1})), describe(DataType::kFLOAT, linear, dims({batch, 1})),
        describe(DataType::kINT32, linear, dims({batch})), describe(DataType::kFLOAT, linear, dims({batch, most, 4})),
        describe(DataType::kFLOAT, linear, dims({batch, most})), describe(DataType::kINT32, linear, dims({batch, most}))};
    if (misfit >= 0) {
        Dims& shape = tensors[static_cast<size_t>(misfit)].dims;
        shape.nbDims = dimensions;
        std::copy(sizes, sizes + dimensions, shape.d);
    }
    if (!supports(*plugin, tensors, 7)) {
        return kUnsupported;
    }
    std::vector<DynamicPluginTensorDesc> dynamic;
    for (const PluginTensorDesc& tensor : tensors) {  // of a profile with one more image at most
        Dims largest = tensor.dims;
        largest.d[0] += tensor.dims.nbDims == 3 ? 1 : 0;
        dynamic.push_back({tensor, tensor.dims, largest, tensor.dims});
    }
    auto* build = static_cast<IPluginV3OneBuild*>(plugin->getCapabilityInterface(PluginCapabilityType::kBUILD));
    const size_t bytes = build->getWorkspaceSize(dynamic.data(), 7, nullptr, 4);
    constexpr size_t kGuard = 4096;
    std::vector<unsigned char> memory(bytes + 2 * kGuard, 0xa5);
    void* workspace = memory.data() + (kGuard - reinterpret_cast<uintptr_t>(memory.data()) % 256);
    const void* inputs[] = {call->logits, call->deltas, call->proposals, call->num_proposals, call->image_sizes,
        call->score_threshold, call->nms_threshold};
    void* outputs[] = {call->num, call->boxes, call->scores, call->classes};
    auto* runtime = static_cast<IPluginV3OneRuntime*>(plugin->getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    const int32_t status = runtime->enqueue(tensors.data(), &tensors[7], inputs, outputs, workspace, nullptr);
    const auto* end = static_cast<const unsigned char*>(workspace) + bytes;
    const unsigned char* guard_end = memory.data() + memory.size();
    const bool strayed = std::any_of(end, guard_end, [](unsigned char byte) { return byte != 0xa5; });
    return strayed ? kStrayed : status;
}

// Whether a plugin is made from these attributes; what is wrong with them is logged.
extern "C" int32_t emulated_detections_creation(const MaskrtDetectionAttributes* attributes)
{
    maskrt::DetectionOutput original(*attributes);
    return reread(original) != nullptr ? 1 : 0;
}

// Whether the plugin takes inputs of these DataTypes.
extern "C" int32_t emulated_detections_types(const int32_t* types, int32_t count)
{
    const maskrt::DetectionOutput plugin(MaskrtDetectionAttributes{});
    std::vector<DataType> inputs;
    for (int32_t i = 0; i < count; ++i) {
        inputs.push_back(static_cast<DataType>(types[i]));
    }
    DataType outputs[4];
    return plugin.getOutputDataTypes(outputs, 4, inputs.data(), count) == 0 ? 1 : 0;
}

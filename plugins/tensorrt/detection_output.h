// The TensorRT plugin DetectionOutput.
// Inputs: logits [N, L] and deltas [N, D] of N = B R proposals, each float32 or float16; proposals [B, R, 4];
// num_proposals [B] int32; image_sizes [B, 2] int32 (height, width); score_threshold [B, 1]; nms_threshold [B, 1].
// Outputs: num [B] int32, boxes [B, K, 4], scores [B, K], labels [B, K] int32, zero from num on.
#pragma once

#include "maskrt_plugins.h"
#include "plugin_base.h"

namespace maskrt {

class DetectionOutput final : public PluginBase<DetectionOutput> {
public:
    static constexpr const char* kName = "DetectionOutput";

    explicit DetectionOutput(const MaskrtDetectionAttributes& attributes) noexcept
        : attributes_(attributes)
    {
    }

    int32_t getNbOutputs() const noexcept override;
    int32_t getOutputDataTypes(nvinfer1::DataType* output_types, int32_t output_count,
        const nvinfer1::DataType* input_types, int32_t input_count) const noexcept override;
    int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t input_count, nvinfer1::DimsExprs const*, int32_t,
        nvinfer1::DimsExprs* outputs, int32_t output_count, nvinfer1::IExprBuilder& builder) noexcept override;
    bool supportsFormatCombination(int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors,
        int32_t input_count, int32_t output_count) noexcept override;
    size_t getWorkspaceSize(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t input_count,
        nvinfer1::DynamicPluginTensorDesc const*, int32_t) const noexcept override;
    int32_t enqueue(nvinfer1::PluginTensorDesc const* input_descriptions, nvinfer1::PluginTensorDesc const*,
        void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override;

private:
    MaskrtDetectionAttributes attributes_;
    nvinfer1::PluginField fields_[10];
    nvinfer1::PluginFieldCollection collection_{};
};

class DetectionOutputCreator final : public CreatorBase<DetectionOutput> {
public:
    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const* name, nvinfer1::PluginFieldCollection const* fields,
        nvinfer1::TensorRTPhase phase) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override;
};

}  // namespace maskrt

// The TensorRT plugin BatchedNMS.
// Inputs: boxes [B, N, 4], scores [B, N], groups [B, N] int32, iou_threshold [B, 1], score_threshold [B, 1],
// all float32 but the groups. Each image has its own thresholds.
// Outputs: num [B] and indices [B, K] int32, -1 padded.
#pragma once

#include "maskrt_plugins.h"
#include "plugin_base.h"

namespace maskrt {

class BatchedNMS final : public PluginBase<BatchedNMS> {
public:
    static constexpr const char* kName = "BatchedNMS";

    explicit BatchedNMS(int32_t max_output) noexcept
        : max_output_(max_output)
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
    int32_t max_output_;
    nvinfer1::PluginField field_;
    nvinfer1::PluginFieldCollection collection_{};
};

class BatchedNMSCreator final : public CreatorBase<BatchedNMS> {
public:
    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const* name, nvinfer1::PluginFieldCollection const* fields,
        nvinfer1::TensorRTPhase phase) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override;
};

}  // namespace maskrt

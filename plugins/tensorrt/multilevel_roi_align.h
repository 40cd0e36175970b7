// The TensorRT plugin MultilevelRoIAlign.
// Inputs: rois [B, R, 4] float32, then one feature [B, C, H, W] per level; output [B * R, C, P_h, P_w] of their type.
#pragma once

#include "maskrt_plugins.h"
#include "plugin_base.h"

namespace maskrt {

class MultilevelRoIAlign final : public PluginBase<MultilevelRoIAlign> {
public:
    static constexpr const char* kName = "MultilevelRoIAlign";

    explicit MultilevelRoIAlign(const MaskrtRoiAlignAttributes& attributes) noexcept
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
    int32_t enqueue(nvinfer1::PluginTensorDesc const* input_descriptions,
        nvinfer1::PluginTensorDesc const* output_descriptions, void const* const* inputs, void* const* outputs,
        void* workspace, cudaStream_t stream) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override;

private:
    MaskrtRoiAlignAttributes attributes_;
    nvinfer1::PluginField fields_[7];
    nvinfer1::PluginFieldCollection collection_{};
};

class MultilevelRoIAlignCreator final : public CreatorBase<MultilevelRoIAlign> {
public:
    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const* name, nvinfer1::PluginFieldCollection const* fields,
        nvinfer1::TensorRTPhase phase) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override;
};

}  // namespace maskrt

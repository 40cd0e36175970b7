// The TensorRT plugin DecodeKeypoints.
// Inputs: boxes [B, K, 4], heatmaps [B * K, N, H, W]; output: keypoints [B, K, N, 3]. All float32.
#pragma once

#include "maskrt_plugins.h"
#include "plugin_base.h"

namespace maskrt {

class DecodeKeypoints final : public PluginBase<DecodeKeypoints> {
public:
    static constexpr const char* kName = "DecodeKeypoints";

    explicit DecodeKeypoints(int32_t normalized) noexcept
        : normalized_(normalized)
    {
    }

    int32_t getNbOutputs() const noexcept override;
    int32_t getOutputDataTypes(nvinfer1::DataType* output_types, int32_t output_count,
        const nvinfer1::DataType* input_types, int32_t input_count) const noexcept override;
    int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t input_count, nvinfer1::DimsExprs const*, int32_t,
        nvinfer1::DimsExprs* outputs, int32_t output_count, nvinfer1::IExprBuilder& builder) noexcept override;
    bool supportsFormatCombination(int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors,
        int32_t input_count, int32_t output_count) noexcept override;
    int32_t enqueue(nvinfer1::PluginTensorDesc const* input_descriptions, nvinfer1::PluginTensorDesc const*,
        void const* const* inputs, void* const* outputs, void* workspace, cudaStream_t stream) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override;

private:
    int32_t normalized_;
    nvinfer1::PluginField field_;
    nvinfer1::PluginFieldCollection collection_{};
};

class DecodeKeypointsCreator final : public CreatorBase<DecodeKeypoints> {
public:
    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const* name, nvinfer1::PluginFieldCollection const* fields,
        nvinfer1::TensorRTPhase phase) noexcept override;
    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override;
};

}  // namespace maskrt

// What all plugins have in common: one class is the plugin and its three capabilities, copied whole by clone().
#pragma once

#include <NvInferRuntime.h>

#include <cstdio>
#include <new>

#include "fields.h"

namespace maskrt {

constexpr const char* kPluginVersion = "1";
constexpr const char* kPluginNamespace = "";  // with any other, the parser prefers the node's local function

template <typename Plugin>
class PluginBase : public nvinfer1::IPluginV3,
                   public nvinfer1::IPluginV3OneCore,
                   public nvinfer1::IPluginV3OneBuild,
                   public nvinfer1::IPluginV3OneRuntime {
public:
    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override
    {
        switch (type) {
        case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
        case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
        case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }

    nvinfer1::IPluginV3* clone() noexcept override
    {
        return new (std::nothrow) Plugin(static_cast<const Plugin&>(*this));
    }

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override
    {
        return clone();
    }

    nvinfer1::AsciiChar const* getPluginName() const noexcept override
    {
        return Plugin::kName;
    }

    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override
    {
        return kPluginVersion;
    }

    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override
    {
        return kPluginNamespace;
    }

    // What tells plugins of one name apart in TensorRT's timing cache, which knows the shapes and formats itself. Without
    // it the plugin is timed again in each build.
    nvinfer1::AsciiChar const* getTimingCacheID() noexcept override
    {
        const uint64_t hash = hash_fields(*this->getFieldsToSerialize());
        std::snprintf(timing_cache_id_, sizeof(timing_cache_id_), "%016llx", static_cast<unsigned long long>(hash));
        return timing_cache_id_;
    }

    int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const*, int32_t, nvinfer1::DynamicPluginTensorDesc const*,
        int32_t) noexcept override
    {
        return 0;
    }

    int32_t onShapeChange(nvinfer1::PluginTensorDesc const*, int32_t, nvinfer1::PluginTensorDesc const*,
        int32_t) noexcept override
    {
        return 0;
    }

private:
    nvinfer1::AsciiChar timing_cache_id_[17];
};

template <typename Plugin>
class CreatorBase : public nvinfer1::IPluginCreatorV3One {
public:
    nvinfer1::AsciiChar const* getPluginName() const noexcept override
    {
        return Plugin::kName;
    }

    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override
    {
        return kPluginVersion;
    }

    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override
    {
        return kPluginNamespace;
    }
};

}  // namespace maskrt

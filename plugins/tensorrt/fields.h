// Reading a node's attributes. Each function returns false, having logged why, when the field is there but unfit.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <string>
#include <vector>

namespace maskrt {

// A number that any change of a name, a type or a value changes (FNV-1a).
uint64_t hash_fields(const nvinfer1::PluginFieldCollection& collection) noexcept;

class Fields {
public:
    Fields(const char* plugin, const nvinfer1::PluginFieldCollection* collection) noexcept
        : plugin_(plugin)
        , collection_(collection)
    {
    }

    // An integer within [least, most].
    bool read_int(const char* name, int32_t least, int32_t most, int32_t& value) const noexcept;

    // Between `fewest` and `most_of_them` integers within [least, most], into `values`; `count` receives how many.
    bool read_ints(const char* name, int32_t fewest, int32_t most_of_them, int32_t least, int32_t most, int32_t* values,
        int32_t& count) const noexcept;

    // The place of a string in `choices`.
    bool read_choice(const char* name, const std::vector<std::string>& choices, int32_t& choice) const;

    // Between `least` and `most` floats, into `values`; `count` receives how many.
    bool read_floats(const char* name, int32_t least, int32_t most, float* values, int32_t& count) const noexcept;

    // `count` floats, none of them infinite or NaN.
    bool read_finite(const char* name, int32_t count, float* values) const noexcept;

private:
    const nvinfer1::PluginField* find(const char* name) const noexcept;

    const char* plugin_;
    const nvinfer1::PluginFieldCollection* collection_;
};

}  // namespace maskrt

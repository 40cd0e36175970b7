#include "fields.h"

#include <cmath>
#include <cstring>

#include "logger.h"

namespace maskrt {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

namespace {

size_t bytes_of(PluginFieldType type) noexcept
{
    switch (type) {
    case PluginFieldType::kFLOAT64:
    case PluginFieldType::kINT64: return 8;
    case PluginFieldType::kFLOAT32:
    case PluginFieldType::kINT32: return 4;
    case PluginFieldType::kFLOAT16:
    case PluginFieldType::kINT16: return 2;
    default: return 1;
    }
}

void hash_bytes(uint64_t& hash, const void* data, size_t size) noexcept
{
    for (size_t i = 0; i < size; ++i) {
        hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
    }
}

}  // namespace

uint64_t hash_fields(const nvinfer1::PluginFieldCollection& collection) noexcept
{
    uint64_t hash = 0xcbf29ce484222325;
    for (int32_t i = 0; i < collection.nbFields; ++i) {
        const PluginField& field = collection.fields[i];
        const int32_t kind[] = {static_cast<int32_t>(field.type), field.length};
        hash_bytes(hash, field.name, std::strlen(field.name) + 1);
        hash_bytes(hash, kind, sizeof(kind));
        hash_bytes(hash, field.data, static_cast<size_t>(field.length) * bytes_of(field.type));
    }
    return hash;
}

const PluginField* Fields::find(const char* name) const noexcept
{
    for (int32_t i = 0; collection_ != nullptr && i < collection_->nbFields; ++i) {
        const PluginField& field = collection_->fields[i];
        if (field.name != nullptr && std::strcmp(field.name, name) == 0 && (field.data != nullptr || field.length == 0)) {
            return &field;
        }
    }
    return nullptr;
}

bool Fields::read_int(const char* name, int32_t least, int32_t most, int32_t& value) const noexcept
{
    const PluginField* field = find(name);
    if (field == nullptr || field->length != 1) {
        log_error("%s: attribute %s must be one integer, but it is %s", plugin_, name, field == nullptr ? "missing" : "not");
        return false;
    }
    int32_t count;
    return read_ints(name, 1, 1, least, most, &value, count);
}

bool Fields::read_ints(const char* name, int32_t fewest, int32_t most_of_them, int32_t least, int32_t most,
    int32_t* values, int32_t& count) const noexcept
{
    const PluginField* field = find(name);
    const int32_t length = field != nullptr ? field->length : 0;
    if (length > 0 && field->type != PluginFieldType::kINT32 && field->type != PluginFieldType::kINT64) {
        log_error("%s: attribute %s must be %s", plugin_, name, most_of_them == 1 ? "an integer" : "a list of integers");
        return false;
    }
    if (length < fewest || length > most_of_them) {
        log_error("%s: attribute %s must have %d … %d integers, but it has %d", plugin_, name, fewest, most_of_them, length);
        return false;
    }
    for (int32_t i = 0; i < length; ++i) {
        const int64_t given = field->type == PluginFieldType::kINT32 ? static_cast<const int32_t*>(field->data)[i]
                                                                     : static_cast<const int64_t*>(field->data)[i];
        if (given < least || given > most) {
            log_error("%s: attribute %s must be within %d … %d, but it is %lld", plugin_, name, least, most,
                static_cast<long long>(given));
            return false;
        }
        values[i] = static_cast<int32_t>(given);
    }
    count = length;
    return true;
}

bool Fields::read_choice(const char* name, const std::vector<std::string>& choices, int32_t& choice) const
{
    std::string expected;
    for (const std::string& word : choices) {
        expected += (expected.empty() ? "\"" : " or \"") + word + "\"";
    }
    const PluginField* field = find(name);
    if (field == nullptr || field->type != PluginFieldType::kCHAR) {
        log_error("%s: attribute %s must be %s, but it is %s", plugin_, name, expected.c_str(),
            field == nullptr ? "missing" : "not a string");
        return false;
    }
    std::string given(static_cast<const char*>(field->data), static_cast<size_t>(field->length));
    given = given.c_str();  // the parser counts the terminating zero, other callers may not
    for (size_t i = 0; i < choices.size(); ++i) {
        if (given == choices[i]) {
            choice = static_cast<int32_t>(i);
            return true;
        }
    }
    log_error("%s: attribute %s must be %s, but it is \"%s\"", plugin_, name, expected.c_str(), given.c_str());
    return false;
}

bool Fields::read_floats(const char* name, int32_t least, int32_t most, float* values, int32_t& count) const noexcept
{
    const PluginField* field = find(name);
    const int32_t length = field != nullptr ? field->length : 0;
    if ((field == nullptr && least > 0) || (length > 0 && field->type != PluginFieldType::kFLOAT32)) {
        log_error("%s: attribute %s must be a list of floats, but it is %s", plugin_, name,
            field == nullptr ? "missing" : "not");
        return false;
    }
    if (length < least || length > most) {
        log_error("%s: attribute %s must have %d … %d floats, but it has %d", plugin_, name, least, most, length);
        return false;
    }
    for (int32_t i = 0; i < length; ++i) {
        values[i] = static_cast<const float*>(field->data)[i];
    }
    count = length;
    return true;
}

bool Fields::read_finite(const char* name, int32_t count, float* values) const noexcept
{
    int32_t found = 0;
    if (!read_floats(name, count, count, values, found)) {
        return false;
    }
    for (int32_t i = 0; i < count; ++i) {
        if (!std::isfinite(values[i])) {
            log_error("%s: attribute %s must be finite, but number %d is %g", plugin_, name, i, values[i]);
            return false;
        }
    }
    return true;
}

}  // namespace maskrt

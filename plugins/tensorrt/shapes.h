// Shapes of tensors as TensorRT gives them, compared and written out. A size not known before run time is -1.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <cstdio>

namespace maskrt {

inline bool may_be(int64_t size, int64_t wanted) noexcept
{
    return size == -1 || wanted == -1 || size == wanted;
}

inline bool may_be(const nvinfer1::Dims& shape, const nvinfer1::Dims& wanted) noexcept
{
    bool same = shape.nbDims == wanted.nbDims;
    for (int32_t i = 0; same && i < shape.nbDims; ++i) {
        same = may_be(shape.d[i], wanted.d[i]);
    }
    return same;
}

inline nvinfer1::Dims known_sizes(const nvinfer1::DimsExprs& shape) noexcept
{
    nvinfer1::Dims known{};
    known.nbDims = shape.nbDims;
    for (int32_t i = 0; i < shape.nbDims; ++i) {
        known.d[i] = shape.d[i]->isConstant() ? shape.d[i]->getConstantValue() : -1;
    }
    return known;
}

// A shape for messages, such as "[2, 1000, 4]"; allocates nothing, so that it cannot throw.
class ShapeText {
public:
    explicit ShapeText(const nvinfer1::Dims& shape) noexcept
    {
        int length = std::snprintf(text_, sizeof(text_), "[");
        for (int32_t i = 0; i < shape.nbDims; ++i) {
            length += std::snprintf(text_ + length, sizeof(text_) - static_cast<size_t>(length), "%s%lld",
                i == 0 ? "" : ", ", static_cast<long long>(shape.d[i]));
        }
        std::snprintf(text_ + length, sizeof(text_) - static_cast<size_t>(length), "]");
    }

    const char* get() const noexcept
    {
        return text_;
    }

private:
    char text_[2 + nvinfer1::Dims::MAX_DIMS * 22];  // 20 characters to a size, 2 between sizes, the brackets, the end
};

}  // namespace maskrt

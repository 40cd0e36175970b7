// Messages to the user's own TensorRT logger.
#pragma once

#include <NvInferRuntime.h>

namespace maskrt {

void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept;

// printf-style, at most 1023 characters. Without a logger the message goes to stderr.
void log_error(const char* format, ...) noexcept __attribute__((format(printf, 1, 2)));

}  // namespace maskrt

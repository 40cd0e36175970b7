// Launching a kernel on a stream, with its own error and no other; and what a launch depends on of the device.
#ifndef MASKRT_LAUNCH_H  // not #pragma once: the tests' emulator puts its own in this one's place
#define MASKRT_LAUNCH_H

#include <cuda_runtime_api.h>

#include <limits>

namespace maskrt {

// Of the second level, on the device at hand; without end where it does not say.
inline int64_t cache_bytes()
{
    int device = 0;
    int bytes = 0;
    const bool is_known = cudaGetDevice(&device) == cudaSuccess
        && cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device) == cudaSuccess;
    return is_known ? bytes : std::numeric_limits<int64_t>::max();
}

template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, Parameters... parameters)
{
    void* addresses[] = {static_cast<void*>(&parameters)...};
    return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, addresses, 0, stream);
}

}  // namespace maskrt

#endif

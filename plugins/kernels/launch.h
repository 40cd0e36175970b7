// Launching a kernel on a stream, with its own error and no other.
#ifndef MASKRT_LAUNCH_H  // not #pragma once: the tests' emulator puts its own in this one's place
#define MASKRT_LAUNCH_H

#include <cuda_runtime_api.h>

namespace maskrt {

template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t stream, Parameters... parameters)
{
    void* addresses[] = {static_cast<void*>(&parameters)...};
    return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, addresses, 0, stream);
}

}  // namespace maskrt

#endif

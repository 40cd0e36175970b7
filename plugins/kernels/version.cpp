// What the library says of itself, as JSON.
#include <cuda_runtime_api.h>

#include "maskrt_plugins.h"

#ifdef MASKRT_TENSORRT
#include <NvInferVersion.h>
#endif

#define MASKRT_STRINGIZE_(x) #x
#define MASKRT_STRINGIZE(x) MASKRT_STRINGIZE_(x)

#ifdef MASKRT_TENSORRT
#define MASKRT_TENSORRT_HEADERS \
    "\"" MASKRT_STRINGIZE(NV_TENSORRT_MAJOR) "." MASKRT_STRINGIZE(NV_TENSORRT_MINOR) "." MASKRT_STRINGIZE( \
        NV_TENSORRT_PATCH) "\""
#else
#define MASKRT_TENSORRT_HEADERS "null"
#endif

extern "C" const char* maskrt_plugins_version(void)
{
    return "{\"version\": \"" MASKRT_VERSION "\", \"tensorrt_headers\": " MASKRT_TENSORRT_HEADERS
           ", \"cuda\": " MASKRT_STRINGIZE(CUDART_VERSION) ", \"architectures\": \"" MASKRT_ARCHITECTURES "\"}";
}

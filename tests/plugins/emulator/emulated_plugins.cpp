// libmaskrt_plugins.so with its kernels on the CPU: the same C interface, on host pointers.
#include "cuda_emulation.h"

#define MASKRT_VERSION "emulated"
#define MASKRT_ARCHITECTURES "emulated"

#include "kernels/roi_align.cu"

#include "kernels/batched_nms.cu"

#include "kernels/decode_keypoints.cu"

#include "kernels/detections.cu"

#include "kernels/proposals.cu"

#include "kernels/paste_rle.cu"

#include "kernels/resize_pad.cu"

#include "kernels/device_api.cpp"
#include "kernels/version.cpp"

// The order in which threads run from here on.
extern "C" void emulation_shuffle(uint32_t seed)
{
    emulation::shuffler.seed(seed);
}

// Watches read-only loads from here on. Returns whether one strayed from the memory watched until now.
extern "C" bool emulation_watch(const char* begin, const char* end)
{
    emulation::watched_begin = begin;
    emulation::watched_end = end;
    return std::exchange(emulation::strayed, false);
}

extern "C" const char* cudaGetErrorString(cudaError_t)
{
    return "no CUDA in the emulation";
}

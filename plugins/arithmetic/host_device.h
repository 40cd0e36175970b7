// What lets one header serve the CUDA kernels and the host build.
//
// Both builds compile without contraction (nvcc -fmad=false, gcc -ffp-contract=off) and without fast-math, and
// fuse only where the source says fmaf: so every function in arithmetic/ gives the same bits on both.
#pragma once

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define MASKRT_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define MASKRT_HOST_DEVICE inline
#endif

// Runs CUDA kernels on the CPU, so that their logic (indexing, barriers, warp votes, launches) is tested without a GPU.
//
// The kernel sources are compiled unchanged as C++ after this header. Blocks run one after another; the threads of a
// block are fibers that change over at barriers and warp functions, in an order that a seed shuffles. A warp runs on
// until it has to wait for another: a result that depends on how far the warps are ahead of each other shows. A barrier
// that not all threads reach stops the process with a message.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <ucontext.h>
#include <utility>
#include <vector>

#undef __shared__
#undef __launch_bounds__
#undef __grid_constant__
#define __shared__ static  // one block at a time
#define __launch_bounds__(...)
#define __grid_constant__

namespace emulation {

constexpr size_t kStackBytes = 64 * 1024;
constexpr int kWarpSize = 32;

struct Barrier {
    int arrived = 0;
    unsigned generation = 0;
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[kStackBytes]};
    dim3 thread_index;
    int number = 0;
    bool finished = false;
};

struct Warp {
    Barrier barrier;
    uint64_t values[kWarpSize];
};

inline std::mt19937 shuffler;
inline ucontext_t scheduler;
inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline Barrier block_barrier;
inline int live_threads;
inline bool progressed;
inline Fiber* current;
inline dim3 block_index, block_size, grid_size;
inline std::function<void()> body;

// Memory outside of which read-only loads are not expected, and whether there was such a load.
inline const char* watched_begin = nullptr;
inline const char* watched_end = reinterpret_cast<const char*>(UINTPTR_MAX);
inline bool strayed = false;

inline void yield()
{
    swapcontext(&current->context, &scheduler);
}

inline void arrive(Barrier& barrier, int expected)
{
    const unsigned generation = barrier.generation;
    progressed = true;
    if (++barrier.arrived >= expected) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    while (barrier.generation == generation) {
        yield();
    }
}

inline void enter()
{
    body();
    current->finished = true;
    progressed = true;
    if (--live_threads > 0 && block_barrier.arrived >= live_threads) {  // a thread that has left waits for no one
        block_barrier.arrived = 0;
        ++block_barrier.generation;
    }
    yield();
}

inline void run_block()
{
    const int threads = static_cast<int>(block_size.x);
    fibers.resize(std::max<size_t>(fibers.size(), threads));
    warps.assign((threads + kWarpSize - 1) / kWarpSize, Warp{});
    block_barrier = Barrier{};
    live_threads = threads;
    std::vector<std::vector<Fiber*>> order(warps.size());
    for (int i = 0; i < threads; ++i) {
        Fiber& fiber = fibers[i];
        fiber.thread_index = dim3(i, 0, 0);
        fiber.number = i;
        fiber.finished = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = kStackBytes;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
        order[i / kWarpSize].push_back(&fiber);
    }
    for (std::vector<Fiber*>& lanes : order) {
        std::shuffle(lanes.begin(), lanes.end(), shuffler);
    }
    std::shuffle(order.begin(), order.end(), shuffler);
    while (live_threads > 0) {
        bool any_progressed = false;
        for (const std::vector<Fiber*>& lanes : order) {
            do {
                progressed = false;
                for (Fiber* fiber : lanes) {
                    if (!fiber->finished) {
                        current = fiber;
                        swapcontext(&scheduler, &fiber->context);
                    }
                }
                any_progressed |= progressed;
            } while (progressed);
        }
        if (!any_progressed) {
            std::fprintf(stderr, "emulated kernel: not all threads of a block reach the same barrier\n");
            std::abort();
        }
    }
}

template <typename Exchange>
auto exchange_in_warp(uint64_t value, Exchange exchange)
{
    Warp& warp = warps[current->number / kWarpSize];
    warp.values[current->number % kWarpSize] = value;
    arrive(warp.barrier, kWarpSize);
    const auto result = exchange(warp.values, current->number % kWarpSize);
    arrive(warp.barrier, kWarpSize);
    return result;
}

}  // namespace emulation

#define threadIdx (emulation::current->thread_index)
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

inline void __syncthreads()
{
    emulation::arrive(emulation::block_barrier, emulation::live_threads);
}

inline void __syncwarp()
{
    emulation::exchange_in_warp(0, [](const uint64_t*, int) { return 0; });
}

inline unsigned __ballot_sync(unsigned, bool vote)
{
    return emulation::exchange_in_warp(vote ? 1 : 0, [](const uint64_t* values, int) {
        unsigned ballot = 0;
        for (int lane = 0; lane < emulation::kWarpSize; ++lane) {
            ballot |= static_cast<unsigned>(values[lane]) << lane;
        }
        return ballot;
    });
}

inline bool __any_sync(unsigned mask, bool vote)
{
    return __ballot_sync(mask, vote) != 0;
}

inline unsigned long long __shfl_xor_sync(unsigned, unsigned long long value, int mask)
{
    return emulation::exchange_in_warp(
        value, [mask](const uint64_t* values, int lane) { return static_cast<unsigned long long>(values[lane ^ mask]); });
}

inline float __shfl_xor_sync(unsigned mask, float value, int distance)
{
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    bits = static_cast<uint32_t>(__shfl_xor_sync(mask, static_cast<unsigned long long>(bits), distance));
    std::memcpy(&value, &bits, sizeof(bits));
    return value;
}

inline long long __shfl_up_sync(unsigned, long long value, int distance)
{
    return emulation::exchange_in_warp(static_cast<uint64_t>(value), [distance](const uint64_t* values, int lane) {
        return static_cast<long long>(values[lane < distance ? lane : lane - distance]);
    });
}

inline int __popcll(uint64_t word)
{
    return __builtin_popcountll(word);
}

template <typename T>
T __ldg(const T* address)
{
    const auto* bytes = reinterpret_cast<const char*>(address);
    emulation::strayed |= bytes < emulation::watched_begin || bytes + sizeof(T) > emulation::watched_end;
    return *address;
}

template <typename T>
T atomicAdd(T* address, T value)
{
    const T old = *address;
    *address += value;
    return old;
}

template <typename T>
T atomicOr(T* address, T value)
{
    const T old = *address;
    *address |= value;
    return old;
}

using std::max;
using std::min;

#define MASKRT_LAUNCH_H  // in place of kernels/launch.h

namespace maskrt {

// A cache that holds nothing.
inline int64_t cache_bytes()
{
    return 0;
}

template <typename... Parameters>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, cudaStream_t, Parameters... parameters)
{
    emulation::body = [=] { kernel(parameters...); };
    emulation::grid_size = grid;
    emulation::block_size = block;
    for (unsigned z = 0; z < grid.z; ++z) {
        for (unsigned y = 0; y < grid.y; ++y) {
            for (unsigned x = 0; x < grid.x; ++x) {
                emulation::block_index = dim3(x, y, z);
                emulation::run_block();
            }
        }
    }
    return cudaSuccess;
}

}  // namespace maskrt

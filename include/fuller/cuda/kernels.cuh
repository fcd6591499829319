// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include <fuller/cuda/calls.hpp>
#include <fuller/cuda/device.cuh>
#include <fuller/cuda/gram.hpp>
#include <fuller/cuda/launch.hpp>
#include <fuller/cuda/slices.hpp>
#include <fuller/cuda/weighted_sum.hpp>

// The kernels, and how they are launched. Everything here is of internal linkage: each shared library that holds a unit compiled
// from this has kernels of its own, for its own architectures.

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

// Not inlined: all kernels call the one copy of the rules.
static __device__ __noinline__ void run_on_warp(const RuleCall& call, double* shared, int shared_doubles) {
  run_fused_rule(Warp{}, call, shared, shared_doubles);
}
static __device__ __noinline__ void run_on_warp(const GateCall& call, double* shared, int shared_doubles) {
  run_gate(Warp{}, call, shared, shared_doubles);
}

template <class Call>
struct RunOnWarp {
  const Call& call;
  __device__ void operator()(Warp /*warp*/, double* shared, int shared_doubles) const {
    run_on_warp(call, shared, shared_doubles);
  }
};

template <class Kernel>
static __global__ void __launch_bounds__(block_threads, Kernel::blocks_together)
    gram_kernel(const __grid_constant__ GramArguments arguments, const __grid_constant__ RuleCall call) {
  __shared__ double memory[Kernel::shared_doubles];
  Kernel::run(DeviceBlock{memory}, arguments, RunOnWarp<RuleCall>{call});
}

template <class Kernel>
static __global__ void __launch_bounds__(block_threads)
    norm_kernel(const __grid_constant__ NormArguments arguments, const __grid_constant__ GateCall call) {
  __shared__ double memory[Kernel::shared_doubles];
  Kernel::run(DeviceBlock{memory}, arguments, RunOnWarp<GateCall>{call});
}

template <class Kernel>
static __global__ void __launch_bounds__(block_threads) sum_kernel(const __grid_constant__ SumArguments arguments) {
  __shared__ double memory[Kernel::shared_doubles];
  Kernel::run(DeviceBlock{memory}, arguments);
}

template <class Kernel>
static __global__ void __launch_bounds__(block_threads) scale_kernel(const __grid_constant__ ScaleArguments arguments) {
  __shared__ double memory[Kernel::shared_doubles];
  Kernel::run(DeviceBlock{memory}, arguments);
}

/// Shared doubles of a launch that only runs a call.
inline constexpr int call_doubles = 2048;

template <class Call>
static __global__ void __launch_bounds__(warp_threads) call_kernel(const __grid_constant__ Call call) {
  __shared__ double memory[call_doubles];
  if constexpr (std::is_same_v<Call, RuleCall>) {
    run_rule(Warp{}, call, memory, call_doubles);
  } else {
    run_on_warp(call, memory, call_doubles);
  }
}

// What a kernel's parameters may take on every device and toolkit.
static_assert(sizeof(GramArguments) + sizeof(RuleCall) <= 4096);
static_assert(sizeof(NormArguments) + sizeof(GateCall) <= 4096);
static_assert(sizeof(SumArguments) <= 4096 && sizeof(ScaleArguments) <= 4096);

#if !defined(__CUDACC_RTC__)  // NVRTC compiles for the device alone: see fuller/engine/nvrtc.hpp

/// Puts kernels into a stream.
struct StreamLauncher {
  cudaStream_t stream;

  template <class Kernel>
  bool gram(unsigned blocks, const GramArguments& arguments, const RuleCall& call) const {
    gram_kernel<Kernel><<<blocks, block_threads, 0, stream>>>(arguments, call);
    return launched();
  }
  template <class Kernel>
  bool norms(unsigned blocks, const NormArguments& arguments, const GateCall& call) const {
    norm_kernel<Kernel><<<blocks, block_threads, 0, stream>>>(arguments, call);
    return launched();
  }
  template <class Kernel>
  bool sum(unsigned blocks, const SumArguments& arguments) const {
    sum_kernel<Kernel><<<blocks, block_threads, 0, stream>>>(arguments);
    return launched();
  }
  template <class Kernel>
  bool scale(unsigned blocks, const ScaleArguments& arguments) const {
    scale_kernel<Kernel><<<blocks, block_threads, 0, stream>>>(arguments);
    return launched();
  }
  template <class Call>
  bool call(const Call& what) const {
    call_kernel<Call><<<1, warp_threads, 0, stream>>>(what);
    return launched();
  }

 private:
  static bool launched() { return cudaGetLastError() == cudaSuccess; }
};

#endif

}  // namespace detail

#if !defined(__CUDACC_RTC__)

/// A request of launch.hpp in a stream of the current device: nothing is allocated, nothing waits, all may be captured.
template <class Request>
static inline Outcome submit_to(cudaStream_t stream, const Request& request) {
  return submit(request, detail::StreamLauncher{stream});
}

#endif

}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include <fuller/cuda/partition.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

/// The 32 lanes of a warp, as a rule takes them.
struct Warp {
  static constexpr int count = 32;
  __device__ int index() const { return static_cast<int>(threadIdx.x) % count; }
  __device__ void sync() const { __syncwarp(); }
};

namespace detail {

/// The block that runs, as the kernels of block.hpp take it.
struct DeviceBlock {
  double* memory;

  __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __device__ std::int64_t index() const { return blockIdx.x; }
  __device__ std::int64_t count() const { return gridDim.x; }
  __device__ void sync() const { __syncthreads(); }
  __device__ double down(double x, int by) const { return __shfl_down_sync(0xFFFFFFFFU, x, static_cast<unsigned>(by)); }
  __device__ unsigned take(unsigned* ticket) const { return atomicAdd(ticket, 1U); }
  __device__ void publish() const { __threadfence(); }
  __device__ double fresh(const double* x) const { return __ldcg(x); }
  __device__ double* shared() const { return memory; }
  __device__ Warp warp() const { return {}; }
};

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

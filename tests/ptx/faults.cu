// SPDX-License-Identifier: Apache-2.0
// Kernels that are wrong in one way each, and their right twins: what the interpreter has to find, and what it must not.
// name__kind: a finding of that kind is expected, of no other; "right": none.

#include <cuda_runtime.h>

extern "C" {

// out: 256 doubles of nothing; in: 256 doubles, not a multiple of 16 after; ticket: 0

__global__ void unguarded_exchange__racecheck(const double* in, double* out, unsigned*) {
  __shared__ double memory[256];
  memory[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = memory[threadIdx.x ^ 64U];
}
__global__ void guarded_exchange__right(const double* in, double* out, unsigned*) {
  __shared__ double memory[256];
  memory[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = memory[threadIdx.x ^ 64U];
}
__global__ void no_second_barrier__racecheck(const double* in, double* out, unsigned*) {
  __shared__ double memory[256];
  for (int k = 0; k < 2; ++k) {
    memory[threadIdx.x] = in[threadIdx.x] + k;
    __syncthreads();
    out[threadIdx.x] = memory[threadIdx.x ^ 64U];
  }
}
__global__ void unguarded_lanes__racecheck(const double* in, double* out, unsigned*) {
  __shared__ double memory[256];
  memory[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = memory[threadIdx.x ^ 1U];
}
__global__ void guarded_lanes__right(const double* in, double* out, unsigned*) {
  __shared__ double memory[256];
  memory[threadIdx.x] = in[threadIdx.x];
  __syncwarp();
  out[threadIdx.x] = memory[threadIdx.x ^ 1U];
}
__global__ void neighbours_bytes__right(const double* in, double* out, unsigned*) {
  __shared__ unsigned char memory[256];
  memory[threadIdx.x] = static_cast<unsigned char>(in[threadIdx.x] > 0);
  out[threadIdx.x] = memory[threadIdx.x];
}
__global__ void same_word_of_two__racecheck(const double* in, double* out, unsigned*) { out[threadIdx.x / 2] = in[threadIdx.x]; }
__global__ void read_behind__memcheck(const double* in, double* out, unsigned*) { out[threadIdx.x] = in[threadIdx.x + 1]; }
__global__ void write_before__memcheck(const double* in, double* out, unsigned*) {
  out[static_cast<int>(threadIdx.x) - 1] = in[0];
}
__global__ void write_to_input__memcheck(const double* in, double*, unsigned*) { const_cast<double*>(in)[threadIdx.x] = 1; }
__global__ void two_at_once__memcheck(const double* in, double* out, unsigned*) {
  const double2 two = *reinterpret_cast<const double2*>(in + 1);
  out[threadIdx.x] = two.x + two.y;
}
__global__ void last_vector__memcheck(const double* in, double* out, unsigned*) {
  const double2 two = *reinterpret_cast<const double2*>(in + threadIdx.x / 2 * 2 + 2);
  out[threadIdx.x] = two.x + two.y;
}
__global__ void shared_behind__memcheck(const double* in, double* out, unsigned*) {
  __shared__ double memory[256];
  memory[threadIdx.x + (in[0] > -1e300 ? 1 : 0)] = 1;
  __syncthreads();
  out[threadIdx.x] = memory[threadIdx.x];
}
__global__ void unwritten_shared__initcheck(const double*, double* out, unsigned*) {
  __shared__ double memory[256];
  if (threadIdx.x != 77) memory[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = memory[threadIdx.x ^ 1U];
}
__global__ void unwritten_global__initcheck(const double*, double* out, unsigned*) { out[threadIdx.x] += 1; }
__global__ void unwritten_local__initcheck(const double* in, double* out, unsigned*) {
  double memory[16];
  for (int k = 0; k < 15; ++k) memory[(k * 7 + static_cast<int>(in[k])) & 15] = in[k];
  out[threadIdx.x] = memory[threadIdx.x & 15];
}
__global__ void unwritten_register__initcheck(const double*, double* out, unsigned*) {
  unsigned x;
  asm("{ .reg .u32 none; add.u32 %0, none, 1; }" : "=r"(x));
  out[threadIdx.x] = x;
}
__global__ void half_a_barrier__synccheck(const double* in, double* out, unsigned*) {
  if (threadIdx.x < 128) __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}
__global__ void two_barriers__synccheck(const double* in, double* out, unsigned*) {
  if (threadIdx.x < 128) {
    __syncthreads();
    out[threadIdx.x] = in[threadIdx.x];
  } else {
    out[threadIdx.x] = -in[threadIdx.x];
    __syncthreads();
  }
}
__global__ void lane_missing__synccheck(const double* in, double* out, unsigned*) {
  if (threadIdx.x % 32 == 5) {
    out[threadIdx.x] = 0;
    return;
  }
  out[threadIdx.x] = __shfl_down_sync(0xFFFFFFFFU, in[threadIdx.x], 1);
}
__global__ void lane_elsewhere__synccheck(const double* in, double* out, unsigned*) {
  if (threadIdx.x % 32 == 5) {
    __syncthreads();
  } else {
    out[threadIdx.x] = __shfl_down_sync(0xFFFFFFFFU, in[threadIdx.x], 1);
    __syncthreads();
  }
}
__global__ void lanes__right(const double* in, double* out, unsigned*) {
  out[threadIdx.x] = __shfl_down_sync(0xFFFFFFFFU, in[threadIdx.x], 1);
}

// Of several blocks: each writes its number, the last one to come reads all.
__device__ void last_reads(double* out, unsigned* ticket, bool fence_before, bool fence_after, bool barrier) {
  __shared__ bool last;
  if (threadIdx.x < 8) out[8 * blockIdx.x + threadIdx.x] = blockIdx.x;
  if (fence_before) __threadfence();
  if (barrier) __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(ticket, 1U) == gridDim.x - 1;
    if (last) *ticket = 0;
    if (fence_after) __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    double sum = 0;
    for (unsigned k = 0; k < 8 * gridDim.x; ++k) sum += __ldcg(out + k);
    out[8 * gridDim.x] = sum;
  }
}
__global__ void grid_ticket__right(const double*, double* out, unsigned* ticket) { last_reads(out, ticket, true, true, true); }
__global__ void grid_no_fence_before__blockrace(const double*, double* out, unsigned* ticket) {
  last_reads(out, ticket, false, true, true);
}
__global__ void grid_no_fence_after__blockrace(const double*, double* out, unsigned* ticket) {
  last_reads(out, ticket, true, false, true);
}
__global__ void grid_no_barrier__blockrace(const double*, double* out, unsigned* ticket) {
  last_reads(out, ticket, true, true, false);
}
__global__ void grid_same_place__blockrace(const double*, double* out, unsigned*) {
  if (threadIdx.x == 0) out[0] = blockIdx.x;
}
__global__ void grid_neighbour__blockrace(const double* in, double* out, unsigned*) {
  if (threadIdx.x == 0) out[blockIdx.x] = in[blockIdx.x];
  if (threadIdx.x == 1 && blockIdx.x == 1) out[20] = __ldcg(out);
}
__global__ void grid_through_l1__stale(const double*, double* out, unsigned* ticket) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    out[blockIdx.x] = 1;
    __threadfence();
    last = atomicAdd(ticket, 1U) == gridDim.x - 1;
    __threadfence();
    if (last) out[gridDim.x] = out[0] + out[1];
  }
}

}  // extern "C"

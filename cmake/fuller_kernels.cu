// SPDX-License-Identifier: Apache-2.0
// The one compiled unit: fuller_add_cuda_kernels() adds it to a target. From then on the headers find the kernels.

#include <fuller/cuda/kernel_table.hpp>
#include <fuller/cuda/kernels.cuh>

namespace {

namespace cuda = fuller::cuda;

struct InStream {
  template <class Request>
  static cuda::Outcome submit(const Request& request, void* stream) {
    return cuda::submit_to(static_cast<cudaStream_t>(stream), request);
  }
};

constexpr cuda::KernelTable table = cuda::KernelTable::by<InStream>();

[[maybe_unused]] const bool linked = (cuda::linked_kernels() = &table) != nullptr;

}  // namespace

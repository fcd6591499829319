// SPDX-License-Identifier: Apache-2.0
// The one compiled unit: fuller_add_cuda_kernels() adds it to a target. From then on the headers find the kernels.

#include <fuller/cuda/kernel_table.hpp>
#include <fuller/cuda/kernels.cuh>

namespace {

namespace cuda = fuller::cuda;

cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

const cuda::KernelTable table{
    [](const cuda::GramRequest& request, void* stream) { return cuda::gram(request, as_stream(stream)); },
    [](const cuda::NormRequest& request, void* stream) { return cuda::slice_norms(request, as_stream(stream)); },
    [](const cuda::SumRequest& request, void* stream) { return cuda::weighted_sum(request, as_stream(stream)); },
    [](const cuda::ScaleRequest& request, void* stream) { return cuda::scale_slices(request, as_stream(stream)); },
    [](const cuda::RuleCall& call, void* stream) { return cuda::run(call, as_stream(stream)); },
    [](const cuda::GateCall& call, void* stream) { return cuda::run(call, as_stream(stream)); },
};

[[maybe_unused]] const bool linked = (cuda::linked_kernels() = &table) != nullptr;

}  // namespace

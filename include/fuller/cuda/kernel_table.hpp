// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/cuda/requests.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

/// What the compiled unit offers to code that was compiled without CUDA. `stream` is a cudaStream_t of the current device;
/// nothing here allocates or waits, and all of it may be captured.
struct KernelTable {
  Outcome (*gram)(const GramRequest& request, void* stream);
  Outcome (*slice_norms)(const NormRequest& request, void* stream);
  Outcome (*weighted_sum)(const SumRequest& request, void* stream);
  Outcome (*scale_slices)(const ScaleRequest& request, void* stream);
  Outcome (*run_rule)(const RuleCall& call, void* stream);
  Outcome (*run_gate)(const GateCall& call, void* stream);
};

/// The kernels linked into this program or shared library by fuller_add_cuda_kernels(); null without them. Hidden, so that each
/// library of a process has its own.
__attribute__((visibility("hidden"))) inline const KernelTable*& linked_kernels() {
  static const KernelTable* table = nullptr;
  return table;
}

}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/cuda/requests.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

template <class Request>
struct KernelEntry {
  Outcome (*submit)(const Request& request, void* stream);
};

template <class List>
struct KernelTableOf;

/// What the compiled unit offers to code that was compiled without CUDA: an entry for each request. `stream` is a cudaStream_t of
/// the current device; nothing here allocates or waits, and all of it may be captured.
template <class... Requests>
struct KernelTableOf<RequestList<Requests...>> : private KernelEntry<Requests>... {
  /// Of `Way::submit(request, stream)`, which takes each of the requests.
  template <class Way>
  static constexpr KernelTableOf by() {
    return KernelTableOf(KernelEntry<Requests>{&Way::template submit<Requests>}...);
  }

  template <class Request>
  Outcome submit(const Request& request, void* stream) const {
    return KernelEntry<Request>::submit(request, stream);
  }

 private:
  constexpr explicit KernelTableOf(const KernelEntry<Requests>&... entries) : KernelEntry<Requests>(entries)... {}
};

using KernelTable = KernelTableOf<Requests>;

/// The kernels linked into this program or shared library by fuller_add_cuda_kernels(); null without them. Hidden, so that each
/// library of a process has its own.
__attribute__((visibility("hidden"))) inline const KernelTable*& linked_kernels() {
  static const KernelTable* table = nullptr;
  return table;
}

}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

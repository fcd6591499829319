// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/core/error.hpp>
#include <fuller/distributed/group_average.hpp>
#include <fuller/distributed/store_average.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {

/// How ranks meet.
struct RanksOptions {
  /// How long a rank waits for another in one reduction over a store, and before it names those that a failed group has lost. A
  /// group's own timeout is what it was made with.
  std::chrono::milliseconds timeout = std::chrono::minutes(5);
  /// What the keys in a store begin with: another name for each calibration or scaler that uses the store.
  std::string name = "fuller";
  /// Where a group takes tensors, if not wherever they are: at::kCUDA for NCCL, which takes no numbers of the host.
  std::optional<at::Device> device{};
};

/// Ranks that average by a process group of LibTorch's: c10d::ProcessGroup, or a c10d::Backend of 2.x, of any transport.
///
///     auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("fuller", store), rank,
///     size, how); options.ranks = fuller::ranks_of(group);
///
/// The group is to be fuller's alone, on a prefix of the store, so that its reductions meet none of the trainer's. One reduction
/// for each type and device: sums, then divides, halves in float. A group of NCCL's reduces in the current stream.
/// @param group  a pointer to whatever has allreduce(tensors), getRank() and getSize()
template <class Group>
Ranks ranks_of(Group group, const RanksOptions& options = {}) {
  const int rank = group->getRank();
  const int size = group->getSize();
  return detail::ranks_by(detail::GroupAverage<Group>(std::move(group), size, options.device), rank, size);
}

/// The same, and where a reduction fails the ranks tell each other through the store that they are there: those that do not are
/// named in the message.
template <class Group, class Store>
Ranks ranks_of(Group group, Store store, const RanksOptions& options = {}) {
  Ranks ranks = ranks_of(std::move(group), options);
  if (ranks.count > 1) {
    ranks.missing = detail::RollCall<Store>(std::move(store), options.name, ranks.rank, ranks.count, options.timeout);
  }
  return ranks;
}

/// Ranks that average through a c10d::Store alone: FileStore, TCPStore, HashStore. Works with every LibTorch, and needs no
/// transport; each rank reads what all others have, so it is for tests, and for T x T numbers or a layer.
///
/// Keys are deleted once all ranks have read them. Rank order fixes the order of additions: all have the same bits.
/// @param store  a pointer to whatever has set(), get(), wait(), check(), add() and deleteKey(); one for each rank
template <class Store>
Ranks ranks_over(Store store, int rank, int size, const RanksOptions& options = {}) {
  if (size < 1 || rank < 0 || rank >= size) {
    detail::fail("ranks_over() got rank ", rank, " of ", size, "; ranks count from 0 to one less than their number");
  }
  const auto average = std::make_shared<detail::StoreAverage<Store>>(std::move(store), options.name, rank, size, options.timeout);
  return detail::ranks_by([average](std::vector<at::Tensor>& tensors) { (*average)(tensors); }, rank, size);
}

/// The last that a rank does with a store that one of them serves, as rank 0 does a TCPStore: that rank waits until the others
/// have done it too, and so does not leave, with the store, while they still read.
template <class Store>
void leave(Store store, int rank, int size, const RanksOptions& options = {}) {
  const auto key = [&](int of) { return options.name + "/left/" + std::to_string(of); };
  store->set(key(rank), std::vector<std::uint8_t>{1});
  for (int other = 1; other < size && rank == 0; ++other) {
    store->wait({key(other)}, options.timeout);
  }
}

}  // namespace v0_1
}  // namespace fuller

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

/// How ranks reach each other.
struct RanksOptions {
  /// Over a store: how long a rank waits for another in one reduction. With a group and a store: how long, after the group has
  /// failed, a rank waits before it names those that are lost. The timeout of the group itself is what it was made with.
  std::chrono::milliseconds timeout = std::chrono::minutes(5);
  /// The beginning of the keys in a store: a different name for each calibration or scaler that uses the store.
  std::string name = "fuller";
  /// The device on which a group takes tensors, if it does not take them where they are: at::kCUDA for NCCL, which cannot reduce
  /// tensors on the CPU.
  std::optional<at::Device> device{};
};

/// Ranks that average by a process group of LibTorch's: a c10d::ProcessGroup, or a c10d::Backend of 2.x, of any transport.
///
///     auto store_of_calibration = c10::make_intrusive<c10d::PrefixStore>("fuller", store);
///     auto group = c10::make_intrusive<c10d::ProcessGroupGloo>(store_of_calibration, rank, size, how);
///     options.ranks = fuller::ranks_of(group);
///
/// Let nothing else use the group, so that its reductions do not mix with the trainer's. Each average is one reduction for each
/// type and device, a sum and a division, halves in float. It allocates flat buffers, and waits for the group as the group's
/// work->wait() does: NCCL's reduces in the current stream. At Surface::all_shared one task's gradients are reduced while the
/// next task's are formed. What the group throws ends the step with an Error.
/// @param group  a pointer to whatever has allreduce(tensors), getRank() and getSize()
template <class Group>
Ranks ranks_of(Group group, const RanksOptions& options = {}) {
  const int rank = group->getRank();
  const int size = group->getSize();
  const detail::GroupAverage<Group> average(std::move(group), size, options.device);
  Ranks ranks = detail::ranks_by(average, rank, size);
  if (size > 1) {
    ranks.begin = [average](std::vector<at::Tensor>& tensors) { return average.begin(tensors); };
  }
  return ranks;
}

/// The same, and where a reduction fails, the ranks tell each other through the store that they are there. Those that do not are
/// named in the message.
/// @param store  a pointer to whatever has set() and wait()
template <class Group, class Store>
Ranks ranks_of(Group group, Store store, const RanksOptions& options = {}) {
  Ranks ranks = ranks_of(std::move(group), options);
  if (ranks.count > 1) {
    ranks.missing = detail::RollCall<Store>(std::move(store), options.name, ranks.rank, ranks.count, options.timeout);
  }
  return ranks;
}

/// Ranks that average through a c10d::Store alone: FileStore, TCPStore, HashStore. It works with every LibTorch and needs no
/// process group. Each rank reads what all others have, so it is for tests, and for T x T numbers or a layer.
///
/// Additions go in the order of the ranks, so all ranks get the same bits. A rank waits for each of the others, `timeout` at
/// most; one that does not come ends the step with an Error that names it. Keys are deleted once all ranks have read them.
/// @param store  a pointer to whatever has set(), get(), wait(), check(), add() and deleteKey(); one for each rank
/// @throws Error unless 0 <= rank < size
template <class Store>
Ranks ranks_over(Store store, int rank, int size, const RanksOptions& options = {}) {
  if (size < 1 || rank < 0 || rank >= size) {
    detail::fail("ranks_over() got rank ", rank, " of ", size, "; ranks count from 0 to one less than their number");
  }
  const auto average = std::make_shared<detail::StoreAverage<Store>>(std::move(store), options.name, rank, size, options.timeout);
  return detail::ranks_by([average](std::vector<at::Tensor>& tensors) { (*average)(tensors); }, rank, size);
}

/// The last call that each rank makes before it lets go of a store that rank 0 serves, such as a TCPStore. Rank 0 waits until the
/// others have called it too, `timeout` at most for each, so that the store does not end while they still read. Throws what the
/// store throws, also when a rank does not come in time.
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

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/host_device.hpp>
#include <fuller/cuda/partition.hpp>
#include <fuller/cuda/unroll.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

// A kernel here is a function of a Block: what the 256 threads of a block know and do together. On the device that is
// DeviceBlock; in the tests the same functions run on an emulated one. A Block has
//
//   int thread() const;                        0 .. 255
//   std::int64_t index() const, count() const; which block, and how many
//   void sync() const;                         a barrier of the block, after which all see what each wrote
//   double down(double x, int by) const;       the x of the thread `by` further down the warp
//   unsigned take(unsigned* ticket) const;     adds 1 for one thread of the device; what was there before
//   void publish() const;                      what this thread wrote is seen by whoever sees what it writes after this
//   double fresh(const double* x) const;       a number that another block may have written
//   double* shared() const;                    `Kernel::shared_doubles` of them
//   Warp warp() const;                         the lanes of warp 0, for a rule

/// Sums `sums[0 .. count)` over the threads of the block, in an order that is always the same; store(p, total) is called once for
/// each, by some thread. Uses 8 * count doubles of `shared`, free again on return.
template <int count, class Block, class Store>
FULLER_HD void sum_over_block(const Block& block, const double (&sums)[count], double* shared, const Store& store) {
  const int lane = block.thread() % warp_threads;
  const int warp = block.thread() / warp_threads;
  FULLER_UNROLL
  for (int p = 0; p < count; ++p) {
    double sum = sums[p];
    for (int by = warp_threads / 2; by > 0; by /= 2) {
      sum += block.down(sum, by);
    }
    if (lane == 0) {
      shared[p * block_warps + warp] = sum;
    }
  }
  block.sync();
  for (int p = block.thread(); p < count; p += block_threads) {
    double total = 0;
    for (int w = 0; w < block_warps; ++w) {
      total += shared[p * block_warps + w];
    }
    store(p, total);
  }
  block.sync();
}

/// Whether this block is the last of its launch to come here; what all others wrote before is then to be had by fresh(). The
/// ticket is 0 before a launch and after it, so that a captured launch can be replayed.
template <class Block>
FULLER_HD bool is_last_block(const Block& block, unsigned* ticket) {
  double* const shared = block.shared();
  block.publish();
  block.sync();
  if (block.thread() == 0) {
    const bool last = static_cast<std::int64_t>(block.take(ticket)) == block.count() - 1;
    shared[0] = last ? 1 : 0;
    if (last) {
      *ticket = 0;
    }
    block.publish();
  }
  block.sync();
  const bool last = shared[0] != 0;
  block.sync();
  return last;
}

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

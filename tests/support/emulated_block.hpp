// SPDX-License-Identifier: Apache-2.0
#pragma once

// A grid of blocks on the host: the kernels of fuller/cuda run as they are, each of a block's 256 threads on a stack of its own
// that is left at every barrier. Threads run in rising or falling order between barriers, so that a barrier that is missing shows
// as a difference; shared memory holds NaN at first; a barrier that not all threads reach is an error.

#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fuller/cuda/partition.hpp>

namespace fuller::testing {

/// The order in which blocks, and threads between two barriers, have their turns.
enum class Turns { rising, falling };

class EmulatedGrid;

/// A lane of warp 0.
class EmulatedWarp {
 public:
  static constexpr int count = cuda::detail::warp_threads;
  explicit EmulatedWarp(EmulatedGrid& grid) : grid_(&grid) {}
  int index() const;
  void sync() const;

 private:
  EmulatedGrid* grid_;
};

class EmulatedGrid {
 public:
  static constexpr int threads = cuda::detail::block_threads;
  static constexpr int lanes = cuda::detail::warp_threads;

  EmulatedGrid(std::int64_t blocks, int shared_doubles, Turns turns)
      : blocks_(blocks),
        turns_(turns),
        shared_(static_cast<std::size_t>(shared_doubles)),
        fibers_(threads),
        stacks_(static_cast<std::size_t>(threads) * stack_bytes) {}

  /// Runs body(block) on every thread of every block.
  template <class Body>
  void run(const Body& body) {
    for (std::int64_t b = 0; b < blocks_; ++b) {
      block_ = turns_ == Turns::rising ? b : blocks_ - 1 - b;
      std::fill(shared_.begin(), shared_.end(), std::numeric_limits<double>::quiet_NaN());
      body_ = [this, &body] { body(*this); };
      run_block();
    }
  }

  // What a Block is asked for.
  int thread() const { return current_; }
  std::int64_t index() const { return block_; }
  std::int64_t count() const { return blocks_; }
  void sync() const { self().leave(At::block_barrier); }
  double down(double x, int by) const {
    Fiber& mine = self().fibers_[static_cast<std::size_t>(current_)];
    const int slot = mine.parity ^= 1;
    mine.given[slot] = x;
    warp_sync();
    const int from = current_ % lanes + by < lanes ? current_ + by : current_;
    return fibers_[static_cast<std::size_t>(from)].given[slot];
  }
  unsigned take(unsigned* ticket) const { return (*ticket)++; }
  void publish() const {}
  double fresh(const double* x) const { return *x; }
  double* shared() const { return self().shared_.data(); }
  EmulatedWarp warp() const { return EmulatedWarp(self()); }
  void warp_sync() const { self().leave(At::warp_barrier); }

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;
  enum class At { start, running, warp_barrier, block_barrier, end };

  struct Fiber {
    ucontext_t context;
    At at = At::start;
    int parity = 0;
    double given[2] = {};
  };

  // A Block is passed as const; what changes is where its threads stand.
  EmulatedGrid& self() const { return const_cast<EmulatedGrid&>(*this); }

  void leave(At at) {
    Fiber& fiber = fibers_[static_cast<std::size_t>(current_)];
    fiber.at = at;
    swapcontext(&fiber.context, &scheduler_);
  }

  static void enter(unsigned high, unsigned low) {
    auto* grid = reinterpret_cast<EmulatedGrid*>(static_cast<std::uintptr_t>(high) << 32U | low);
    try {
      grid->body_();
    } catch (...) {
      grid->thrown_ = std::current_exception();
    }
    grid->leave(At::end);
  }

  /// A function of its own: getcontext may return twice as far as the compiler knows, which a loop's counter does not bear.
  [[gnu::noinline]] void set_up(std::size_t t) {
    Fiber& fiber = fibers_[t];
    fiber.at = At::start;
    fiber.parity = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = stacks_.data() + t * stack_bytes;
    fiber.context.uc_stack.ss_size = stack_bytes;
    fiber.context.uc_link = nullptr;
    const auto address = reinterpret_cast<std::uintptr_t>(this);
    makecontext(&fiber.context, reinterpret_cast<void (*)()>(&EmulatedGrid::enter), 2, static_cast<unsigned>(address >> 32U),
                static_cast<unsigned>(address));
  }

  void run_block() {
    for (std::size_t t = 0; t < fibers_.size(); ++t) {
      set_up(t);
    }
    while (take_turns()) {
    }
  }

  /// Runs each thread that may run up to its next barrier, then opens the barriers that all have reached; false at the end.
  bool take_turns() {
    for (int k = 0; k < threads; ++k) {
      const int t = turns_ == Turns::rising ? k : threads - 1 - k;
      Fiber& fiber = fibers_[static_cast<std::size_t>(t)];
      if (fiber.at == At::start || fiber.at == At::running) {
        current_ = t;
        fiber.at = At::running;
        swapcontext(&scheduler_, &fiber.context);
        if (thrown_) {
          std::rethrow_exception(std::exchange(thrown_, nullptr));
        }
      }
    }
    bool moved = false;
    int at_block = 0;
    int ended = 0;
    for (int first = 0; first < threads; first += lanes) {
      int at_warp = 0;
      for (int t = first; t < first + lanes; ++t) {
        const At at = fibers_[static_cast<std::size_t>(t)].at;
        at_warp += at == At::warp_barrier ? 1 : 0;
        at_block += at == At::block_barrier ? 1 : 0;
        ended += at == At::end ? 1 : 0;
      }
      if (at_warp == lanes) {
        open(first, first + lanes);
        moved = true;
      } else if (at_warp != 0) {
        throw std::logic_error("not all lanes of a warp reached its barrier");
      }
    }
    if (at_block == threads) {
      open(0, threads);
      moved = true;
    } else if (!moved && ended != threads) {
      throw std::logic_error("not all threads of a block reached its barrier");
    }
    return moved;
  }

  void open(int first, int last) {
    for (int t = first; t < last; ++t) {
      fibers_[static_cast<std::size_t>(t)].at = At::running;
    }
  }

  std::int64_t blocks_;
  Turns turns_;
  std::vector<double> shared_;
  std::vector<Fiber> fibers_;
  std::vector<char> stacks_;
  std::function<void()> body_;
  std::exception_ptr thrown_;
  ucontext_t scheduler_{};
  std::int64_t block_ = 0;
  int current_ = 0;
};

inline int EmulatedWarp::index() const { return grid_->thread() % count; }
inline void EmulatedWarp::sync() const { grid_->warp_sync(); }

}  // namespace fuller::testing

// SPDX-License-Identifier: Apache-2.0
#pragma once

// fuller/cuda's requests on the host: the kernels themselves, on emulated blocks.

#include <fuller/cuda/launch.hpp>

#include "support/elements.hpp"
#include "support/emulated_block.hpp"

namespace fuller::testing {

/// Runs what a request launches, on at most `most_blocks` blocks.
class EmulatedLauncher {
 public:
  explicit EmulatedLauncher(Turns turns = Turns::rising, unsigned most_blocks = 7) : turns_(turns), most_blocks_(most_blocks) {}

  template <class Kernel>
  bool gram(unsigned blocks, const cuda::detail::GramArguments& arguments, const cuda::RuleCall& call) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) {
      Kernel::run(block, arguments,
                  [&](EmulatedWarp warp, double* shared, int size) { cuda::run_rule(warp, call, shared, size); });
    });
    return true;
  }
  template <class Kernel>
  bool norms(unsigned blocks, const cuda::detail::NormArguments& arguments, const cuda::GateCall& call) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) {
      Kernel::run(block, arguments,
                  [&](EmulatedWarp warp, double* shared, int size) { cuda::run_gate(warp, call, shared, size); });
    });
    return true;
  }
  template <class Kernel>
  bool sum(unsigned blocks, const cuda::detail::SumArguments& arguments) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) { Kernel::run(block, arguments); });
    return true;
  }
  template <class Kernel>
  bool scale(unsigned blocks, const cuda::detail::ScaleArguments& arguments) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) { Kernel::run(block, arguments); });
    return true;
  }
  bool call(const cuda::RuleCall& what) const {
    EmulatedGrid(1, 1, turns_).run([&](EmulatedGrid& grid) {
      if (grid.thread() < EmulatedWarp::count) cuda::run_rule(EmulatedWarp(grid), what, nullptr, 0);
    });
    return true;
  }
  bool call(const cuda::GateCall& what) const {
    EmulatedGrid(1, 1, turns_).run([&](EmulatedGrid& grid) {
      if (grid.thread() < EmulatedWarp::count) cuda::run_gate(EmulatedWarp(grid), what, nullptr, 0);
    });
    return true;
  }

  /// Launches so far: how often a request needed another table.
  int launches() const { return launches_; }

 private:
  template <class Kernel, class Body>
  void run(unsigned blocks, const Body& body) const {
    ++launches_;
    EmulatedGrid(blocks < most_blocks_ ? blocks : most_blocks_, Kernel::shared_doubles, turns_).run(body);
  }

  Turns turns_;
  unsigned most_blocks_;
  mutable int launches_ = 0;
};

}  // namespace fuller::testing

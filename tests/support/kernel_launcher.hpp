// SPDX-License-Identifier: Apache-2.0
#pragma once

// fuller/cuda's requests on a machine without a GPU, in one of two ways: the kernels' text on emulated blocks, or, where the
// environment variable FULLER_PTX names what nvcc made of it, that PTX, interpreted. Tests run both ways without knowing which.

#include <type_traits>
#include <utility>

#include <fuller/cuda/launch.hpp>

#include "ptx/launcher.hpp"
#include "support/emulated_launcher.hpp"

namespace fuller::testing {

inline bool from_ptx() { return ptx::Unit::named() != nullptr; }

/// How far a rule may be from the host's own call, relative to its largest number. Emulated blocks run the host's arithmetic: not
/// at all. A device has an exp, a log and a pow of its own, and may fuse a product into a sum; what solves a system makes more of
/// that, by its condition (of 64 gradients of 70 numbers), and CAGrad's search ends at 1e-12 of its radius.
template <class Rule>
double rule_tolerance() {
  constexpr bool algebraic = std::is_same_v<Rule, Uniform> || std::is_same_v<Rule, Constant> || std::is_same_v<Rule, IMTL_G> ||
                             std::is_same_v<Rule, PCGrad>;
  constexpr bool solves = std::is_same_v<Rule, ConFIG> || std::is_same_v<Rule, FairGrad> || std::is_same_v<Rule, NashMTL> ||
                          std::is_same_v<Rule, UPGrad> || std::is_same_v<Rule, DualProj> || std::is_same_v<Rule, MGDA> ||
                          std::is_same_v<Rule, PCD> || std::is_same_v<Rule, GradVac>;
  constexpr double rounding = std::is_same_v<Rule, AlignedMTL> || std::is_same_v<Rule, CAGrad> ? 1e-8 : solves ? 1e-10 : 1e-12;
  return from_ptx() && (!algebraic || ptx::Unit::named()->fused) ? rounding : 0;
}

class KernelLauncher {
 public:
  explicit KernelLauncher(Turns turns = Turns::rising, unsigned most_blocks = 7)
      : KernelLauncher({turns == Turns::rising ? ptx::Order::forward : ptx::Order::backward}, turns, most_blocks) {}

  /// Blocks and threads in another order each time, where they are interpreted.
  static KernelLauncher in_turn() {
    static unsigned made = 0;
    constexpr ptx::Order orders[] = {ptx::Order::forward, ptx::Order::random, ptx::Order::backward};
    const ptx::Order order = orders[made++ % 3];
    return KernelLauncher({order, made}, order == ptx::Order::backward ? Turns::falling : Turns::rising, 7);
  }

  template <class Kernel>
  bool gram(unsigned blocks, const cuda::detail::GramArguments& arguments, const cuda::RuleCall& call) const {
    return on([&](const auto& launcher) { return launcher.template gram<Kernel>(blocks, arguments, call); });
  }
  template <class Kernel>
  bool norms(unsigned blocks, const cuda::detail::NormArguments& arguments, const cuda::GateCall& call) const {
    return on([&](const auto& launcher) { return launcher.template norms<Kernel>(blocks, arguments, call); });
  }
  template <class Kernel>
  bool sum(unsigned blocks, const cuda::detail::SumArguments& arguments) const {
    return on([&](const auto& launcher) { return launcher.template sum<Kernel>(blocks, arguments); });
  }
  template <class Kernel>
  bool scale(unsigned blocks, const cuda::detail::ScaleArguments& arguments) const {
    return on([&](const auto& launcher) { return launcher.template scale<Kernel>(blocks, arguments); });
  }
  template <class Call>
  bool call(const Call& what) const {
    return on([&](const auto& launcher) { return launcher.call(what); });
  }

  /// Launches so far: how often a request needed another table.
  int launches() const { return launches_; }

 private:
  KernelLauncher(ptx::Schedule schedule, Turns turns, unsigned most_blocks)
      : schedule_(std::move(schedule)), turns_(turns), most_blocks_(most_blocks) {}

  template <class Launch>
  bool on(const Launch& launch) const {
    ++launches_;
    if (from_ptx()) {
      return launch(ptx::PtxLauncher(*ptx::Unit::named(), schedule_, most_blocks_));
    }
    return launch(EmulatedLauncher(turns_, most_blocks_));
  }

  ptx::Schedule schedule_;
  Turns turns_;
  unsigned most_blocks_;
  mutable int launches_ = 0;
};

}  // namespace fuller::testing

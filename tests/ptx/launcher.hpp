// SPDX-License-Identifier: Apache-2.0
#pragma once

// fuller/cuda's requests on the compiled kernels: what StreamLauncher puts into a stream, this runs to its end, interpreted, over
// memory of the host. What the interpreter finds is thrown.

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fuller/cuda/launch.hpp>

#include "ptx/kernels.hpp"
#include "ptx/launch_memory.hpp"
#include "ptx/machine.hpp"

namespace fuller::ptx {

class PtxLauncher {
 public:
  static constexpr unsigned as_many = ~0U;  ///< as many blocks as a request asks for

  PtxLauncher(Unit& unit, Schedule schedule, unsigned most_blocks = as_many)
      : unit_(&unit), schedule_(std::move(schedule)), most_blocks_(most_blocks) {}

  template <class Kernel>
  bool gram(unsigned blocks, const cuda::detail::GramArguments& arguments, const cuda::RuleCall& call) const {
    LaunchMemory memory(unit_->machine, !schedule_.only.empty());
    memory.add(arguments, call);
    return run(entry<Kernel>("gram_kernel"), blocks, block, {argument(arguments), argument(call)});
  }
  template <class Kernel>
  bool norms(unsigned blocks, const cuda::detail::NormArguments& arguments, const cuda::GateCall& call) const {
    LaunchMemory memory(unit_->machine, !schedule_.only.empty());
    memory.add(arguments, call, static_cast<const Kernel*>(nullptr));
    return run(entry<Kernel>("norm_kernel"), blocks, block, {argument(arguments), argument(call)});
  }
  template <class Kernel>
  bool sum(unsigned blocks, const cuda::detail::SumArguments& arguments) const {
    LaunchMemory memory(unit_->machine, !schedule_.only.empty());
    memory.add(arguments, static_cast<const Kernel*>(nullptr));
    return run(entry<Kernel>("sum_kernel"), blocks, block, {argument(arguments)});
  }
  template <class Kernel>
  bool scale(unsigned blocks, const cuda::detail::ScaleArguments& arguments) const {
    LaunchMemory memory(unit_->machine, !schedule_.only.empty());
    memory.add(arguments, static_cast<const Kernel*>(nullptr));
    return run(entry<Kernel>("scale_kernel"), blocks, block, {argument(arguments)});
  }
  template <class Call>
  bool call(const Call& what) const {
    LaunchMemory memory(unit_->machine, !schedule_.only.empty());
    memory.add(what);
    return run(entry<Call>("call_kernel"), 1, cuda::detail::warp_threads, {argument(what)});
  }

  int launches() const { return launches_; }

 private:
  using Argument = std::pair<const void*, std::size_t>;
  static constexpr unsigned block = cuda::detail::block_threads;

  template <class T>
  static Argument argument(const T& value) {
    return {&value, sizeof value};
  }
  template <class Kernel>
  const std::string& entry(const char* name) const {
    return unit_->kernels.template entry<Kernel>(name);
  }

  bool run(const std::string& name, unsigned blocks, unsigned threads, const std::vector<Argument>& arguments) const {
    ++launches_;
    unit_->machine.clear_findings();
    unit_->machine.launch(unit_->kernels.module(), name, blocks < most_blocks_ ? blocks : most_blocks_, threads, arguments,
                          schedule_);
    std::string text;
    for (const Finding& f : unit_->machine.findings()) {
      text += f.kind + ", " + std::to_string(f.times) + " times: " + f.what + "\n    at " + f.where + "\n";
    }
    if (!text.empty()) {
      throw std::logic_error(text);
    }
    return true;
  }

  Unit* unit_;
  Schedule schedule_;
  unsigned most_blocks_;
  mutable int launches_ = 0;
};

}  // namespace fuller::ptx

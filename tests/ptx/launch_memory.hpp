// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a launch may touch follows from its arguments: the tensors of its table, partial sums, results, what a rule or a gate is
// given. All else is not the device's; results and partial sums are unwritten until a kernel has written them.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <fuller/cuda/launch.hpp>

#include "ptx/machine.hpp"

namespace fuller::ptx {

class LaunchMemory {
 public:
  /// `in_part`: not all blocks run, and what the others would have written is there already.
  explicit LaunchMemory(Machine& machine, bool in_part) : machine_(&machine), in_part_(in_part) {}
  LaunchMemory(const LaunchMemory&) = delete;
  LaunchMemory& operator=(const LaunchMemory&) = delete;
  ~LaunchMemory() { machine_->forget_all(); }

  void add(const cuda::detail::GramArguments& a, const cuda::RuleCall& call) {
    add_tensors(a.table, a.table.count, size_of(a.element));
    const std::int64_t width = cuda::detail::gram_width(a.table.count);
    read(a.partials, a.table.first_slot * width);  // by launches before this one
    write_partials(a.partials + a.table.first_slot * width, a.table.units * width);
    if (a.last) {
      change(a.ticket, 1, "ticket");
      write(a.gram, std::int64_t{a.table.count} * a.table.count, "Gram matrix");
      add(call, a.gram);
    }
    register_reads();
  }

  template <int M, class E>
  void add(const cuda::detail::NormArguments& a, const cuda::GateCall& call, const cuda::detail::SliceNorms<M, E>* /*kernel*/) {
    read(static_cast<const E*>(a.data), a.slices.n);
    write_partials(a.partials, cuda::detail::ceil_divide(a.slices.n, a.unit) * M);
    change(a.ticket, 1, "ticket");
    read(a.squared_norms, a.first);
    write(a.squared_norms + a.first, std::min(M, a.slices.count - a.first), "norms");
    add(call, a.squared_norms);
    register_reads();
  }

  template <class E>
  void add(const cuda::detail::SumArguments& a, const cuda::detail::WeightedSum<E>* /*kernel*/) {
    const int T = a.table.count - 1;
    read(a.weights, T);
    for (int k = 0; k < a.table.entries; ++k) {
      for (int i = 0; i < T; ++i) {
        if (a.weights[i] != 0) {  // what has weight 0 is not even read
          read_bytes(a.table.data(k, i), extent(a.table, k, i) * static_cast<std::int64_t>(sizeof(E)));
        }
      }
      write(static_cast<const E*>(a.table.data(k, T)), extent(a.table, k, T), "the sum");
    }
    register_reads();
  }

  template <class E>
  void add(const cuda::detail::ScaleArguments& a, const cuda::detail::SliceScales<E>* /*kernel*/) {
    read(a.scales, a.slices.count);
    if (a.in == a.out) {
      change(static_cast<const E*>(a.out), a.slices.n, "what is scaled");
    } else {
      read(static_cast<const E*>(a.in), a.slices.n);
      write(static_cast<const E*>(a.out), a.slices.n, "what is scaled");
    }
    register_reads();
  }

  template <class Call>
  void add(const Call& call) {
    add(call, nullptr);
    register_reads();
  }

 private:
  /// What is larger is bounded, but nobody looks in which order it is written.
  static constexpr std::int64_t most_watched = std::int64_t{1} << 26;

  static std::int64_t size_of(cuda::Element element) {
    switch (element) {
      case cuda::Element::float64:
        return 8;
      case cuda::Element::float32:
        return 4;
      default:
        return 2;
    }
  }

  static std::int64_t extent(const cuda::detail::Table& table, int k, int i) {
    if (table.dims(k) == 0) {
      return table.length(k);
    }
    std::uint64_t last = 0;
    for (int d = 0; d < table.dims(k); ++d) {
      last += (table.sizes(k)[d] - 1) * table.strides(k, i)[d];
    }
    return static_cast<std::int64_t>(last) + 1;
  }

  void add_tensors(const cuda::detail::Table& table, int count, std::int64_t bytes) {
    for (int k = 0; k < table.entries; ++k) {
      for (int i = 0; i < count; ++i) {
        read_bytes(table.data(k, i), table.data(k, i) == nullptr ? 0 : extent(table, k, i) * bytes);
      }
    }
  }

  /// `gram` is written by the launch itself, or null.
  void add(const cuda::RuleCall& call, const double* gram) { add_known(call, gram, cuda::KnownRules()); }
  template <class... Rules>
  void add_known(const cuda::RuleCall& call, const double* gram, cuda::RuleList<Rules...> /*list*/) {
    (add_rule<Rules>(call, gram), ...);
  }
  template <class Rule>
  void add_rule(const cuda::RuleCall& call, const double* gram) {
    if (call.number != cuda::rule_number<Rule>) {
      return;
    }
    const auto* const weighting = static_cast<const Weighting<Rule>*>(call.weighting);
    const int T = call.tasks;
    read(weighting, 1);
    if (call.gram != gram) {
      read(call.gram, T * T);
    }
    read(call.losses, T);
    read(call.loss_scale, 1);
    change(call.counters, 2, "counters");
    change(call.state, weighting->state_size(T), "a rule's state");
    write(call.shared, T, "weights of shared parameters");
    write(call.heads, T, "weights of heads");
    write(call.conditions, T, "conditions");
    write(call.scratch, cuda::rule_scratch(*weighting, T), "scratch");
  }

  void add(const cuda::GateCall& call, const double* norms) { add_known(call, norms, cuda::KnownGates()); }
  template <class... Laws>
  void add_known(const cuda::GateCall& call, const double* norms, cuda::GateList<Laws...> /*list*/) {
    (add_gate<Laws>(call, norms), ...);
  }
  template <class Law>
  void add_gate(const cuda::GateCall& call, const double* norms) {
    if (call.number != cuda::gate_number<Law>) {
      return;
    }
    const auto* const law = static_cast<const Law*>(call.law);
    read(law, 1);
    if (call.squared_norms != norms) {
      read(call.squared_norms, call.branches);
    }
    read(call.scores, call.branches);
    change(call.state, law->state_size(call.branches), "a gate's state");
    write(call.scales, call.branches, "scales");
    write(call.scratch, cuda::gate_scratch(*law, call.branches), "scratch");
  }

  template <class T>
  void read(const T* data, std::int64_t count) {
    read_bytes(data, count * static_cast<std::int64_t>(sizeof(T)));
  }
  void read_bytes(const void* data, std::int64_t bytes) {
    if (data != nullptr && bytes > 0) {
      const auto begin = reinterpret_cast<std::uintptr_t>(data);
      reads_.emplace_back(begin, begin + static_cast<std::uintptr_t>(bytes));
    }
  }
  void write_partials(const double* data, std::int64_t count) {
    enter(data, count, in_part_ ? Access::unwatched : Access::unwritten, "partial sums");
  }
  template <class T>
  void write(const T* data, std::int64_t count, const char* name) {
    enter(data, count, Access::unwritten, name);
  }
  template <class T>
  void change(const T* data, std::int64_t count, const char* name) {
    enter(data, count, Access::written, name);
  }
  template <class T>
  void enter(const T* data, std::int64_t count, Access access, const char* name) {
    const std::int64_t bytes = count * static_cast<std::int64_t>(sizeof(T));
    if (data != nullptr && bytes > 0) {
      machine_->add(data, static_cast<std::size_t>(bytes), bytes > most_watched ? Access::unwatched : access, name);
    }
  }

  /// One tensor may be read as several, or as parts of another.
  void register_reads() {
    std::sort(reads_.begin(), reads_.end());
    for (std::size_t k = 0; k < reads_.size();) {
      auto [begin, end] = reads_[k];
      for (++k; k < reads_.size() && reads_[k].first < end; ++k) {
        end = std::max(end, reads_[k].second);
      }
      machine_->add(reinterpret_cast<const void*>(begin), end - begin, Access::read_only, "what is read");
    }
  }

  Machine* machine_;
  bool in_part_;
  std::vector<std::pair<std::uintptr_t, std::uintptr_t>> reads_;
};

}  // namespace fuller::ptx

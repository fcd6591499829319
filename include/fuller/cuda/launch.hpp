// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include <fuller/cuda/gram.hpp>
#include <fuller/cuda/partition.hpp>
#include <fuller/cuda/requests.hpp>
#include <fuller/cuda/slices.hpp>
#include <fuller/cuda/weighted_sum.hpp>

// From a request to launches: which kernels, how often, with which arguments. A Launcher puts them into a stream of the device,
// or runs them on the host, as the tests do; it has
//
//   bool gram<Kernel>(blocks, GramArguments, RuleCall), norms<Kernel>(blocks, NormArguments, GateCall),
//   bool sum<Kernel>(blocks, SumArguments), scale<Kernel>(blocks, ScaleArguments), call(RuleCall), call(GateCall)

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

/// Blocks for so many units of work; what is more waits its turn. The result does not depend on it.
inline unsigned blocks_for(std::int64_t units) { return static_cast<unsigned>(units < 1 ? 1 : least(units, 4096)); }

/// Calls f with a null pointer of the element type.
template <class F>
bool with_element(Element element, const F& f) {
  switch (element) {
    case Element::float32:
      return f(static_cast<float*>(nullptr));
    case Element::float64:
      return f(static_cast<double*>(nullptr));
    case Element::float16:
      return f(static_cast<Half*>(nullptr));
    case Element::bfloat16:
      return f(static_cast<BFloat16*>(nullptr));
  }
  return false;
}

template <class Launcher>
bool launch_gram(const Launcher& launcher, const GramArguments& arguments, const RuleCall& call) {
  const unsigned blocks = blocks_for(arguments.table.units);
  switch (arguments.table.count) {
    case 2:
      return launcher.template gram<FewTasks<2>>(blocks, arguments, call);
    case 3:
      return launcher.template gram<FewTasks<3>>(blocks, arguments, call);
    case 4:
      return launcher.template gram<FewTasks<4>>(blocks, arguments, call);
    default:
      return launcher.template gram<ManyTasks>(blocks, arguments, call);
  }
}

inline bool is_aligned(const void* address) { return reinterpret_cast<std::uintptr_t>(address) % 16 == 0; }

}  // namespace detail

/// The Gram matrix of T lists of tensors, gram[i * T + j] = sum_k <views_k,i, views_k,j>, and the rule of the call when it is
/// there: one launch for some 90 tensors at T = 2, 5 at T = 64, in tables of 4 KiB. The last block runs one of FusedRules;
/// another is a launch more.
///
/// Products of float, half and bfloat16 are exact, sums are double: |error| <= 1e-12 n_i n_j up to 2^33 elements a tensor.
/// Deterministic, and the same on every device: the order of the sums follows from the shapes alone. Reads each element once.
/// Null tensors count as zeros. Allocates nothing, never waits.
template <class Launcher>
Outcome submit(const GramRequest& request, const Launcher& launcher) {
  std::int64_t total = 0;
  for (int part = 0; part < request.part_count; ++part) {
    if (!detail::fit(request.parts[part])) {
      return Outcome::too_many_dims;
    }
    total += detail::elements_of(request.parts[part]);
  }
  detail::GramArguments arguments;
  arguments.partials = request.workspace + 1;
  arguments.ticket = reinterpret_cast<unsigned*>(request.workspace);
  arguments.gram = request.gram;
  const bool fused = request.rule.number < detail::count_of(FusedRules());
  const std::int64_t unit = detail::unit_size(total, detail::gram_width(request.tasks));
  TensorLists nothing;
  nothing.count = request.tasks;
  const int parts = request.part_count > 0 ? request.part_count : 1;
  for (int part = 0; part < parts; ++part) {
    const TensorLists& lists = request.part_count > 0 ? request.parts[part] : nothing;
    const bool launched = detail::in_tables(lists, unit, arguments.slots, [&](const detail::Table& table, bool last) {
      arguments.table = table;
      arguments.element = lists.element;
      arguments.slots = table.first_slot + table.units;
      arguments.last = last && part + 1 == parts;
      return detail::launch_gram(launcher, arguments, fused ? request.rule : RuleCall{});
    });
    if (!launched) {
      return Outcome::failed;
    }
  }
  return fused || launcher.call(request.rule) ? Outcome::done : Outcome::failed;
}

/// The squared norms of the slices of one dense weight, and the gate of the call when they are there: one launch and one pass for
/// each 8 slices. Exact squares and double sums as in the Gram matrix; deterministic; allocates nothing, never waits.
template <class Launcher>
Outcome submit(const NormRequest& request, const Launcher& launcher) {
  detail::NormArguments arguments;
  arguments.slices = detail::make_slices(request.outer, request.widths, request.slices, request.inner);
  arguments.data = request.weight;
  arguments.aligned = detail::is_aligned(request.weight);
  arguments.unit = detail::unit_size(arguments.slices.n, detail::slices_at_once);
  arguments.partials = request.workspace + 1;
  arguments.ticket = reinterpret_cast<unsigned*>(request.workspace);
  arguments.squared_norms = request.squared_norms;
  const unsigned blocks = detail::blocks_for(detail::ceil_divide(arguments.slices.n, arguments.unit));
  for (int first = 0; first < request.slices; first += detail::slices_at_once) {
    arguments.first = first;
    const int here = request.slices - first;
    const GateCall call = here <= detail::slices_at_once ? request.gate : GateCall{};
    const bool launched = detail::with_element(request.element, [&](auto* element) {
      using E = std::remove_pointer_t<decltype(element)>;
      return here <= 2 ? launcher.template norms<detail::SliceNorms<2, E>>(blocks, arguments, call)
                       : launcher.template norms<detail::SliceNorms<8, E>>(blocks, arguments, call);
    });
    if (!launched) {
      return Outcome::failed;
    }
  }
  return Outcome::done;
}

/// out = sum_i weights[i] x_i for each tensor of the lists, with weights in device memory: one pass. Cotangents that are null or
/// of weight 0 are left out by selection. Float sums for float and half types, double for double. Deterministic; allocates
/// nothing, never waits.
template <class Launcher>
Outcome submit(const SumRequest& request, const Launcher& launcher) {
  if (!detail::fit(request.tensors)) {
    return Outcome::too_many_dims;
  }
  detail::SumArguments arguments;
  arguments.weights = request.weights;
  const std::int64_t unit = detail::unit_size(detail::elements_of(request.tensors), 1);
  const bool launched = detail::in_tables(request.tensors, unit, 0, [&](const detail::Table& table, bool /*last*/) {
    arguments.table = table;
    return detail::with_element(request.tensors.element, [&](auto* element) {
      using E = std::remove_pointer_t<decltype(element)>;
      return launcher.template sum<detail::WeightedSum<E>>(detail::blocks_for(table.units), arguments);
    });
  });
  return launched ? Outcome::done : Outcome::failed;
}

/// out = in, each slice times its scale, with scales in device memory: by selection, 0 gives 0 and 1 the same bits. One pass;
/// allocates nothing, never waits.
template <class Launcher>
Outcome submit(const ScaleRequest& request, const Launcher& launcher) {
  detail::ScaleArguments arguments;
  arguments.slices = detail::make_slices(request.outer, request.widths, request.slices, request.inner);
  arguments.in = request.in;
  arguments.out = request.out;
  arguments.aligned = detail::is_aligned(request.in) && detail::is_aligned(request.out);
  arguments.scales = request.scales;
  const unsigned blocks = detail::blocks_for(detail::ceil_divide(arguments.slices.n, detail::smallest_unit));
  const bool launched = detail::with_element(request.element, [&](auto* element) {
    using E = std::remove_pointer_t<decltype(element)>;
    return launcher.template scale<detail::SliceScales<E>>(blocks, arguments);
  });
  return launched ? Outcome::done : Outcome::failed;
}

/// Runs a rule on evidence that is there already; likewise a gate.
template <class Launcher>
Outcome submit(const RuleCall& call, const Launcher& launcher) {
  return launcher.call(call) ? Outcome::done : Outcome::failed;
}
template <class Launcher>
Outcome submit(const GateCall& call, const Launcher& launcher) {
  return launcher.call(call) ? Outcome::done : Outcome::failed;
}

}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

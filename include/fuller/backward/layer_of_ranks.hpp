// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/agreement.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/tensor/ghost_gram.hpp>
#include <fuller/tensor/ranks.hpp>

// A linear last shared layer, compared without forming its weight's gradients G_i = dy_i^T x: by the rows of x and dy_i, which
// ranks show each other where these are fewer numbers than the gradients.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The input x [N, in] of the linear layer whose weight alone is compared, where the engine can compare by it; else undefined.
inline at::Tensor layer_input(const State& state, const Compared& compared) {
  if (!compared.product.function || !state.engine->compares_layers()) {
    return {};
  }
  const auto& way = compared.product_to_weight;
  if (has_hooks(*compared.product.function) || std::any_of(way.begin(), way.end(), [](Node* node) { return has_hooks(*node); })) {
    return {};
  }
  at::Tensor x = linear_input(*compared.product.function);
  const at::Tensor& weight = compared.parameters.front();
  const bool as_stored =
      x.defined() && x.layout() == at::kStrided && x.device().is_cpu() && x.scalar_type() == weight.scalar_type();
  return as_stored && x.dim() == 2 && x.size(1) > 0 ? x : at::Tensor();
}

/// Notes in `intent` what this rank can show of such a layer.
inline void note_layer(const at::Tensor& x, const Compared& compared, Intent& intent) {
  if (x.defined()) {
    intent.rows = x.size(0);
    intent.inputs = x.size(1);
    intent.outputs = compared.parameters.front().numel() / x.size(1);
  }
}

/// The rows of all ranks, where every rank that has a batch can show its own, and that takes less time than forming the weight's
/// gradients and sends fewer numbers.
inline std::optional<RowsOfRanks> rows_of_ranks(const Agreement& agreed, std::size_t rank) {
  RowsOfRanks rows;
  for (std::size_t r = 0; r < agreed.all().size(); ++r) {
    const Intent& one = agreed.all()[r];
    if (one.gives_zeros()) {
      continue;
    }
    if (one.doing != Doing::fork || one.rows == 0) {
      return std::nullopt;
    }
    rows.before += r < rank ? one.rows : 0;
    rows.count += one.rows;
    rows.inputs = one.inputs;
    rows.outputs = one.outputs;
    rows.type = one.floats > 0 ? at::kFloat : at::kDouble;
  }
  const std::vector<std::uint8_t> present = agreed.present();
  const std::int64_t tasks = std::count(present.begin(), present.end(), 1);
  const bool fewer = rows.count * (rows.inputs + tasks * rows.outputs) < tasks * rows.inputs * rows.outputs;
  return fewer && ghost_pays(rows.count, rows.inputs, rows.outputs, static_cast<int>(tasks)) ? std::optional(rows) : std::nullopt;
}

/// Puts the rows of all ranks into the place of this rank's, one rank's after another's: the layer's input, and for each task
/// that is present on any rank the gradient of its output in the mean of the losses over the ranks.
inline void gather_rows(State& state, const RowsOfRanks& rows, const std::vector<std::uint8_t>& present, StepEvidence& shown) {
  const at::NoGradGuard no_grad;
  const Ranks& ranks = state.options().ranks;
  const std::int64_t tasks = std::count(present.begin(), present.end(), 1);
  std::vector<at::Tensor> table{
      at::zeros({rows.count, rows.inputs + tasks * rows.outputs}, at::TensorOptions().dtype(rows.type))};
  const auto part = [&](std::int64_t from, std::int64_t length) { return table.front().narrow(1, from, length); };
  const auto put = [&](const at::Tensor& values, std::int64_t from, std::int64_t length) {
    part(from, length).narrow(0, rows.before, values.size(0)).copy_(values.detach());
  };
  if (shown.layer_input.defined()) {
    put(shown.layer_input, 0, rows.inputs);
  }
  std::int64_t place = rows.inputs;
  std::vector<std::int64_t> places(present.size(), 0);
  for (std::size_t i = 0; i < present.size(); ++i) {
    if (present[i] != 0) {
      const std::vector<at::Tensor>& mine = shown.gradients[i];
      if (!mine.empty() && mine.front().defined()) {
        put(mine.front().reshape({-1, rows.outputs}), place, rows.outputs);
      }
      places[i] = place;
      place += rows.outputs;
    }
  }
  state.shown.bytes_averaged += static_cast<std::int64_t>(table.front().nbytes());
  average(ranks, table, {"the last layer's input and output gradients", state.engine->steps_begun()});
  shown.layer_input = part(0, rows.inputs) * ranks.count;  // each row was one rank's alone; losses are means over the ranks
  for (std::size_t i = 0; i < present.size(); ++i) {
    shown.gradients[i].clear();  // absent is not zero
    if (present[i] != 0) {
      shown.gradients[i].push_back(part(places[i], rows.outputs));
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

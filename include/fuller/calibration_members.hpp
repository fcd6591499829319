// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/branch_features.hpp>
#include <fuller/backward/branch_scores.hpp>
#include <fuller/backward/branch_updates.hpp>
#include <fuller/backward/describe_modalities.hpp>
#include <fuller/backward/forked_levels.hpp>
#include <fuller/backward/gate_context.hpp>
#include <fuller/backward/idle_step.hpp>
#include <fuller/backward/losses_after.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/names.hpp>
#include <fuller/backward/saved_state.hpp>
#include <fuller/backward/shown.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/backward/summed_losses.hpp>
#include <fuller/calibration.hpp>
#include <fuller/core/error.hpp>
#include <fuller/core/member.hpp>
#include <fuller/describe.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/engines.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/gate_law.hpp>
#include <fuller/engine/host_engines.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/record.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/engine/task_rule.hpp>
#include <fuller/options.hpp>
#include <fuller/snapshot.hpp>
#include <fuller/tensor/fusion_weight.hpp>
#include <fuller/tensor/parameter_names.hpp>

// What the members of Calibration do; what they promise is in calibration.hpp.

namespace fuller {
inline namespace v0_1 {

FULLER_MEMBER void Calibration::make(std::vector<std::string> tasks, detail::TaskRule rule, CalibrationOptions options,
                                     Surface surface, ApplyTo apply_to) {
  detail::Plan plan{std::move(tasks), std::move(rule), std::move(options), surface, apply_to};
  state_ = std::make_shared<detail::State>(std::move(plan));
  engines_ = detail::host_engines();
}

FULLER_MEMBER void Calibration::add_modalities(detail::GateLaw law, std::vector<std::string> names, GateTarget target) {
  auto engine = engines_->gates(law);
  modalities_ = std::make_shared<detail::Modalities>(std::move(law), target, std::move(names), std::move(engine));
  state_->modalities = modalities_;
}

FULLER_MEMBER void Calibration::use(const std::shared_ptr<const Engines>& engines) {
  state_->gathering.expect_complete("use()");
  const std::shared_ptr<const Engines> chosen = engines ? engines : detail::host_engines();
  std::shared_ptr<detail::TaskEngine> of_tasks = chosen->tasks(state_->plan);
  std::shared_ptr<detail::GateEngine> of_gates = modalities_ ? chosen->gates(modalities_->law) : nullptr;
  of_tasks->write(record());
  if (modalities_) {
    of_gates->restore(gates());
    modalities_->engine = std::move(of_gates);
  }
  state_->engine = std::move(of_tasks);
  engines_ = chosen;
}

FULLER_MEMBER std::vector<at::Tensor> Calibration::fork(const Tensor& z, Tensors last_shared) {
  const std::vector<Tensors> of_tasks = fork_levels({z}, std::move(last_shared));
  Tensors outputs;
  std::transform(of_tasks.begin(), of_tasks.end(), std::back_inserter(outputs), [](const Tensors& one) { return one.front(); });
  return outputs;
}

FULLER_MEMBER std::vector<Calibration::Tensors> Calibration::fork_levels(const Tensors& levels, Tensors last_shared) {
  expect_no_exception();
  return detail::forked_levels(state_, levels, std::move(last_shared));
}

FULLER_MEMBER void Calibration::name_parameter(const std::string& prefix, const std::string& name, const Tensor& parameter) {
  if (parameter.defined()) {
    state_->names->insert(prefix, name, parameter);
  }
}

FULLER_MEMBER void Calibration::head(const std::string& task, Tensors parameters) {
  const std::size_t of = index_of(task);
  detail::expect_parameters(task, parameters);
  state_->named_heads[of] = std::move(parameters);
}

FULLER_MEMBER at::Tensor Calibration::sum(const Tensors& losses) {
  expect_no_exception();
  expect_gates_applied();
  return detail::summed_losses(state_, losses);
}

FULLER_MEMBER at::Tensor Calibration::sum(std::initializer_list<std::pair<std::string, Tensor>> losses) {
  if (losses.size() == 0) {
    detail::fail("sum() got no losses; the tasks are ", detail::listed(detail::joined(state_->tasks())));
  }
  return sum_named(NamedTensors(losses));
}

FULLER_MEMBER std::vector<at::Tensor> Calibration::gate(const Tensors& branches, const FusionWeight& fusion) {
  detail::Modalities& all = expect_modalities(branches.size());
  expect_gates_applied();
  detail::note_widths(all, branches, fusion);
  return detail::gated(detail::GateContext(state_), modalities_, branches, detail::FusionReads(fusion, all.widths));
}

FULLER_MEMBER std::vector<at::Tensor> Calibration::gate(const Tensors& branches, const Tensors& fusion) {
  std::vector<FusionWeight> weights;
  for (const Tensor& weight : fusion) {
    weights.emplace_back(weight);
  }
  return gate(branches, weights);
}

FULLER_MEMBER std::vector<at::Tensor> Calibration::gate(const Tensors& branches, const std::vector<FusionWeight>& fusion) {
  expect_modalities(branches.size());
  expect_gates_applied();
  if (fusion.size() != branches.size()) {
    detail::fail("gate() got ", fusion.size(), " fusion weights for ", branches.size(),
                 " branches; give one for each, or the one weight that reads them all");
  }
  return detail::gated(detail::GateContext(state_), modalities_, branches, detail::FusionReads(fusion));
}

FULLER_MEMBER void Calibration::scores(const Tensors& of_branches) {
  detail::note_scores(expect_modalities(of_branches.size()), of_branches);
}

FULLER_MEMBER void Calibration::scores(const std::vector<double>& of_branches) {
  detail::note_scores(expect_modalities(of_branches.size()), of_branches);
}

FULLER_MEMBER void Calibration::scores(const Tensor& of_branches) { scores(detail::listed_scores(of_branches)); }

FULLER_MEMBER void Calibration::step_by(const std::function<void()>& take_step, const std::vector<Tensors>& branches) {
  detail::Modalities& all = expect_modalities(branches.size());
  if (all.target == GateTarget::update) {
    detail::expect_apart(branches);
    all.pending.expect_applied(all.names);
    all.pending.expect_lists(branches, all.names);
  }
  // Gates are those of the last backward: one that passed none gates nothing.
  if (all.target == GateTarget::update && all.moved_in == state_->backwards) {
    detail::step_gated(take_step, branches, *all.engine);
    all.pending.clear();
  } else {
    take_step();
  }
}

FULLER_MEMBER void Calibration::losses_after(const Tensors& losses) {
  detail::Record known = record();
  detail::learn_after(*state_->plan, losses, known.memory);
  state_->engine->write(known);
}

FULLER_MEMBER void Calibration::accumulate(std::int64_t micro_batches) {
  if (micro_batches < 1) {
    detail::fail("accumulate(", micro_batches, "): a step is made of 1 micro-batch or more");
  }
  const detail::TaskRule& rule = state_->plan->rule;
  if (micro_batches > 1 && rule.sign_drop() != nullptr) {
    detail::fail("accumulate(", micro_batches, "): '", rule.name(),
                 "' chooses element by element of z, each of which belongs to one ",
                 "micro-batch, and has no weights to wait for; leave the call out, or choose a rule of weights");
  }
  if (micro_batches > 1 && state_->options().memory == TaskMemory::layer_by_layer) {
    detail::fail("accumulate(", micro_batches, "): options.memory is TaskMemory::layer_by_layer, which keeps no task gradients, ",
                 "and micro-batches add them up; choose TaskMemory::all_layers, or another surface");
  }
  state_->drop_gathered("accumulate() was called in the middle of a step");
  state_->gathering.count = micro_batches;
}

FULLER_MEMBER void Calibration::idle_step() {
  detail::refusing_together(*state_, [&] { state_->gathering.expect_complete("idle_step()"); });
  detail::idle_step(*state_);
}

FULLER_MEMBER void Calibration::end_epoch() { state_->engine->end_epoch(); }

FULLER_MEMBER std::int64_t Calibration::steps() const { return record().memory.steps; }

FULLER_MEMBER Diagnostics Calibration::diagnostics() const {
  const detail::Record known = record();
  const detail::GateMemory of_gates = gates();
  state_->engine->expect_finite();
  Diagnostics out;
  detail::describe_tasks(*state_->plan, *state_->names, state_->shown, known, out);
  if (modalities_) {
    detail::describe_modalities(modalities_->names, modalities_->law.norm(), modalities_->shown, of_gates, out);
  }
  return out;
}

FULLER_MEMBER std::string Calibration::describe() const {
  return "rule " + state_->plan->rule.name() + ", " + fuller::describe(diagnostics());
}

FULLER_MEMBER Snapshot Calibration::snapshot() const { return Snapshot(*state_, modalities_.get()); }

FULLER_MEMBER std::vector<std::pair<const char*, at::Tensor>> Calibration::saved() const {
  state_->gathering.expect_complete("save()");
  const detail::Record known = record();
  return detail::saved_state(*state_->plan, known.memory, modalities_.get(), gates());
}

FULLER_MEMBER void Calibration::restore(const std::function<Tensor(const char*)>& read) {
  detail::Record known = record();  // what the archive does not hold stays
  detail::restore_state(read, *state_->plan, known.memory, modalities_.get(), gates());
  state_->engine->write(known);
  state_->drop_gathered("a state was loaded in the middle of a step");
  if (modalities_) {
    modalities_->pending.clear();
  }
}

FULLER_MEMBER detail::Record Calibration::record() const {
  detail::Record known = state_->engine->read();
  state_->engine->expect_no_exception();
  return known;
}

FULLER_MEMBER detail::GateMemory Calibration::gates() const {
  if (!modalities_) {
    return {};
  }
  detail::GateMemory known = modalities_->engine->read();
  modalities_->engine->expect_no_exception();
  return known;
}

FULLER_MEMBER void Calibration::expect_no_exception() const {
  state_->engine->expect_no_exception();
  if (modalities_) {
    modalities_->engine->expect_no_exception();
  }
}

FULLER_MEMBER void Calibration::expect_gates_applied() {
  if (modalities_ && at::GradMode::is_enabled()) {
    modalities_->pending.expect_applied(modalities_->names);
  }
}

FULLER_MEMBER void Calibration::expect_tasks(std::size_t count) const {
  if (const std::size_t tasks = state_->tasks().size(); tasks != count) {
    detail::fail("fork<", count, ">() of a calibration of ", tasks, " tasks; write fork<", tasks, ">()");
  }
}

FULLER_MEMBER at::Tensor Calibration::sum_named(const NamedTensors& losses) {
  Tensors in_order(state_->tasks().size());
  std::vector<bool> given(state_->tasks().size(), false);
  for (const auto& [name, loss] : losses) {
    const std::size_t task = index_of(name);
    if (given[task]) {
      detail::fail("sum() got two losses for '", name,
                   "'; add them, or give each a task of its own: ", detail::listed(detail::joined(state_->tasks())));
    }
    given[task] = true;
    in_order[task] = loss;
  }
  return sum(in_order);
}

FULLER_MEMBER std::size_t Calibration::index_of(const std::string& task) const {
  for (std::size_t i = 0; i < state_->tasks().size(); ++i) {
    if (state_->tasks()[i] == task) {
      return i;
    }
  }
  detail::fail("no task is called '", task, "'; there are ", detail::listed(detail::joined(state_->tasks())));
}

FULLER_MEMBER detail::Modalities& Calibration::expect_modalities(std::size_t branches) {
  if (!modalities_) {
    detail::fail("name the modalities first: calibration.modalities(fuller::ModalityGate(), {\"lidar\", \"camera\"})");
  }
  if (branches != modalities_->names.size()) {
    detail::fail("got ", branches, " branches for ", modalities_->names.size(),
                 " modalities; pass an undefined tensor for one that is absent");
  }
  return *modalities_;
}

}  // namespace v0_1
}  // namespace fuller

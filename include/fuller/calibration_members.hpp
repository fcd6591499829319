// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/branch_features.hpp>
#include <fuller/backward/branch_updates.hpp>
#include <fuller/backward/describe_modalities.hpp>
#include <fuller/backward/gate_context.hpp>
#include <fuller/backward/idle_step.hpp>
#include <fuller/backward/losses_after.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/saved_state.hpp>
#include <fuller/backward/shown.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/backward/summed_losses.hpp>
#include <fuller/calibration.hpp>
#include <fuller/core/error.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/engines.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/gate_law.hpp>
#include <fuller/engine/host_engines.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/record.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/engine/task_rule.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/options.hpp>
#include <fuller/tensor/fusion_weight.hpp>
#include <fuller/tensor/parameter_names.hpp>

// What the members of Calibration do; what they promise is in calibration.hpp.

namespace fuller {
inline namespace v0_1 {

template <class Rule>
Calibration::Calibration(Rule rule, std::vector<std::string> tasks, CalibrationOptions options) {
  static_assert(
      is_rule<Rule>::value,
      "not a rule: see fuller/calibrators/rule.hpp; a plain function of Eigen maps becomes one as fuller::EigenRule{f}");
  detail::expect_names(tasks, "task");
  const auto count = static_cast<int>(tasks.size());
  WeightingOptions policies;
  policies.missing = options.missing;
  policies.non_finite = options.non_finite;
  policies.stage = options.stage;
  policies.before = options.before;
  policies.after = options.after;
  policies.zero_below = options.zero_below;
  policies.every = options.every;
  policies.smoothing = options.smoothing;
  const Surface surface = options.surface.value_or(Rule::default_surface);
  const ApplyTo apply_to = options.apply_to.value_or(Rule::default_apply_to);
  detail::expect_sense<Rule>(options, surface);
  if (detail::rule_drops_signs<Rule>::value && surface != Surface::representation) {
    detail::fail(Rule::name,
                 " drops signs element by element where the gradients of the tasks meet, at Surface::representation; ",
                 "leave options.surface out, or choose a rule of weights for this one, as fuller::PCGrad() or fuller::IMTL_G()");
  }
  detail::Plan plan{std::move(tasks), detail::TaskRule(std::move(rule), count, policies), std::move(options), surface, apply_to};
  state_ = std::make_shared<detail::State>(std::move(plan));
}

template <class Law>
void Calibration::modalities(Law law, std::vector<std::string> names, GateTarget target) {
  static_assert(is_gate<Law>::value,
                "not a gate law: see fuller/gates/law.hpp for what one has; FULLER's is fuller::ModalityGate(options)");
  if (names.size() < 2) {
    detail::fail("modalities() needs two names or more, got ", names.size(), ": gates compare branches; leave it out for one");
  }
  detail::expect_names(names, "modality");
  detail::GateLaw any(std::move(law), static_cast<int>(names.size()));
  auto engine = engines_->gates(any);
  modalities_ = std::make_shared<detail::Modalities>(std::move(any), target, std::move(names), std::move(engine));
  state_->modalities = modalities_;
}

inline void Calibration::use(const std::shared_ptr<const Engines>& engines) {
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

inline std::vector<at::Tensor> Calibration::fork(const Tensor& z, Tensors last_shared) {
  const std::vector<Tensors> of_tasks = fork_levels({z}, std::move(last_shared));
  Tensors outputs;
  std::transform(of_tasks.begin(), of_tasks.end(), std::back_inserter(outputs), [](const Tensors& one) { return one.front(); });
  return outputs;
}

template <class Named>
void Calibration::name_parameters(const Named& named, const std::string& prefix) {
  static_assert(detail::holds_named_tensors<Named>::value, "names with tensors are needed: model->named_parameters()");
  detail::for_each_named(named, [&](const std::string& name, const Tensor& parameter) {
    if (parameter.defined()) {
      state_->names->insert(prefix, name, parameter);
    }
  });
}

inline void Calibration::head(const std::string& task, Tensors parameters) {
  const std::size_t of = index_of(task);
  detail::expect_parameters(task, parameters);
  state_->named_heads[of] = std::move(parameters);
}

inline at::Tensor Calibration::sum(const Tensors& losses) {
  expect_no_exception();
  expect_gates_applied();
  return detail::summed_losses(state_, losses);
}

inline at::Tensor Calibration::sum(std::initializer_list<std::pair<std::string, Tensor>> losses) {
  if (losses.size() == 0) {
    detail::fail("sum() got no losses; the tasks are ", detail::listed(detail::joined(state_->tasks())));
  }
  return sum_named(losses);
}

inline std::vector<at::Tensor> Calibration::gate(const Tensors& branches, const FusionWeight& fusion) {
  detail::Modalities& all = expect_modalities(branches);
  expect_gates_applied();
  detail::note_widths(all, branches, fusion);
  return detail::gated(detail::GateContext(state_), modalities_, branches, detail::FusionReads(fusion, all.widths));
}

inline std::vector<at::Tensor> Calibration::gate(const Tensors& branches, const Tensors& fusion) {
  std::vector<FusionWeight> weights;
  for (const Tensor& weight : fusion) {
    weights.emplace_back(weight);
  }
  return gate(branches, weights);
}

inline std::vector<at::Tensor> Calibration::gate(const Tensors& branches, const std::vector<FusionWeight>& fusion) {
  expect_modalities(branches);
  expect_gates_applied();
  if (fusion.size() != branches.size()) {
    detail::fail("gate() got ", fusion.size(), " fusion weights for ", branches.size(),
                 " branches; give one for each, or the one weight that reads them all");
  }
  return detail::gated(detail::GateContext(state_), modalities_, branches, detail::FusionReads(fusion));
}

template <class Optimizer>
void Calibration::step(Optimizer& optimizer, const std::vector<Tensors>& branches) {
  detail::Modalities& all = expect_modalities(branches);
  if (all.target == GateTarget::update) {
    detail::expect_apart(branches);
    all.pending.expect_applied(all.names);
    all.pending.expect_lists(branches, all.names);
  }
  // Gates are those of the last backward: one that passed none gates nothing.
  if (all.target == GateTarget::update && all.moved_in == state_->backwards) {
    detail::step_gated(optimizer, branches, *all.engine);
    all.pending.clear();
  } else {
    optimizer.step();
  }
}

inline void Calibration::losses_after(const Tensors& losses) {
  detail::Record known = record();
  detail::learn_after(*state_->plan, losses, known.memory);
  state_->engine->write(known);
}

inline void Calibration::accumulate(std::int64_t micro_batches) {
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

inline void Calibration::idle_step() {
  detail::refusing_together(*state_, [&] { state_->gathering.expect_complete("idle_step()"); });
  detail::idle_step(*state_);
}

inline Diagnostics Calibration::diagnostics() const {
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

template <class Archive>
void Calibration::load(Archive& archive) {
  detail::Record known = record();  // what the archive does not hold stays
  detail::read_state(archive, *state_->plan, known.memory, modalities_.get(), gates());
  state_->engine->write(known);
  state_->drop_gathered("a state was loaded in the middle of a step");
  if (modalities_) {
    modalities_->pending.clear();
  }
}

inline detail::Record Calibration::record() const {
  detail::Record known = state_->engine->read();
  state_->engine->expect_no_exception();
  return known;
}

inline detail::GateMemory Calibration::gates() const {
  if (!modalities_) {
    return {};
  }
  detail::GateMemory known = modalities_->engine->read();
  modalities_->engine->expect_no_exception();
  return known;
}

inline void Calibration::expect_no_exception() const {
  state_->engine->expect_no_exception();
  if (modalities_) {
    modalities_->engine->expect_no_exception();
  }
}

inline void Calibration::expect_gates_applied() {
  if (modalities_ && at::GradMode::is_enabled()) {
    modalities_->pending.expect_applied(modalities_->names);
  }
}

template <std::size_t N, class Item>
std::array<Item, N> Calibration::to_array(std::vector<Item> items) {
  std::array<Item, N> array;
  std::move(items.begin(), items.end(), array.begin());
  return array;
}

inline void Calibration::expect_tasks(std::size_t count) const {
  if (const std::size_t tasks = state_->tasks().size(); tasks != count) {
    detail::fail("fork<", count, ">() of a calibration of ", tasks, " tasks; write fork<", tasks, ">()");
  }
}

template <class Named>
at::Tensor Calibration::sum_named(const Named& losses) {
  Tensors in_order(state_->tasks().size());
  std::vector<bool> given(state_->tasks().size(), false);
  detail::for_each_named(losses, [&](const std::string& name, const Tensor& loss) {
    const std::size_t task = index_of(name);
    if (given[task]) {
      detail::fail("sum() got two losses for '", name,
                   "'; add them, or give each a task of its own: ", detail::listed(detail::joined(state_->tasks())));
    }
    given[task] = true;
    in_order[task] = loss;
  });
  return sum(in_order);
}

inline std::size_t Calibration::index_of(const std::string& task) const {
  for (std::size_t i = 0; i < state_->tasks().size(); ++i) {
    if (state_->tasks()[i] == task) {
      return i;
    }
  }
  detail::fail("no task is called '", task, "'; there are ", detail::listed(detail::joined(state_->tasks())));
}

template <class List>
detail::Modalities& Calibration::expect_modalities(const List& branches) {
  if (!modalities_) {
    detail::fail("name the modalities first: calibration.modalities(fuller::ModalityGate(), {\"lidar\", \"camera\"})");
  }
  if (branches.size() != modalities_->names.size()) {
    detail::fail("got ", branches.size(), " branches for ", modalities_->names.size(),
                 " modalities; pass an undefined tensor for one that is absent");
  }
  return *modalities_;
}

}  // namespace v0_1
}  // namespace fuller

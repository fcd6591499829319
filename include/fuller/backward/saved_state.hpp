// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <fuller/backward/modalities.hpp>
#include <fuller/backward/names.hpp>
#include <fuller/calibrators/loss_stage.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/record.hpp>
#include <fuller/gates/modality_gate.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline constexpr std::int64_t state_version = 1;

inline at::Tensor to_tensor(const std::vector<double>& values) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())}, at::kDouble);
  if (!values.empty()) {
    std::memcpy(tensor.data_ptr(), values.data(), values.size() * sizeof(double));
  }
  return tensor;
}

inline at::Tensor to_tensor(const std::vector<std::int64_t>& values) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::memcpy(tensor.data_ptr(), values.data(), values.size() * sizeof(std::int64_t));
  return tensor;
}

inline at::Tensor to_tensor(const std::string& text) {
  at::Tensor tensor = at::empty({static_cast<std::int64_t>(text.size())}, at::kByte);
  if (!text.empty()) {
    std::memcpy(tensor.data_ptr(), text.data(), text.size());
  }
  return tensor;
}

inline std::string to_text(const at::Tensor& tensor) {
  const at::Tensor bytes = tensor.to(at::kCPU, at::kByte).contiguous();
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<std::size_t>(bytes.numel())};
}

/// Copies a saved list of doubles over `values`, which has the length it must have.
inline void restore(const at::Tensor& saved, const char* what, std::vector<double>& values) {
  if (saved.numel() != static_cast<std::int64_t>(values.size())) {
    fail("the saved ", what, " has ", saved.numel(), " numbers, this calibration's has ", values.size(),
         "; load into a calibration made with the same rule and options");
  }
  const at::Tensor numbers = saved.to(at::kCPU, at::kDouble).contiguous();
  if (!values.empty()) {
    std::memcpy(values.data(), numbers.data_ptr(), values.size() * sizeof(double));
  }
}

/// Refuses a saved state that belongs to something else.
inline void expect_same(const at::Tensor& saved, const std::string& mine, const char* what) {
  const std::string theirs = to_text(saved);
  if (theirs != mine) {
    fail("the ", what, " of the saved calibration: ", listed(theirs), "; of this one: ", listed(mine),
         "; load into a calibration made as the saved one was");
  }
}

/// A tensor of an archive by its name; throws where there is none.
using ReadTensor = std::function<at::Tensor(const char*)>;

/// Reads the version, which tells a saved calibration from other archives.
inline std::int64_t version_of(const ReadTensor& read) {
  at::Tensor version;
  try {
    version = read("version");
  } catch (const std::exception&) {
    fail("the archive holds no calibration; load what torch::save(calibration, path) wrote");
  }
  return version.item<std::int64_t>();
}

/// The name of the saved gate law. Archives of versions that knew one law alone have no entry for it.
inline std::string law_in(const ReadTensor& read) {
  at::Tensor name;
  try {
    name = read("gate_law");
  } catch (const std::exception&) {
    return ModalityGate::name;
  }
  return to_text(name);
}

/// Refuses the factors of another loss stage: there are as many, and they mean something else.
inline void expect_same_stage(const ReadTensor& read, LossStage mine) {
  if (mine == LossStage::none) {
    return;  // then the state has another length
  }
  at::Tensor name;
  try {
    name = read("loss_stage");
  } catch (const std::exception&) {
    return;
  }
  if (const std::string saved = to_text(name); saved != name_of(mine)) {
    fail("the loss stage of the saved calibration: '", saved, "'; of this one: '", name_of(mine),
         "'; load into a calibration made as the saved one was");
  }
}

/// All that a calibration keeps from step to step, under plain names.
inline std::vector<std::pair<const char*, at::Tensor>> saved_state(const Plan& plan, const Memory& memory,
                                                                   const Modalities* modalities, const GateMemory& gates) {
  std::vector<std::pair<const char*, at::Tensor>> saved = {
      {"version", to_tensor(std::vector<std::int64_t>{state_version})},
      {"rule", to_tensor(plan.rule.name())},
      {"tasks", to_tensor(joined(plan.tasks))},
      {"counters", to_tensor(std::vector<std::int64_t>{memory.steps, memory.epochs})},
      {"state", to_tensor(memory.rule)},
      {"modalities", to_tensor(modalities == nullptr ? std::string() : joined(modalities->names))},
      {"gate_state", to_tensor(gates.state)},
      {"gates", to_tensor(gates.scales)}};
  if (modalities != nullptr) {
    saved.emplace_back("gate_law", to_tensor(modalities->law.name()));
  }
  if (plan.options.stage != LossStage::none) {
    saved.emplace_back("loss_stage", to_tensor(std::string(name_of(plan.options.stage))));
  }
  return saved;
}

/// Takes over what saved_state() gave. Nothing is changed unless all of it fits.
/// @throws Error for another rule or gate law, other tasks or modalities, another version, an archive of something else, or
/// numbers that no steps can have left.
inline void restore_state(const ReadTensor& read, const Plan& plan, Memory& memory, Modalities* modalities, GateMemory gates) {
  const std::int64_t version = version_of(read);
  if (version != state_version) {
    fail("the saved calibration has format ", version, "; this library reads format ", state_version,
         "; load it with the version that wrote it, or begin anew");
  }
  expect_same(read("rule"), plan.rule.name(), "rule");
  expect_same(read("tasks"), joined(plan.tasks), "tasks");
  expect_same(read("modalities"), modalities == nullptr ? std::string() : joined(modalities->names), "modalities");
  expect_same_stage(read, plan.options.stage);
  std::vector<double> rule_state(plan.rule.state_size());
  restore(read("state"), "state of the rule", rule_state);
  plan.rule.check_state(rule_state);
  std::vector<double> counters{0, 0};
  restore(read("counters"), "counters", counters);
  constexpr double most = 1e15;
  if (!(counters[0] >= 0 && counters[0] < most && counters[1] >= 0 && counters[1] < most)) {
    fail("the saved calibration counts ", counters[0], " steps and ", counters[1],
         " epochs; the file is damaged, load an earlier one");
  }
  if (modalities != nullptr) {
    if (const std::string saved = law_in(read); saved != modalities->law.name()) {
      fail("the gate law of the saved calibration: '", saved, "'; of this one: '", modalities->law.name(),
           "'; load into a calibration made as the saved one was");
    }
    restore(read("gate_state"), "state of the gate", gates.state);
    restore(read("gates"), "list of gates", gates.scales);
    modalities->law.check_state(gates.state);
    modalities->law.check_scales(gates.scales);
    modalities->engine->restore(gates);
  }
  memory.steps = static_cast<std::int64_t>(counters[0]);
  memory.epochs = static_cast<std::int64_t>(counters[1]);
  memory.rule = std::move(rule_state);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

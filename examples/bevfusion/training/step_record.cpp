// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/step_record.hpp"

#include <cmath>

#include <nlohmann/json.hpp>

namespace bevfusion {
namespace {

/// Pairs up names and values, without those that were not measured.
NamedValues named(const std::vector<std::string>& names, const std::vector<double>& values) {
  NamedValues out;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isnan(values[i])) {
      out.emplace_back(names[i], values[i]);
    }
  }
  return out;
}

double mean_off_diagonal(const std::vector<double>& cosines, std::size_t count) {
  double sum = 0;
  double pairs = 0;
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (cosines.size() == count * count && std::isfinite(cosines[i * count + j])) {
        sum += cosines[i * count + j];
        pairs += 1;
      }
    }
  }
  return pairs > 0 ? sum / pairs : StepRecord::none;
}

nlohmann::ordered_json object(const NamedValues& values) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const auto& [name, value] : values) {
    out[name] = value;
  }
  return out;
}

}  // namespace

void StepRecord::add(const fuller::Diagnostics& seen, bool tasks) {
  if (tasks) {
    weights = named(seen.tasks, seen.weights);
    norms = named(seen.tasks, seen.norms);
    cosine = mean_off_diagonal(seen.cosines, seen.tasks.size());
    conflict_share = seen.conflict_share;
    gamma_task = seen.gamma_task;
    gamma_task_weighted = seen.gamma_task_weighted;
  }
  gates = named(seen.modalities, seen.gates);
  gamma_modal = seen.gamma_modal;
}

std::string StepRecord::json() const {
  nlohmann::ordered_json out;
  out["kind"] = "step";
  out["epoch"] = epoch;
  out["step"] = step;
  out["loss"] = loss;  // NaN becomes null
  out["losses"] = object(losses);
  out["learning_rate"] = learning_rate;
  out["gradient_norm"] = gradient_norm;
  const auto measured = [&out](const char* name, double value) {
    if (!std::isnan(value)) {
      out[name] = value;
    }
  };
  const auto measured_list = [&out](const char* name, const NamedValues& values) {
    if (!values.empty()) {
      out[name] = object(values);
    }
  };
  measured_list("weights", weights);
  measured_list("norms", norms);
  measured("cosine", cosine);
  measured("conflict_share", conflict_share);
  measured("gamma_task", gamma_task);
  measured("gamma_task_weighted", gamma_task_weighted);
  measured("gamma_modal", gamma_modal);
  measured_list("gates", gates);
  measured("loss_scale", loss_scale);
  if (skipped) {
    out["skipped"] = true;
  }
  out["seconds"] = seconds;
  out["waited"] = waited;
  return out.dump();
}

NamedValues StepRecord::scalars() const {
  NamedValues out;
  const auto one = [&out](const std::string& tag, double value) {
    if (!std::isnan(value)) {
      out.emplace_back(tag, value);
    }
  };
  const auto list = [&one](const std::string& tag, const NamedValues& values) {
    for (const auto& [name, value] : values) {
      one(tag + "/" + name, value);
    }
  };
  one("loss/total", loss);
  list("loss", losses);
  one("schedule/learning_rate", learning_rate);
  one("gradient/norm", gradient_norm);
  list("calibration/weight", weights);
  list("calibration/norm", norms);
  one("calibration/cosine", cosine);
  one("calibration/conflict_share", conflict_share);
  one("calibration/gamma_task", gamma_task);
  one("calibration/gamma_task_weighted", gamma_task_weighted);
  one("calibration/gamma_modal", gamma_modal);
  list("calibration/gate", gates);
  one("gradient/loss_scale", loss_scale);
  one("time/seconds", seconds);
  one("time/waited", waited);
  return out;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/step_record.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

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

/// The value at a name; NaN where it was not measured.
double value_of(const std::vector<std::string>& names, const std::vector<double>& values, const std::string& name) {
  const auto at = static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  return at < values.size() ? values[at] : StepRecord::none;
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

std::optional<std::pair<std::string, std::string>> gamma_pair(const std::vector<std::string>& tasks) {
  if (tasks.size() < 2) {
    return std::nullopt;
  }
  const bool segmented = std::find(tasks.begin() + 1, tasks.end(), "segmentation") != tasks.end();
  return std::make_pair(tasks.front(), segmented ? "segmentation" : tasks[1]);
}

void StepRecord::add(const fuller::Diagnostics& seen, bool tasks, const std::string& tower) {
  if (tasks) {
    weights = named(seen.tasks, seen.weights);
    norms = named(seen.tasks, seen.norms);
    cosine = mean_off_diagonal(seen.cosines, seen.tasks.size());
    conflict_share = seen.conflict_share;
    if (const auto pair = gamma_pair(seen.tasks)) {
      const auto of = [&seen](const std::string& name, const std::vector<double>& values) {
        return value_of(seen.tasks, values, name);
      };
      gamma_task = of(pair->first, seen.norms) / of(pair->second, seen.norms);
      gamma_task_weighted = gamma_task * std::abs(of(pair->first, seen.weights) / of(pair->second, seen.weights));
    }
    if (seen.tasks.size() > 2) {
      gamma_task_spread = seen.gamma_task;
    }
  }
  std::vector<std::string> branches = seen.modalities;
  if (tower.empty()) {
    gamma_modal = value_of(branches, seen.branch_norms, "lidar") / value_of(branches, seen.branch_norms, "camera");
  } else {
    std::for_each(branches.begin(), branches.end(), [&tower](std::string& name) { name.insert(0, tower + "/"); });
  }
  for (const auto& one : named(branches, seen.branch_norms)) {
    branch_norms.push_back(one);
  }
  for (const auto& one : named(branches, seen.gates)) {
    gates.push_back(one);
  }
}

void StepRecord::add_taught(const std::vector<std::string>& tasks, const std::vector<double>& terms) {
  for (const auto& one : named(tasks, terms)) {
    taught.push_back(one);
  }
}

void StepRecord::add_twins(const std::vector<std::string>& tasks, const std::vector<double>& of_twins) {
  for (const auto& one : named(tasks, of_twins)) {
    twins.push_back(one);
  }
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
  measured_list("taught", taught);
  measured_list("twins", twins);
  measured_list("weights", weights);
  measured_list("norms", norms);
  measured("cosine", cosine);
  measured("conflict_share", conflict_share);
  measured("gamma_task", gamma_task);
  measured("gamma_task_weighted", gamma_task_weighted);
  measured("gamma_task_spread", gamma_task_spread);
  measured("gamma_modal", gamma_modal);
  measured_list("branch_norms", branch_norms);
  measured_list("gates", gates);
  measured("loss_scale", loss_scale);
  if (skipped) {
    out["skipped"] = true;
  }
  out["seconds"] = seconds;
  out["waited"] = waited;
  measured("peak_memory", peak_memory);
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
  list("distillation", taught);
  list("twin_loss", twins);
  one("schedule/learning_rate", learning_rate);
  one("gradient/norm", gradient_norm);
  list("calibration/weight", weights);
  list("calibration/norm", norms);
  one("calibration/cosine", cosine);
  one("calibration/conflict_share", conflict_share);
  one("calibration/gamma_task", gamma_task);
  one("calibration/gamma_task_weighted", gamma_task_weighted);
  one("calibration/gamma_task_spread", gamma_task_spread);
  one("calibration/gamma_modal", gamma_modal);
  list("calibration/branch_norm", branch_norms);
  list("calibration/gate", gates);
  one("gradient/loss_scale", loss_scale);
  one("time/seconds", seconds);
  one("time/waited", waited);
  one("memory/peak", peak_memory);
  return out;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/mask_thresholds.hpp"

#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace bevfusion {
namespace {

/// @param masks  a task's part of an evaluation
std::vector<MaskThreshold> thresholds_in(const nlohmann::json& masks, const std::vector<std::string>& names) {
  std::vector<MaskThreshold> out(names.size());
  for (std::size_t c = 0; c < names.size(); ++c) {
    const nlohmann::json threshold = masks.value(names[c], nlohmann::json::object()).value("threshold", nlohmann::json());
    if (threshold.is_number()) {
      out[c] = {threshold.get<float>(), true};
    }
  }
  return out;
}

}  // namespace

MaskThresholds picked_thresholds(const std::filesystem::path& evaluation, const MaskNames& names) {
  nlohmann::json json = nlohmann::json::object();
  std::ifstream in(evaluation);
  try {
    if (in) {
      json = nlohmann::json::parse(in);
    }
    MaskThresholds picked;
    for (const auto& [task, masks] : names) {
      picked[task] = thresholds_in(json.value(task, nlohmann::json::object()), masks);
    }
    return picked;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(evaluation.string() + ": " + error.what() +
                             "; bevfusion eval writes it anew, --mask-threshold does without it");
  }
}

MaskThresholds same_thresholds(float value, const MaskNames& names) {
  MaskThresholds same;
  for (const auto& [task, masks] : names) {
    same[task].assign(masks.size(), {value, false});
  }
  return same;
}

}  // namespace bevfusion

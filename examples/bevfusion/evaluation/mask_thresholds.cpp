// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/mask_thresholds.hpp"

#include <fstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace bevfusion {
namespace {

/// @param masks  "segmentation" or "foreground" of an evaluation
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

MaskThresholds picked_thresholds(const std::filesystem::path& evaluation, const std::vector<std::string>& map_names,
                                 const std::vector<std::string>& foreground_names) {
  nlohmann::json json = nlohmann::json::object();
  std::ifstream in(evaluation);
  try {
    if (in) {
      json = nlohmann::json::parse(in);
    }
    return {thresholds_in(json.value("segmentation", nlohmann::json::object()), map_names),
            thresholds_in(json.value("foreground", nlohmann::json::object()), foreground_names)};
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(evaluation.string() + ": " + error.what() +
                             "; bevfusion eval writes it anew, --mask-threshold does without it");
  }
}

MaskThresholds same_thresholds(float value, std::size_t map_classes, std::size_t foreground_masks) {
  return {std::vector<MaskThreshold>(map_classes, {value, false}), std::vector<MaskThreshold>(foreground_masks, {value, false})};
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/figures_json.hpp"

namespace bevfusion {

using Json = nlohmann::ordered_json;

Json headline_json(const EvaluationFigures& figures) {
  Json out = Json::object();
  for (const auto& task : figures.tasks) {
    for (const auto& [name, value] : task.second->headline()) {
      out[name] = value;
    }
  }
  return out;
}

Json figures_json(const EvaluationFigures& figures, const std::vector<std::string>& without) {
  Json out = {{"without", without}, {"samples", figures.samples}, {"not_finite", figures.not_finite}};
  out.update(headline_json(figures));
  for (const auto& task : figures.tasks) {
    task.second->add_details(out);
  }
  return out;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/number_task.hpp"

#include <cmath>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/heads/pooled_head.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

void NumberTask::check(const RunConfig& config, const Kinds&) const {
  const double squares = config.model.parts.tasks.number(name(), "squares");
  require(std::floor(squares) == squares, "tasks.", name(), ".squares is ", squares, "; a whole number is needed");
}

std::shared_ptr<torch::nn::Module> NumberTask::make_head(const ModelConfig& config, const Kinds&, std::int64_t channels) const {
  return std::make_shared<PooledHeadImpl>(channels, static_cast<std::int64_t>(config.parts.tasks.number(name(), "squares")), 1);
}

std::any NumberTask::forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig&, const LabelSets&) const {
  return meant(head_as<PooledHeadImpl>(head).forward(shared).squeeze(1));
}

std::vector<torch::Tensor> NumberTask::losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                              const RunConfig& config) const {
  const auto& all = std::any_cast<const torch::Tensor&>(said);
  const auto labels = batch.batch.labels.find(name());
  std::vector<torch::Tensor> of;
  std::vector<torch::Tensor> there;
  for (std::size_t b = 0; labels != batch.batch.labels.end() && b < labels->second.size(); ++b) {
    if (labels->second[b].defined()) {
      of.push_back(all[static_cast<std::int64_t>(b)]);
      there.push_back(known(labels->second[b], config));
    }
  }
  if (of.empty()) {
    return {torch::Tensor()};
  }
  return {loss(torch::stack(of), torch::stack(there).to(all.device()), config)};
}

std::any NumberTask::prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig& config,
                                bool& finite) const {
  NumberPrediction out;
  const double value = std::any_cast<const torch::Tensor&>(said)[b].item<double>();
  finite = finite && std::isfinite(value);
  out.said = std::isfinite(value) ? value : 0;
  const auto labels = batch.labels.find(name());
  if (labels != batch.labels.end() && labels->second.at(static_cast<std::size_t>(b)).defined()) {
    out.labelled = true;
    out.known = known(labels->second[static_cast<std::size_t>(b)], config).item<double>();
  }
  return out;
}

}  // namespace bevfusion

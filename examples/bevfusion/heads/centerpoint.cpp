// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/centerpoint.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/geometry/possible_box.hpp"
#include "bevfusion/heads/object_queries.hpp"
#include "bevfusion/losses/detection_codes.hpp"
#include "bevfusion/matching/keep_surest.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/part_numbers.hpp"

namespace bevfusion {
namespace {

const std::string own_numbers = "centerpoint.";

/// A number of config.numbers that lies in [0, 1).
double share_of(const ModelConfig& config, const std::string& name, double otherwise) {
  const double value = number_of(config, own_numbers + name, otherwise);
  if (!(value >= 0 && value < 1)) {
    throw std::invalid_argument("model.numbers: " + own_numbers + name + " is " + std::to_string(value) +
                                "; it may be 0 or more, and below 1");
  }
  return value;
}

torch::nn::Sequential branch(std::int64_t inputs, std::int64_t hidden, std::int64_t outputs) {
  return torch::nn::Sequential(ConvBlock(inputs, hidden),
                               torch::nn::Conv2d(torch::nn::Conv2dOptions(hidden, outputs, 3).padding(1)));
}

}  // namespace

CenterPointOptions centerpoint_options(const ModelConfig& config, std::int64_t inputs, const std::vector<std::string>& names) {
  CenterPointOptions options;
  options.inputs = inputs;
  options.branch = config.detection.branch;
  options.channels = whole_number_of(config, own_numbers + "channels", config.detection.branch, 1);
  options.score_bias = config.detection.score_bias;
  options.grid = config.bev_grid();
  options.limits = config.centre_limits;
  options.candidates = whole_number_of(config, own_numbers + "candidates", options.candidates, 1);
  options.least_score = share_of(config, "least_score", options.least_score);
  const auto count = [&](const char* name, std::size_t otherwise) {
    return static_cast<std::size_t>(whole_number_of(config, own_numbers + name, static_cast<std::int64_t>(otherwise), 1));
  };
  options.most_boxes = count("most_boxes", options.most_boxes);
  options.most_objects = count("most_objects", options.most_objects);
  options.overlap = share_of(config, "overlap", options.overlap);

  options.groups = centerpoint_groups(names);
  for (CenterPointGroup& group : options.groups) {
    double given = -1;
    for (const std::int64_t output : group.outputs) {
      const std::string name = own_numbers + "min_radius." + names.at(static_cast<std::size_t>(output));
      const double radius = number_of(config, name, std::numeric_limits<double>::quiet_NaN());
      if (radius < 0) {
        throw std::invalid_argument("model.numbers: " + name + " is " + std::to_string(radius) +
                                    "; it is a squared distance, m^2, so 0 or more");
      }
      given = std::isnan(radius) ? given : std::max(given, radius);
    }
    group.min_radius = given >= 0 ? given : group.min_radius;
  }
  return options;
}

CenterBranchesImpl::CenterBranchesImpl(std::int64_t inputs, std::int64_t hidden, std::int64_t classes, double score_bias) {
  const std::pair<const char*, std::int64_t> parts[] = {
      {"offset", 2}, {"height", 1}, {"size", 3}, {"heading", 2}, {"velocity", velocity_entries}};
  for (const auto& [name, outputs] : parts) {
    codes_.push_back(register_module(name, branch(inputs, hidden, outputs)));
  }
  heat_ = register_module("heat", branch(inputs, hidden, classes));
  torch::nn::init::constant_(heat_[1]->as<torch::nn::Conv2d>()->bias, score_bias);
}

std::pair<torch::Tensor, torch::Tensor> CenterBranchesImpl::forward(const torch::Tensor& features) {
  std::vector<torch::Tensor> codes;
  for (torch::nn::Sequential& part : codes_) {
    codes.push_back(part->forward(features));
  }
  return {heat_->forward(features), torch::cat(codes, 1)};
}

CenterPointImpl::CenterPointImpl(CenterPointOptions options) : options_(std::move(options)) {
  shared_ = register_module("shared", ConvBlock(options_.inputs, options_.channels));
  for (const CenterPointGroup& group : options_.groups) {
    outputs_.push_back(group.outputs);
    const auto classes = static_cast<std::int64_t>(group.outputs.size());
    groups_.push_back(register_module("group" + std::to_string(groups_.size()),
                                      CenterBranches(options_.channels, options_.branch, classes, options_.score_bias)));
  }
}

Detections CenterPointImpl::forward(const torch::Tensor& shared) {
  const torch::Tensor features = shared_->forward(shared);
  std::vector<torch::Tensor> heat;  // output by output
  std::vector<torch::Tensor> codes;
  std::vector<torch::Tensor> classes;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const auto [logits, code] = groups_[g]->forward(features);
    for (std::size_t k = 0; k < outputs_[g].size(); ++k) {
      const auto output = static_cast<std::size_t>(outputs_[g][k]);
      heat.resize(std::max(heat.size(), output + 1));
      heat[output] = logits.narrow(1, static_cast<std::int64_t>(k), 1);
    }
    codes.push_back(code.flatten(2));
    const torch::Tensor surest = std::get<1>(logits.detach().max(1)).flatten(1);  // [B, X Y]
    const torch::Tensor outputs = torch::tensor(outputs_[g], torch::kLong).to(logits.device());
    classes.push_back(outputs.index_select(0, surest.flatten()).view_as(surest));
  }
  Detections out;
  out.heat_map = torch::cat(heat, 1);
  const auto groups = static_cast<std::int64_t>(groups_.size());
  // In single precision at least: bfloat16 tells places beyond 64 cells no nearer than half a cell.
  const torch::Tensor all = torch::cat(codes, 2);  // [B, 10, Q]
  const torch::Tensor exact = all.to(c10::promoteTypes(all.scalar_type(), torch::kFloat));
  const torch::Tensor corners = cell_centres(shared.size(2), shared.size(3), exact.options().requires_grad(false)) - 0.5;
  out.centre = exact.narrow(1, 0, 2) + corners.t().repeat({1, groups});
  out.height = exact.narrow(1, 2, 1);
  out.size = exact.narrow(1, 3, 3);
  out.heading = exact.narrow(1, 6, 2);
  out.velocity = exact.narrow(1, 8, velocity_entries);
  out.query_class = torch::cat(classes, 1);
  out.class_logits = out.heat_map.detach().flatten(2).repeat({1, 1, groups});
  const torch::Tensor stays = is_training() ? torch::ones_like(out.query_class, out.class_logits.options()) : kept(out);
  out.query_score = stays.to(out.class_logits.scalar_type()).unsqueeze(1).expand_as(out.class_logits);
  return out;
}

torch::Tensor CenterPointImpl::kept(const Detections& said) const {
  const torch::NoGradGuard no_grad;
  const std::int64_t batch = said.query_class.size(0);
  const auto groups = static_cast<std::int64_t>(groups_.size());
  const std::int64_t cells = said.query_class.size(1) / groups;
  const torch::Tensor scores =
      said.class_logits.gather(1, said.query_class.unsqueeze(1)).to(torch::kFloat).sigmoid().view({batch, groups, cells});
  const auto [surest, at] = scores.topk(std::min(options_.candidates, cells), 2);  // [B, G, K]
  const torch::Tensor queries = at + torch::arange(groups, at.options()).view({1, groups, 1}) * cells;
  const torch::Tensor codes = codes_of(said)
                                  .gather(2, queries.flatten(1).unsqueeze(1).expand({batch, code_size, queries[0].numel()}))
                                  .to(torch::kCPU);  // [B, 10, G K]
  const torch::Tensor score_of = surest.to(torch::kCPU).contiguous();
  const torch::Tensor query_of = queries.to(torch::kCPU).contiguous();
  torch::Tensor stays = torch::full({batch, groups * cells}, -1, torch::kFloat);
  const BoxCoder coder{options_.grid};
  const std::int64_t count = surest.size(2);
  for (std::int64_t b = 0; b < batch; ++b) {
    const std::vector<Box3D> all = boxes_of_codes(codes[b], coder);
    for (std::int64_t g = 0; g < groups; ++g) {
      std::vector<Box3D> boxes;
      std::vector<std::int64_t> of_box;
      for (std::int64_t k = 0; k < count; ++k) {
        const Box3D& box = all[static_cast<std::size_t>(g * count + k)];
        const double score = score_of[b][g].data_ptr<float>()[k];
        if (score > options_.least_score && is_possible(box) && options_.limits.contains(box)) {
          boxes.push_back(box);
          of_box.push_back(query_of[b][g].data_ptr<std::int64_t>()[k]);
        }
      }
      for (const std::size_t one : thinned_out(options_.groups[static_cast<std::size_t>(g)], boxes)) {
        stays[b].data_ptr<float>()[of_box[one]] = 1;
      }
    }
  }
  return stays.to(said.class_logits.device());
}

std::vector<std::size_t> CenterPointImpl::thinned_out(const CenterPointGroup& group, const std::vector<Box3D>& boxes) const {
  return options_.overlap > 0 ? keep_surest(boxes, options_.most_boxes, FootprintsOverlap{options_.overlap})
                              : keep_surest(boxes, options_.most_boxes, CentresWithin{group.min_radius});
}

DetectionLosses CenterPointImpl::loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                                      const DetectionLossOptions& options) const {
  return centre_loss(said, truth, coder, options, outputs_, options_.most_objects);
}

void register_centerpoint(Kinds& kinds) {
  kinds.detection_heads.add("centerpoint", [](const ModelConfig& config, std::int64_t inputs, const DetectionOutputs& outputs) {
    return std::make_shared<CenterPointImpl>(centerpoint_options(config, inputs, outputs.names));
  });
}

}  // namespace bevfusion

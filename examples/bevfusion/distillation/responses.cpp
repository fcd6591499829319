// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/distillation/responses.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/losses/detection_codes.hpp"

namespace bevfusion {
namespace {

void expect_same_shape(const torch::Tensor& said, const torch::Tensor& expert, const char* what) {
  if (said.sizes() != expert.sizes()) {
    std::ostringstream text;
    text << "the expert's " << what << " are of shape " << expert.sizes() << ", and those of this network of " << said.sizes()
         << "; an expert has to have the same grid and labels";
    throw std::invalid_argument(text.str());
  }
}

/// Boxes of an expert that are to be matched, and the queries that they are from.
struct ExpertBoxes {
  std::vector<Box3D> boxes;
  std::vector<std::int64_t> queries;
};

ExpertBoxes sure_boxes(const Detections& expert, std::int64_t b, const Detections& said, const BoxCoder& coder,
                       double least_score) {
  const torch::Tensor output = expert.query_class[b];
  const auto of_own_class = [&](const torch::Tensor& values) { return values.gather(0, output.unsqueeze(0)).squeeze(0); };
  const torch::Tensor scores =
      (of_own_class(expert.class_logits[b].to(torch::kFloat).sigmoid()) * of_own_class(expert.query_score[b].to(torch::kFloat)))
          .to(torch::kCPU, torch::kDouble)
          .contiguous();
  const double* score = scores.data_ptr<double>();
  const torch::Tensor outputs = output.to(torch::kCPU, torch::kLong).contiguous();
  const std::vector<Box3D> boxes = decode_boxes(expert, b, coder);
  ExpertBoxes sure;
  for (std::size_t q = 0; q < boxes.size(); ++q) {
    Box3D box = boxes[q];
    box.label = expert.label_of(outputs.data_ptr<std::int64_t>()[q]);
    const double volume = box.size.prod();
    if (score[q] >= least_score && std::isfinite(volume) && volume > 0 && output_of(box.label, said.labels) >= 0 &&
        coder.grid.contains(box.center.x(), box.center.y())) {
      sure.boxes.push_back(box);
      sure.queries.push_back(static_cast<std::int64_t>(q));
    }
  }
  const auto most = static_cast<std::size_t>(said.class_logits.size(2));
  if (sure.queries.size() > most) {
    std::vector<std::size_t> order(sure.queries.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t c) { return score[sure.queries[a]] > score[sure.queries[c]]; });
    ExpertBoxes surest;
    for (std::size_t i = 0; i < most; ++i) {
      surest.boxes.push_back(sure.boxes[order[i]]);
      surest.queries.push_back(sure.queries[order[i]]);
    }
    return surest;
  }
  return sure;
}

}  // namespace

torch::Tensor bernoulli_divergence(const torch::Tensor& logits, const torch::Tensor& expert) {
  const torch::Tensor known = expert.detach();
  const torch::Tensor probability = known.sigmoid();
  const auto entropy = [&](const torch::Tensor& of) {
    return torch::binary_cross_entropy_with_logits(of, probability, {}, {}, at::Reduction::None);
  };
  return entropy(logits) - entropy(known);
}

torch::Tensor mask_response(const torch::Tensor& logits, const torch::Tensor& expert) {
  expect_same_shape(logits, expert, "masks");
  return bernoulli_divergence(logits.to(torch::kFloat), expert.to(torch::kFloat)).mean();
}

torch::Tensor detection_response(const Detections& said, const Detections& expert, const BoxCoder& coder,
                                 const DetectionLossOptions& options, double least_score) {
  expect_same_shape(said.heat_map, expert.heat_map, "heat maps");
  const torch::Device device = said.heat_map.device();
  const BoxCode entries = options.code.entries();
  const torch::Tensor weights = torch::tensor(std::vector<float>(entries.begin(), entries.end())).unsqueeze(1).to(device);
  const torch::Tensor heat = said.heat_map.to(torch::kFloat);
  const torch::Tensor heat_of_expert = expert.heat_map.to(torch::kFloat).detach();
  const torch::Tensor focus = (heat.sigmoid() - heat_of_expert.sigmoid()).square();
  const torch::Tensor said_codes = codes_of(said).to(torch::kFloat);
  const torch::Tensor expert_codes = codes_of(expert).to(torch::kFloat).detach();
  torch::Tensor sum = options.heat_map * (focus * bernoulli_divergence(heat, heat_of_expert)).sum();
  std::size_t boxes = 0;
  for (std::int64_t b = 0; b < said.heat_map.size(0); ++b) {
    const ExpertBoxes sure = sure_boxes(expert, b, said, coder, least_score);
    const Matches matches = match(said, b, sure.boxes, coder, options.matching);
    boxes += sure.boxes.size();
    if (matches.queries.empty()) {
      continue;
    }
    std::vector<std::int64_t> of_expert;
    for (const std::size_t truth : matches.truth) {
      of_expert.push_back(sure.queries[truth]);
    }
    const torch::Tensor here = torch::tensor(matches.queries, torch::kLong).to(device);
    const torch::Tensor there = torch::tensor(of_expert, torch::kLong).to(device);
    const auto classes = [b](const Detections& of, const torch::Tensor& queries) {
      return of.class_logits[b].to(torch::kFloat).index_select(1, queries);
    };
    sum = sum + options.classification * bernoulli_divergence(classes(said, here), classes(expert, there)).sum();
    const torch::Tensor difference = said_codes[b].index_select(1, here) - expert_codes[b].index_select(1, there);
    sum = sum + options.regression * (difference.abs() * weights).sum();
  }
  return sum / std::max<double>(static_cast<double>(boxes), 1.0);
}

}  // namespace bevfusion

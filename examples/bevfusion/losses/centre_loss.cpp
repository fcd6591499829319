// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/centre_loss.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "bevfusion/losses/detection_codes.hpp"

namespace bevfusion {
namespace {

/// An annotation, and the query that is to say it.
struct Centre {
  std::int64_t sample;
  std::int64_t group;
  std::int64_t query;
  RegressionTarget target;
};

std::vector<std::int64_t> group_of_output(const OutputGroups& groups, std::int64_t outputs) {
  std::vector<std::int64_t> group_of(static_cast<std::size_t>(outputs), -1);
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (const std::int64_t output : groups[g]) {
      group_of.at(static_cast<std::size_t>(output)) = static_cast<std::int64_t>(g);
    }
  }
  return group_of;
}

std::int64_t cell_of(const Box3D& box, const BevGrid& grid) {
  const auto i = std::min(static_cast<std::size_t>(grid.to_cells_x(box.center.x())), grid.cells_x - 1);
  const auto j = std::min(static_cast<std::size_t>(grid.to_cells_y(box.center.y())), grid.cells_y - 1);
  return static_cast<std::int64_t>(i * grid.cells_y + j);
}

torch::Tensor rows_of(const std::vector<Centre>& centres, BoxCode RegressionTarget::*part) {
  std::vector<float> values;
  for (const Centre& centre : centres) {
    const BoxCode& code = centre.target.*part;
    values.insert(values.end(), code.begin(), code.end());
  }
  return torch::tensor(values).view({-1, code_size});
}

}  // namespace

DetectionLosses centre_loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                            const DetectionLossOptions& options, const OutputGroups& groups, std::size_t most) {
  const torch::Tensor codes = codes_of(said).to(torch::kFloat);  // [B, 10, Q]
  const torch::Device device = codes.device();
  const std::int64_t outputs = said.heat_map.size(1);
  const auto cells = static_cast<std::int64_t>(coder.grid.cells_x * coder.grid.cells_y);
  if (codes.size(2) != static_cast<std::int64_t>(groups.size()) * cells) {
    throw std::invalid_argument("the loss at centres is given " + std::to_string(codes.size(2)) + " boxes a sample, and " +
                                std::to_string(groups.size()) + " groups on a grid of " + std::to_string(cells) +
                                " cells have one at each");
  }
  const std::vector<std::int64_t> group_of = group_of_output(groups, outputs);
  BoxCoder weighted = coder;
  weighted.weights = options.code.entries();

  std::vector<std::vector<Box3D>> counted(truth.size());
  std::vector<Centre> centres;
  std::vector<double> positives(groups.size(), 0);
  for (std::size_t b = 0; b < truth.size(); ++b) {
    std::vector<std::size_t> in_group(groups.size(), 0);
    for (const Box3D& box : findable(truth[b], coder.grid, said.labels)) {
      const std::int64_t group = group_of[static_cast<std::size_t>(output_of(box.label, said.labels))];
      const auto g = static_cast<std::size_t>(group);
      if (in_group[g]++ < most) {
        counted[b].push_back(box);
        centres.push_back({static_cast<std::int64_t>(b), group, group * cells + cell_of(box, coder.grid), weighted.encode(box)});
        positives[g] += 1;
      }
    }
  }
  for (Centre& centre : centres) {
    for (double& weight : centre.target.weights) {
      weight *= options.regression / positives[static_cast<std::size_t>(centre.group)];
    }
  }

  DetectionLosses losses;
  const torch::Tensor heat = said.heat_map.to(torch::kFloat);
  const torch::Tensor wanted = heat_map_target(counted, outputs, coder.grid, options.gaussian, said.labels).to(device);
  losses.heat_map = torch::zeros({}, codes.options());
  for (const std::vector<std::int64_t>& group : groups) {
    const torch::Tensor of_group = torch::tensor(group, torch::kLong).to(device);
    losses.heat_map =
        losses.heat_map + options.heat_map * heat_map_loss(heat.index_select(1, of_group), wanted.index_select(1, of_group));
  }
  losses.classification = torch::zeros({}, codes.options());
  std::vector<std::int64_t> samples;
  std::vector<std::int64_t> queries;
  for (const Centre& centre : centres) {
    samples.push_back(centre.sample);
    queries.push_back(centre.query);
  }
  const torch::Tensor at_centres = codes.transpose(1, 2).index(
      {torch::tensor(samples, torch::kLong).to(device), torch::tensor(queries, torch::kLong).to(device)});  // [N, 10]
  const torch::Tensor difference = (at_centres - rows_of(centres, &RegressionTarget::code).to(device)).abs() *
                                   rows_of(centres, &RegressionTarget::weights).to(device);
  losses.box = difference.narrow(1, 0, code_size - velocity_entries).sum();
  losses.velocity = difference.narrow(1, code_size - velocity_entries, velocity_entries).sum();
  losses.total = losses.heat_map + losses.box + losses.velocity;
  return losses;
}

}  // namespace bevfusion

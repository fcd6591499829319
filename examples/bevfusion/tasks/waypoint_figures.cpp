// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/waypoint_figures.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include <torch/torch.h>

#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/packed.hpp"
#include "support/statistics.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

double number(const std::optional<bool>& flag) { return flag ? (*flag ? 1.0 : 0.0) : unknown; }

/// The cells of the drivable area, undefined where it is not labelled or no label of the run.
torch::Tensor drivable_cells(const SamplePrediction& prediction, const MapLabels& labels) {
  const auto found =
      std::find_if(labels.begin(), labels.end(), [](const MapLabel& label) { return label.name == "drivable_area"; });
  const auto at = static_cast<std::int64_t>(found - labels.begin());
  const bool known = found != labels.end() && prediction.masks.defined() && prediction.labelled[at].item<bool>();
  return known ? prediction.masks[at].to(torch::kBool).contiguous() : torch::Tensor();
}

}  // namespace

Waypoints waypoints_of(const torch::Tensor& places) {
  const torch::Tensor here = places.to(torch::kCPU, torch::kDouble).contiguous();
  Waypoints out;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    const double* const place = here.data_ptr<double>() + 2 * k;
    out[k] = {place[0], place[1]};
  }
  return out;
}

void WaypointFigures::add(const SamplePrediction& prediction) {
  if (const auto* said = prediction.of<WaypointPrediction>(sheet_.name)) {
    add(prediction, *said);
  }
}

void WaypointFigures::add(const SamplePrediction& prediction, const WaypointPrediction& said) {
  if (!said.driven) {
    ++unlabelled_;
    return;
  }
  const KeyFrame frame = key_frame_of(tables_, prediction.sample, {1, {}});
  const torch::Tensor cells = drivable_cells(prediction, config_.loading.map_labels);
  Row row;
  row.fill(unknown);
  const auto judge = [&](const Waypoints& way, Measure hit, Measure left) {
    const auto bodies = bodies_at(way, frame);
    const auto hits = collisions(bodies, tables_, prediction.sample, config_.loading.box_labels);
    std::array<std::optional<bool>, waypoint_count> offs;
    if (cells.defined()) {
      const auto drivable = cells.accessor<bool, 2>();
      offs = off_road(bodies, config_.loading.grid, [&drivable](int i, int j) { return drivable[i][j]; });
    }
    for (std::size_t k = 0; k < waypoint_count; ++k) {
      row[hit * waypoint_count + k] = number(hits[k]);
      row[left * waypoint_count + k] = number(offs[k]);
    }
  };
  judge(said.planned, collision, off);
  judge(*said.driven, driven_collision, driven_off);
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    row[distance * waypoint_count + k] = (said.planned[k] - (*said.driven)[k]).norm();
  }
  rows_.push_back(row);
}

std::optional<std::string> WaypointFigures::given() const {
  std::string bytes;
  add_list(bytes, rows_);
  add_list(bytes, std::vector<std::uint64_t>{unlabelled_});
  return bytes;
}

void WaypointFigures::take(const std::string& bytes) {
  PackedReader reader(bytes);
  const std::vector<Row> more = reader.list<Row>();
  rows_.insert(rows_.end(), more.begin(), more.end());
  unlabelled_ += static_cast<std::size_t>(reader.list<std::uint64_t>().at(0));
  reader.expect_end();
}

double WaypointFigures::mean(Measure of, std::size_t first, std::size_t count) const {
  std::vector<double> known;
  for (const Row& row : rows_) {
    for (std::size_t k = first; k < first + count; ++k) {
      const double value = row[of * waypoint_count + k];
      if (!std::isnan(value)) {
        known.push_back(value);
      }
    }
  }
  return example::mean(known);
}

std::vector<std::pair<std::string, double>> WaypointFigures::headline() const {
  return {{sheet_.figures.at(0).name, mean(distance)}};
}

void WaypointFigures::add_details(nlohmann::ordered_json& out) const {
  nlohmann::ordered_json& all = out[sheet_.name];
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    all["L2_" + figure_text(waypoint_times[k], 1) + "s"] = mean(distance, k, 1);
  }
  const std::pair<const char*, Measure> rates[] = {{"collision_rate", collision},
                                                   {"off_road_rate", off},
                                                   {"driven_collision_rate", driven_collision},
                                                   {"driven_off_road_rate", driven_off}};
  for (const auto& [name, of] : rates) {
    all[name] = mean(of);
    for (std::size_t k = 0; k < waypoint_count; ++k) {
      all[name + ("_" + figure_text(waypoint_times[k], 1)) + "s"] = mean(of, k, 1);
    }
  }
  all["samples"] = rows_.size();
  all["without_a_way"] = unlabelled_;
}

std::string WaypointFigures::text() const {
  std::vector<std::vector<std::string>> table{
      {"way-point", "L2, m", "collisions, %", "off the road, %", "driven: collisions, %", "off the road, %"}};
  const auto line = [&](const std::string& name, const auto& of) {
    table.push_back({name, figure_text(of(distance)), figure_text(100 * of(collision), 2), figure_text(100 * of(off), 2),
                     figure_text(100 * of(driven_collision), 2), figure_text(100 * of(driven_off), 2)});
  };
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    line(figure_text(waypoint_times[k], 1) + " s", [&](Measure of) { return mean(of, k, 1); });
  }
  line("mean", [&](Measure of) { return mean(of); });
  return sheet_.figures.at(0).title + " " + figure_text(mean(distance), 4) + remark() + "\n\n" + example::text_table(table);
}

std::string WaypointFigures::remark() const {
  return unlabelled_ == 0 ? ""
                          : " (of " + std::to_string(rows_.size()) + " samples; of " + std::to_string(unlabelled_) +
                                " the scene ends too early)";
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/loading/label_coverage.hpp"

#include <filesystem>
#include <numeric>

namespace bevfusion {

namespace {

// Which of the labels a place has, as SampleLoader would find it.
struct PlaceLabels {
  std::vector<bool> labelled;
  std::map<std::string, MapLayerFaults> faults;
};

PlaceLabels labels_of_place(const Tables& tables, const LogRow& log, const MapLabels& labels) {
  PlaceLabels place;
  place.labelled.assign(labels.size(), false);
  const std::filesystem::path file = tables.root / "maps" / "expansion" / (log.location + ".json");
  if (std::filesystem::exists(file)) {
    const MapExpansion map = read_map_expansion(file, labels);
    for (std::size_t label = 0; label < labels.size(); ++label) place.labelled[label] = map.shapes[label].has_value();
    place.faults = map.faults;
  } else if (!log.base_map.empty() && std::filesystem::exists(tables.root / log.base_map)) {
    for (std::size_t label = 0; label < labels.size(); ++label) place.labelled[label] = labels[label].base_map;
  }
  return place;
}

void add(std::string& text, const std::string& between, const std::string& part) { text += (text.empty() ? "" : between) + part; }

}  // namespace

LabelCoverage coverage_of(const Tables& tables, const std::vector<RowIndex>& samples, const LoadingOptions& options) {
  LabelCoverage coverage;
  coverage.samples = samples.size();
  for (const DetectionLabel& label : options.box_labels) coverage.boxes.push_back(label.name);
  for (const MapLabel& label : options.map_labels) coverage.masks.push_back(label.name);
  coverage.kept.assign(coverage.boxes.size(), 0);
  coverage.labelled.assign(coverage.masks.size(), 0);
  std::map<std::string, PlaceLabels> places;
  for (const RowIndex index : samples) {
    const SampleRow& sample = tables.samples[static_cast<std::size_t>(index)];
    const RowIndex end = sample.first_annotation + sample.annotation_count;
    for (RowIndex i = sample.first_annotation; i < end; ++i) {
      const AnnotationRow& row = tables.annotations[static_cast<std::size_t>(i)];
      const InstanceRow& instance = tables.instances[static_cast<std::size_t>(row.instance)];
      const std::string& category = tables.categories[static_cast<std::size_t>(instance.category)];
      const auto label = class_of_category(options.box_labels, category);
      if (!label) {
        ++coverage.dropped[category];
      } else if (row.lidar_points + row.radar_points == 0) {
        ++coverage.unseen;
      } else {
        ++coverage.kept[static_cast<std::size_t>(*label)];
      }
    }
    const LogRow& log = tables.logs[static_cast<std::size_t>(tables.scenes[static_cast<std::size_t>(sample.scene)].log)];
    auto place = places.find(log.location);
    if (place == places.end()) {
      place = places.emplace(log.location, labels_of_place(tables, log, options.map_labels)).first;
      for (const auto& [layer, faults] : place->second.faults) coverage.faults[log.location + ", " + layer] = faults;
    }
    for (std::size_t label = 0; label < coverage.labelled.size(); ++label) {
      coverage.labelled[label] += place->second.labelled[label] ? 1 : 0;
    }
  }
  return coverage;
}

std::string boxes_text(const LabelCoverage& coverage) {
  std::string without;
  std::size_t present = 0;
  for (std::size_t label = 0; label < coverage.boxes.size(); ++label) {
    if (coverage.kept[label] > 0) {
      ++present;
    } else {
      add(without, ", ", coverage.boxes[label]);
    }
  }
  std::string text = std::to_string(std::accumulate(coverage.kept.begin(), coverage.kept.end(), std::size_t{0})) + " of " +
                     std::to_string(present) + " of " + std::to_string(coverage.boxes.size()) + " classes";
  if (!without.empty() && present > 0) text += "; none of " + without;
  std::string out;
  for (const auto& [category, count] : coverage.dropped) add(out, ", ", std::to_string(count) + " " + category);
  if (coverage.unseen > 0) add(out, ", ", std::to_string(coverage.unseen) + " without a point in them");
  return out.empty() ? text : text + "; left out: " + out;
}

std::string masks_text(const LabelCoverage& coverage) {
  std::size_t whole = 0;
  std::string without;
  std::string part;
  for (std::size_t label = 0; label < coverage.masks.size(); ++label) {
    const std::size_t count = coverage.labelled[label];
    if (count > 0) ++whole;
    if (count == 0) add(without, ", ", coverage.masks[label]);
    if (count > 0 && count < coverage.samples) {
      add(part, ", ",
          coverage.masks[label] + " in " + std::to_string(count) + " of " + std::to_string(coverage.samples) + " samples alone");
    }
  }
  std::string text = std::to_string(whole) + " of " + std::to_string(coverage.masks.size()) + " classes labelled";
  if (!without.empty()) text += "; not labelled: " + without;
  if (!part.empty()) text += "; " + part;
  for (const auto& [where, faults] : coverage.faults) {
    if (faults.without_shape > 0) text += "; " + where + ": " + std::to_string(faults.without_shape) + " rows without a shape";
    if (faults.no_areas > 0) text += "; " + where + ": " + std::to_string(faults.no_areas) + " polygons that are no areas";
  }
  return text;
}

}  // namespace bevfusion

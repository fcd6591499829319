// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/labels/detection_label.hpp"
#include "bevfusion/labels/map_label.hpp"

namespace bevfusion {

/// Sets of labels of one kind, by name.
template <class Label>
class LabelSetsOf {
 public:
  /// @param field  of ModelConfig, that chooses among these
  explicit LabelSetsOf(std::string field) : field_(std::move(field)) {}

  /// @throws std::logic_error for a name that is taken, an empty set, or labels without a name of their own or
  ///   anything that they are made of
  void add(const std::string& name, std::vector<Label> labels) {
    if (labels.empty()) throw std::logic_error(field_ + " '" + name + "' has no label");
    for (auto label = labels.begin(); label != labels.end(); ++label) {
      bool good = !label->name.empty() && !made_of(*label).empty();
      for (auto before = labels.begin(); before != label; ++before) good = good && before->name != label->name;
      if (!good)
        throw std::logic_error(field_ + " '" + name + "' has a label without a name of its own, or made of nothing: '" +
                               label->name + "'");
    }
    if (!sets_.emplace(name, std::move(labels)).second) {
      throw std::logic_error("two of " + field_ + " are called '" + name + "'");
    }
  }

  /// @throws std::invalid_argument for an unknown name; it says which there are
  const std::vector<Label>& at(const std::string& name) const {
    const auto found = sets_.find(name);
    if (found != sets_.end()) return found->second;
    std::string known;
    for (const auto& set : sets_) known += (known.empty() ? "" : ", ") + set.first;
    throw std::invalid_argument("model." + field_ + " is '" + name + "'; there are: " + known);
  }

 private:
  std::string field_;
  std::map<std::string, std::vector<Label>> sets_;
};

/// What a model may be taught to tell apart.
///
/// A set is one file, `<name>.cpp`, with `void register_<name>(LabelSets&)`, and a line in the list of label sets in
/// CMakeLists.txt.
struct LabelSets {
  LabelSetsOf<MapLabel> map{"map_label_set"};
  LabelSetsOf<DetectionLabel> detection{"detection_label_set"};
};

/// The map labels of a model that is told of no others: the six classes of BEVFusion.
inline constexpr const char* standard_map_labels = "bevfusion_map";
/// And its labels of boxes: the ten classes of nuScenes, in the order of DetectionClass.
inline constexpr const char* standard_detection_labels = "nuscenes_boxes";

/// The sets of CMakeLists.txt's list.
const LabelSets& label_sets();

inline const MapLabels& standard_map() { return label_sets().map.at(standard_map_labels); }
inline const DetectionLabels& standard_boxes() { return label_sets().detection.at(standard_detection_labels); }

}  // namespace bevfusion

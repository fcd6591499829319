// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/loading/training_sample.hpp"

namespace bevfusion {

/// What some samples have labels for, and what of their boxes and maps is no label.
struct LabelCoverage {
  std::size_t samples = 0;
  std::vector<std::string> boxes;              ///< names of the classes of boxes
  std::vector<std::size_t> kept;               ///< boxes of each that training takes
  std::map<std::string, std::size_t> dropped;  ///< boxes of categories that the labels leave out, by category
  std::size_t unseen = 0;                      ///< boxes of the classes without a LiDAR or radar point in them: left out as well
  std::vector<std::string> masks;              ///< names of the map classes
  std::vector<std::size_t> labelled;           ///< samples in whose place each is labelled
  std::map<std::string, MapLayerFaults> faults;  ///< by "place, layer"
};

/// Counts boxes by the tables alone, and reads the map of each place that the samples are in. Throws DataError where a map is
/// damaged.
LabelCoverage coverage_of(const Tables& tables, const std::vector<RowIndex>& samples, const LoadingOptions& options);

/// A line about the boxes: "1200 of 10 classes; left out: 7 animal, 3 without a point in them".
std::string boxes_text(const LabelCoverage& coverage);
/// A line about the masks: "2 of 6 classes labelled; not labelled: walkway, ...; in 40 of 80 samples: divider; ...".
std::string masks_text(const LabelCoverage& coverage);

}  // namespace bevfusion

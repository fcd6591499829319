// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>

#include "bevfusion/metrics/detection_summary.hpp"

namespace bevfusion {

namespace detail {

/// A number with so many decimals, left-aligned in so many columns, NaN without a sign.
inline std::string number_cell(double value, int decimals, int columns) {
  char text[64];
  if (std::isnan(value)) {
    std::snprintf(text, sizeof text, "%-*s", columns, "nan");
  } else {
    std::snprintf(text, sizeof text, "%-*.*f", columns, decimals, value);
  }
  return text;
}

/// Text, left-aligned in so many columns.
inline std::string text_cell(std::string_view text, std::size_t columns) {
  std::string cell(text);
  cell.resize(cell.size() < columns ? columns : cell.size(), ' ');
  return cell;
}

}  // namespace detail

/// Writes the figures the way nuScenes' devkit prints them: mAP, the five errors, NDS, time, and a table with a row a class.
inline void print_detection(std::ostream& out, const DetectionSummary& summary) {
  out << "mAP: " << detail::number_cell(summary.mean_ap, 4, 0) << '\n';
  for (std::size_t k = 0; k < box_error_count; ++k) {
    out << 'm' << box_error_titles[k] << ": " << detail::number_cell(summary.errors[k], 4, 0) << '\n';
  }
  out << "NDS: " << detail::number_cell(summary.nd_score, 4, 0) << '\n';
  out << "Eval time: " << detail::number_cell(summary.seconds, 1, 0) << "s\n\nPer-class results:\n";
  out << detail::text_cell("Object Class", 20) << '\t' << detail::text_cell("AP", 6);
  for (const std::string_view title : box_error_titles) {
    out << '\t' << detail::text_cell(title, 6);
  }
  out << '\n';
  for (std::size_t c = 0; c < summary.config.classes.size(); ++c) {
    out << detail::text_cell(summary.config.classes[c].name, 20) << '\t'
        << detail::number_cell(summary.mean_distance_aps[c], 3, 6);
    for (const double error : summary.label_errors[c]) {
      out << '\t' << detail::number_cell(error, 3, 6);
    }
    out << '\n';
  }
}

}  // namespace bevfusion

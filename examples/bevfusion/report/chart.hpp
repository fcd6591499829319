// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/svg.hpp"

namespace bevfusion {

/// A line of a chart, in one of the page's eight colours.
struct ChartLine {
  std::string name;
  std::vector<std::pair<double, double>> points;
  int colour = 0;
  bool pale = false;    ///< for comparison: thin, in the background
  bool dashed = false;  ///< beside a whole line of the same colour
  std::vector<example::Range> band = {};
};

/// Ends of an axis.
struct ChartRange {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  /// Takes in what the lines show; not what is not finite, nor, on a logarithmic axis, what is not positive.
  void add(const std::vector<ChartLine>& lines, bool logarithmic);
  bool empty() const { return !(low <= high); }
};

/// A small chart of lines, one of several beside each other. Its title stands above it as a caption, where it can wrap; for who
/// does not see it, it is an image with the title and a description.
struct Chart {
  std::string title;
  std::string description;
  std::string x_label;
  std::vector<ChartLine> lines;
  bool logarithmic = false;
  bool whole_x = false;                                         ///< ticks of the x axis at whole numbers alone
  ChartRange y;                                                 ///< of the lines where empty
  double reference = std::numeric_limits<double>::quiet_NaN();  ///< a dotted level, such as 1 of a ratio
  int width = 272, height = 176;
};

/// <figure> with caption and SVG.
std::string figure_html(const Chart& chart);

/// A group of bars with a name before it.
struct BarGroup {
  std::string name;
  std::vector<double> values, errors;  ///< a bar each; NaN: none
};

/// Lying bars, so that names have room on a phone.
struct BarChart {
  std::string title, description;
  std::vector<std::string> bars;  ///< names within a group
  std::vector<int> colours;       ///< of the bars
  std::vector<BarGroup> groups;
  int decimals = 1;
  int width = 272;
};

std::string figure_html(const BarChart& chart);

/// A difference with its interval, and the paper's.
struct EffectMark {
  std::string name;
  int colour = 0;
  double value, half_width, paper;  ///< NaN: not there
};

/// Differences from a baseline as dots with their intervals, the paper's as hollow diamonds; a name that is too long is cut
/// short, and whole in the description.
struct EffectChart {
  std::string title, description;
  std::vector<EffectMark> marks;
  bool lower_is_better = false;
  int width = 272;
};

std::string figure_html(const EffectChart& chart);

/// Opening tag of an SVG that is one image, with title and description.
std::string open_image(double width, double height, const std::string& title, const std::string& description);

/// A number with so many decimals, a true minus before it where it is negative; nothing for NaN.
std::string decimal(double value, int decimals);
/// The same with its sign.
std::string signed_decimal(double value, int decimals);

}  // namespace bevfusion

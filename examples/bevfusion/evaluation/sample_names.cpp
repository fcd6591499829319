// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/sample_names.hpp"

#include <cstddef>

namespace bevfusion {

std::string picture_name(RowIndex sample, const KeyFrame& frame) {
  std::string name = to_string(frame.sample).substr(0, 8);
  for (char& c : name) {  // a token may hold any letters, those of paths as well
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    c = plain ? c : '_';
  }
  return std::to_string(sample) + "_" + name;
}

int place_in_scene(const Tables& tables, RowIndex sample) {
  int place = 1;
  for (RowIndex at = tables.samples.at(static_cast<std::size_t>(sample)).previous; at >= 0;
       at = tables.samples.at(static_cast<std::size_t>(at)).previous) {
    ++place;
  }
  return place;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "bevfusion/labels/detection_label.hpp"
#include "bevfusion/labels/map_label.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

// What pictures and their legends are painted in: the one table for both. Predicted boxes have the colours of their labels.

/// Annotated boxes: dark on a map, bright on scenery. No label is near either.
inline constexpr Colour truth_colour = {20, 20, 20};
inline constexpr Colour truth_colour_in_pictures = {255, 255, 255};
/// Boxes that no figure counts, annotated or predicted.
inline constexpr Colour uncounted_colour = {150, 150, 150};
/// Ways of the car: the one that it drove, and the one that is predicted.
inline constexpr Colour driven_colour = {255, 225, 0};
inline constexpr Colour planned_colour = {255, 0, 255};
/// What an attention reads, by its weight; and the window that asks.
inline constexpr Colour attention_colour = {230, 50, 0};
inline constexpr Colour asking_colour = {0, 110, 255};
/// The car itself, the scale bar and its number.
inline constexpr Colour ego_colour = {90, 90, 90};

/// A share of one colour, 0 ... 1, over another.
inline Colour mixed(Colour under, Colour over, double share) {
  Colour out{};
  for (std::size_t c = 0; c < 3; ++c) {
    out[c] = static_cast<std::uint8_t>(std::lround((1 - share) * under[c] + share * over[c]));
  }
  return out;
}

/// Three parts of a colour on one of white, so that boxes stand out from areas.
inline Colour pale(Colour colour) { return mixed({255, 255, 255}, colour, 0.75); }

/// Of the cells of a map class.
inline Colour map_colour(const MapLabel& label) { return pale(label.colour); }

/// Foreground masks as classes of a map: each has the colour of its label, or of the first label of its group, or, where it is
/// the only one, of the first label of all.
/// @param names  of the masks
inline MapLabels foreground_as_map(const std::vector<std::string>& names, const DetectionLabels& labels) {
  MapLabels out;
  for (const std::string& name : names) {
    MapLabel mask;
    mask.name = name;
    mask.colour = labels.empty() ? Colour{} : labels.front().colour;
    for (auto label = labels.rbegin(); label != labels.rend(); ++label) {
      if (label->name == name || label->group == name) mask.colour = label->colour;
    }
    out.push_back(mask);
  }
  return out;
}

/// As a style sheet writes it: "rgb(20,20,20)".
inline std::string css(Colour colour) {
  return "rgb(" + std::to_string(colour[0]) + "," + std::to_string(colour[1]) + "," + std::to_string(colour[2]) + ")";
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "bevfusion/nuscenes/detection_class.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// What a camera's pixel may show, in the order of camera segmentation's outputs.
enum class PixelClass : std::uint8_t {
  sky,
  terrain,
  road,
  walkway,
  car_park,
  marking,        ///< paint on the ground
  structure,      ///< buildings, fences, poles, bushes
  traffic_light,  ///< its lamps and its pole
  vehicle,        ///< car, truck, bus, trailer, construction vehicle
  two_wheeler,    ///< motorcycle, bicycle, with their riders
  pedestrian,
  barrier  ///< and traffic cones
};

inline constexpr std::size_t pixel_class_count = 12;
inline constexpr std::array<std::string_view, pixel_class_count> pixel_class_names = {
    "sky",       "terrain",       "road",    "walkway",     "car_park",   "marking",
    "structure", "traffic_light", "vehicle", "two_wheeler", "pedestrian", "barrier"};

/// In pictures.
inline constexpr std::array<Colour, pixel_class_count> pixel_class_colours = {{{70, 130, 180},
                                                                               {152, 251, 152},
                                                                               {128, 64, 128},
                                                                               {244, 35, 232},
                                                                               {250, 170, 160},
                                                                               {255, 255, 255},
                                                                               {70, 70, 70},
                                                                               {250, 170, 30},
                                                                               {0, 0, 200},
                                                                               {120, 60, 0},
                                                                               {220, 20, 60},
                                                                               {255, 255, 0}}};

/// Of a pixel that is not labelled.
inline constexpr std::uint8_t no_pixel_class = 255;

/// The class of the pixels that show a box of a class of the standard set.
inline PixelClass pixel_class_of(DetectionClass label) {
  switch (label) {
    case DetectionClass::pedestrian:
      return PixelClass::pedestrian;
    case DetectionClass::motorcycle:
    case DetectionClass::bicycle:
      return PixelClass::two_wheeler;
    case DetectionClass::traffic_cone:
    case DetectionClass::barrier:
      return PixelClass::barrier;
    case DetectionClass::car:
    case DetectionClass::truck:
    case DetectionClass::bus:
    case DetectionClass::trailer:
    case DetectionClass::construction_vehicle:
      break;
  }
  return PixelClass::vehicle;
}

}  // namespace bevfusion

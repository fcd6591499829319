// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "bevfusion/nuscenes/detection_class.hpp"

namespace bevfusion {

/// One value a detection class, at `index_of(class)`.
template <class T>
using PerClass = std::vector<T>;

/// Position of a class in a `PerClass`.
constexpr std::size_t index_of(DetectionClass detection_class) { return static_cast<std::size_t>(detection_class); }

/// All classes of nuScenes, in the order of its evaluation.
inline constexpr std::array<DetectionClass, detection_class_count> detection_classes = {DetectionClass::car,
                                                                                        DetectionClass::truck,
                                                                                        DetectionClass::bus,
                                                                                        DetectionClass::trailer,
                                                                                        DetectionClass::construction_vehicle,
                                                                                        DetectionClass::pedestrian,
                                                                                        DetectionClass::motorcycle,
                                                                                        DetectionClass::bicycle,
                                                                                        DetectionClass::traffic_cone,
                                                                                        DetectionClass::barrier};

}  // namespace bevfusion

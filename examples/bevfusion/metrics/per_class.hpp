// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>

#include "bevfusion/nuscenes/detection_class.hpp"

namespace bevfusion {

/// One value a detection class, at `index_of(class)`.
template <class T>
using PerClass = std::array<T, detection_class_count>;

/// Position of a class in a `PerClass`.
constexpr std::size_t index_of(DetectionClass detection_class) { return static_cast<std::size_t>(detection_class); }

/// All classes, in the order of nuScenes' evaluation.
inline constexpr PerClass<DetectionClass> detection_classes = {DetectionClass::car,
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

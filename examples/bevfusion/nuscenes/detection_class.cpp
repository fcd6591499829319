// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/detection_class.hpp"

namespace bevfusion {

Attribute attribute_of(std::string_view name) {
  for (std::size_t i = 1; i < attribute_names.size(); ++i) {
    if (attribute_names[i] == name) return static_cast<Attribute>(i);
  }
  return Attribute::none;
}

}  // namespace bevfusion

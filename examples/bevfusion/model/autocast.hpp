// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

namespace bevfusion {

/// Mixed precision for as long as the object lives, in this thread: LibTorch's autocast on the device's kind, with that dtype.
/// "float32" changes nothing. What was set before is set again afterwards.
class Autocast {
 public:
  /// @throws std::invalid_argument for another name than float32, bfloat16 or float16, and for float16 on the CPU, where autocast
  /// has bfloat16 alone
  Autocast(const c10::Device& device, const std::string& precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType kind_;
  bool on_;
  bool was_on_ = false;
  c10::ScalarType was_ = c10::ScalarType::Float;
};

}  // namespace bevfusion

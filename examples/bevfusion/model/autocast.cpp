// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/autocast.hpp"

#include <stdexcept>

#include <ATen/autocast_mode.h>
#include <torch/version.h>

namespace bevfusion {
namespace {

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
bool is_on(c10::DeviceType kind) { return at::autocast::is_autocast_enabled(kind); }
c10::ScalarType dtype_of(c10::DeviceType kind) { return at::autocast::get_autocast_dtype(kind); }
void set(c10::DeviceType kind, bool on, c10::ScalarType dtype) {
  at::autocast::set_autocast_enabled(kind, on);
  at::autocast::set_autocast_dtype(kind, dtype);
}
#else
bool is_on(c10::DeviceType kind) {
  return kind == c10::DeviceType::CPU ? at::autocast::is_cpu_enabled() : at::autocast::is_enabled();
}
c10::ScalarType dtype_of(c10::DeviceType kind) {
  return kind == c10::DeviceType::CPU ? at::autocast::get_autocast_cpu_dtype() : at::autocast::get_autocast_gpu_dtype();
}
void set(c10::DeviceType kind, bool on, c10::ScalarType dtype) {
  if (kind == c10::DeviceType::CPU) {
    at::autocast::set_cpu_enabled(on);
    at::autocast::set_autocast_cpu_dtype(dtype);
  } else {
    at::autocast::set_enabled(on);
    at::autocast::set_autocast_gpu_dtype(dtype);
  }
}
#endif

}  // namespace

Autocast::Autocast(const c10::Device& device, const std::string& precision) : kind_(device.type()), on_(precision != "float32") {
  if (precision != "float32" && precision != "bfloat16" && precision != "float16") {
    throw std::invalid_argument("precision is '" + precision + "'; there are float32, bfloat16 and float16");
  }
  if (precision == "float16" && kind_ == c10::DeviceType::CPU) {
    throw std::invalid_argument("precision float16 needs a GPU; on the CPU there are float32 and bfloat16");
  }
  if (on_) {
    was_on_ = is_on(kind_);
    was_ = dtype_of(kind_);
    set(kind_, true, precision == "bfloat16" ? c10::ScalarType::BFloat16 : c10::ScalarType::Half);
  }
}

Autocast::~Autocast() {
  if (on_) {
    set(kind_, was_on_, was_);
    if (!was_on_) {
      // Copies of the weights in lower precision would outlive the next step's update.
      at::autocast::clear_cache();
    }
  }
}

}  // namespace bevfusion

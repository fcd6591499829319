// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include <ATen/core/Tensor.h>

namespace fuller::testing {

/// The least that a calibration can be saved to, and loaded from.
struct Pages {
  std::map<std::string, at::Tensor> pages;
  void write(const std::string& name, const at::Tensor& tensor) { pages[name] = tensor.clone(); }
  void read(const std::string& name, at::Tensor& tensor) { tensor = pages.at(name); }
};

}  // namespace fuller::testing

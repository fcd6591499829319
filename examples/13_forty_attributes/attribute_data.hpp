// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

namespace example {

/// Pictures, and which of the attributes each has.
struct AttributeData {
  torch::Tensor images;      ///< N x C x H x W, uint8; H and W are multiples of 32
  torch::Tensor attributes;  ///< N x T, bool

  std::int64_t size() const { return images.size(0); }
};

/// The two parts of a data set, and what its attributes are called.
struct AttributeSet {
  AttributeData train, test;
  std::vector<std::string> names;
};

}  // namespace example

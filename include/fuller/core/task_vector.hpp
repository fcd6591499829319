// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// One number per task, as an option of a rule: at most 64, held in place, so that a rule can be a kernel argument. Empty means
/// "not given".
class TaskVector {
 public:
  static constexpr int capacity = 64;

  TaskVector() = default;
  /// @throws Error for more than 64 values.
  TaskVector(std::initializer_list<double> values) : TaskVector(std::vector<double>(values)) {}
  /// @throws Error for more than 64 values.
  TaskVector(const std::vector<double>& values) {  // NOLINT(google-explicit-constructor): options are written as lists
    if (values.size() > static_cast<std::size_t>(capacity)) {
      detail::fail("a list with a number for each task has ", values.size(), " numbers; there are at most ", capacity,
                   " tasks: add up the losses that need no weight of their own, and name their sum as one task");
    }
    for (const double value : values) {
      values_[size_++] = value;
    }
  }

  FULLER_HD int size() const { return size_; }
  FULLER_HD bool empty() const { return size_ == 0; }
  FULLER_HD double operator[](int i) const { return values_[i]; }

 private:
  double values_[capacity] = {};
  int size_ = 0;
};

}  // namespace v0_1
}  // namespace fuller

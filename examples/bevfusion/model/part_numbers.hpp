// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "bevfusion/model/model_config.hpp"

namespace bevfusion {

/// A whole number of config.numbers.
/// @throws std::invalid_argument for another number, or one below `least`
std::int64_t whole_number_of(const ModelConfig& config, const std::string& name, std::int64_t otherwise, std::int64_t least);

/// Which names number_of() is asked for in this thread while the object is there.
class NumbersAsked {
 public:
  NumbersAsked();
  ~NumbersAsked();
  NumbersAsked(const NumbersAsked&) = delete;
  NumbersAsked& operator=(const NumbersAsked&) = delete;

  /// @throws std::invalid_argument where config.numbers holds one that nobody asked for
  void expect_all_of(const ModelConfig& config) const;

 private:
  std::set<std::string> names_;
  std::set<std::string>* before_;
};

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>

namespace bevfusion {

/// What every reader throws for a file that is missing, cut short or not what its format says; the text names file and field.
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] inline void fail(const std::string& file, const std::string& what) { throw DataError(file + ": " + what); }

}  // namespace bevfusion

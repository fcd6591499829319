// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <string>
#include <unordered_set>
#include <vector>

#include <fuller/core/error.hpp>

// Names of tasks and modalities.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// One text of all of them, a line each, as it is saved.
inline std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += name;
    text += '\n';
  }
  return text;
}

/// What joined() wrote, for a message: 'det', 'seg'.
inline std::string listed(const std::string& joined_names) {
  std::string text;
  std::istringstream names(joined_names);
  for (std::string name; std::getline(names, name);) {
    text += (text.empty() ? "'" : ", '") + name + "'";
  }
  return text.empty() ? "none" : text;
}

/// Refuses names of tasks or modalities that could not be told apart, or saved.
inline void expect_names(const std::vector<std::string>& names, const char* what) {
  if (names.empty()) {
    fail("a calibration needs at least one ", what, "; name each: {\"det\", \"seg\"}");
  }
  std::unordered_set<std::string> seen;
  for (const std::string& name : names) {
    if (name.empty() || name.find('\n') != std::string::npos || !seen.insert(name).second) {
      fail("the ", what, " name '", name,
           "' is empty, has a line break, or is given twice; give each a name of its own in one line");
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

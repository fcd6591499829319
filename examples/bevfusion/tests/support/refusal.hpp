// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace bevfusion::testing {

/// The words in which a call is refused by an Error; empty where it is not. What else it throws goes through.
template <class Error, class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// Whether a text says something.
inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace bevfusion::testing

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fuller {

/// What fuller throws: a use of the library that cannot be right. The message names the task, tensor, shape or option, and the
/// way out.
class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A gradient or loss that is NaN, infinite or (where a policy asks for it) zero.
class NonFiniteError : public Error {
 public:
  using Error::Error;
};

namespace detail {

/// The parts written one after the other, as `std::ostream` writes them.
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  text << "fuller: ";
  (text << ... << parts);
  return text.str();
}

/// Throws Error with the parts as its message.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(message(parts...));
}

}  // namespace detail
}  // namespace fuller

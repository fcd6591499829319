// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fuller {
inline namespace v0_1 {

/// What fuller throws: a use of the library that cannot be right. The message names the task, tensor, shape or option, and the
/// way out.
class Error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

/// A device, its driver or a library of its maker's that is missing or has refused: no wrong use of fuller.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
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

/// The same for DeviceError.
template <class... Parts>
[[noreturn]] void fail_on_device(const Parts&... parts) {
  throw DeviceError(message(parts...));
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

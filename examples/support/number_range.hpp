// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <sstream>
#include <string>
#include <system_error>
#include <type_traits>

#include <CLI/CLI.hpp>

namespace example {

/// ">= 1", "0 ... 1", or nothing without a bound.
inline std::string interval(double least, double most) {
  std::ostringstream text;
  text.precision(12);
  if (std::isinf(least) && std::isinf(most)) {
    return "";
  }
  if (std::isinf(most)) {
    text << ">= " << least;
  } else if (std::isinf(least)) {
    text << "<= " << most;
  } else if (least == most) {
    text << least;
  } else {
    text << least << " ... " << most;
  }
  return text.str();
}

/// Refuses what `Number` cannot hold as it is written, what is not finite, and what is out of bounds, in words. (CLI11's own
/// validators write the largest double out, and its conversions take 010 for 8 and 1e39 for infinity.)
template <class Number>
CLI::Validator number_within(double least = -std::numeric_limits<double>::infinity(),
                             double most = std::numeric_limits<double>::infinity()) {
  // A bound that comes from the type alone is no news to the reader of the help.
  const double lowest = std::max(least, static_cast<double>(std::numeric_limits<Number>::lowest()));
  const double highest = std::min(most, static_cast<double>(std::numeric_limits<Number>::max()));
  return CLI::Validator(
      [least, most, lowest, highest](std::string& text) -> std::string {
        double value = 0;
        if (!CLI::detail::lexical_cast(text, value)) {
          return "'" + text + "' is no number";
        }
        if (!std::isfinite(value)) {
          return "'" + text + "' is not finite";
        }
        if (value < least || value > most) {
          return text + " is out of range; it may be " + interval(least, most);
        }
        const std::string out_of_range = text + " is out of range; it may be " + interval(lowest, highest);
        if (value < lowest || value > highest) {
          return out_of_range;
        }
        if constexpr (std::is_integral_v<Number>) {
          const std::size_t sign = text.find_first_not_of("+-");
          if (sign + 1 < text.size() && text[sign] == '0') {
            return "'" + text + "' begins with a zero; write it without";
          }
          Number exact = 0;
          const char* end = text.data() + text.size();
          const std::from_chars_result read = std::from_chars(text.data() + (text[0] == '+' ? 1 : 0), end, exact);
          if (read.ec == std::errc::result_out_of_range) {
            return out_of_range;
          }
          if (read.ec != std::errc() || read.ptr != end) {
            return "'" + text + "' is no whole number";
          }
        }
        return "";
      },
      interval(least, most));
}

}  // namespace example

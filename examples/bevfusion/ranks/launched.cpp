// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/ranks/launched.hpp"

#include <charconv>
#include <cstdlib>
#include <stdexcept>
#include <string_view>

namespace bevfusion {
namespace {

using Variable = std::function<const char*(const char*)>;

[[noreturn]] void refuse(const std::string& what) {
  throw std::invalid_argument(what +
                              "; a launcher sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT for each of its "
                              "processes, 'bevfusion train --ranks N' does it on one machine, and without RANK and WORLD_SIZE "
                              "this is a run of one process");
}

int number(const Variable& variable, const char* name, int least, int most) {
  const char* const text = variable(name);
  if (text == nullptr) {
    refuse(std::string(name) + " is not set");
  }
  const std::string_view digits(text);
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < least || value > most) {
    refuse(std::string(name) + " is '" + text + "', and not a number from " + std::to_string(least) + " to " +
           std::to_string(most));
  }
  return value;
}

}  // namespace

std::optional<Launched> launched(const Variable& variable) {
  if (variable("RANK") == nullptr && variable("WORLD_SIZE") == nullptr) {
    return std::nullopt;
  }
  constexpr int most = 100000;
  Launched place;
  place.size = number(variable, "WORLD_SIZE", 1, most);
  place.rank = number(variable, "RANK", 0, place.size - 1);
  place.local_rank = variable("LOCAL_RANK") == nullptr ? place.rank : number(variable, "LOCAL_RANK", 0, most);
  if (place.size == 1) {
    return place;  // it meets nobody
  }
  const char* const address = variable("MASTER_ADDR");
  if (address == nullptr || *address == '\0') {
    refuse("MASTER_ADDR is not set");
  }
  place.address = address;
  place.port = static_cast<std::uint16_t>(number(variable, "MASTER_PORT", 1, 65535));
  const char* const served = variable("TORCHELASTIC_USE_AGENT_STORE");
  place.served = served != nullptr && std::string_view(served) == "True";
  const char* const attempt = variable("TORCHELASTIC_RESTART_COUNT");
  place.attempt = attempt == nullptr ? "0" : attempt;
  return place;
}

std::optional<Launched> launched() {
  return launched([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace bevfusion

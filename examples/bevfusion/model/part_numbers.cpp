// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/part_numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <utility>
#include <vector>

namespace bevfusion {
namespace {

thread_local std::set<std::string>* names_asked = nullptr;

std::string without_blanks(const std::string& text) {
  const std::vector<std::string> names = names_in(text);
  return names.size() == 1 ? names.front() : "";
}

std::vector<std::pair<std::string, double>> numbers_in(const std::string& list) {
  std::vector<std::pair<std::string, double>> numbers;
  for (const std::string& entry : names_in(list)) {
    const std::size_t sign = std::min(entry.find('='), entry.size());
    const std::string name = without_blanks(entry.substr(0, sign));
    const std::string text = sign == entry.size() ? "" : without_blanks(entry.substr(sign + 1));
    char* end = nullptr;
    const double number = std::strtod(text.c_str(), &end);
    if (name.empty() || text.empty() || *end != '\0' || !std::isfinite(number)) {
      throw std::invalid_argument("model.numbers holds '" + entry + "', which is no name=number");
    }
    if (std::any_of(numbers.begin(), numbers.end(), [&name](const auto& other) { return other.first == name; })) {
      throw std::invalid_argument("model.numbers holds " + name + " twice");
    }
    numbers.emplace_back(name, number);
  }
  return numbers;
}

}  // namespace

double number_of(const ModelConfig& config, const std::string& name, double otherwise) {
  if (names_asked != nullptr) {
    names_asked->insert(name);
  }
  double value = otherwise;
  for (const auto& [given, number] : numbers_in(config.numbers)) {
    value = given == name ? number : value;
  }
  return value;
}

std::int64_t whole_number_of(const ModelConfig& config, const std::string& name, std::int64_t otherwise, std::int64_t least) {
  const double value = number_of(config, name, static_cast<double>(otherwise));
  if (!(value >= static_cast<double>(least) && value <= 1e6) || value != std::floor(value)) {
    throw std::invalid_argument("model.numbers: " + name + " is " + std::to_string(value) + "; a whole number of " +
                                std::to_string(least) + " or more is needed");
  }
  return static_cast<std::int64_t>(value);
}

NumbersAsked::NumbersAsked() : before_(std::exchange(names_asked, &names_)) {}

NumbersAsked::~NumbersAsked() { names_asked = before_; }

void NumbersAsked::expect_all_of(const ModelConfig& config) const {
  for (const auto& [name, number] : numbers_in(config.numbers)) {
    if (names_.count(name) == 0) {
      std::string read;
      for (const std::string& other : names_) {
        read += (read.empty() ? "" : ", ") + other;
      }
      throw std::invalid_argument("model.numbers holds " + name + ", which no part of this network reads; " +
                                  (read.empty() ? "its parts read none" : "its parts read " + read));
    }
  }
}

}  // namespace bevfusion

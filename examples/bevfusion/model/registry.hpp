// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/model/model_config.hpp"

namespace bevfusion {

/// The ways to make a part of a model, by name.
/// @tparam Part  the part's interface
/// @tparam Args  what a part is told beside the config, such as the channels in front of it
template <class Part, class... Args>
class Registry {
 public:
  using Make = std::function<std::shared_ptr<Part>(const ModelConfig&, Args...)>;

  /// @param field  of ModelConfig, that chooses among these
  explicit Registry(std::string field) : field_(std::move(field)) {}

  /// @throws std::logic_error for a name that is taken
  void add(const std::string& name, Make make) {
    if (!ways_.emplace(name, std::move(make)).second) {
      throw std::logic_error("two kinds of " + field_ + " are called '" + name + "'");
    }
  }

  /// @throws std::invalid_argument for an unknown name; it says which there are
  std::shared_ptr<Part> make(const std::string& name, const ModelConfig& config, Args... args) const {
    const auto found = ways_.find(name);
    if (found == ways_.end()) {
      std::string known;
      for (const std::string& other : names()) {
        known += (known.empty() ? "" : ", ") + other;
      }
      throw std::invalid_argument("model." + field_ + " is '" + name + "'; there are: " + known);
    }
    return found->second(config, args...);
  }

  bool has(const std::string& name) const { return ways_.count(name) > 0; }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& way : ways_) {
      all.push_back(way.first);
    }
    return all;
  }

 private:
  std::string field_;
  std::map<std::string, Make> ways_;
};

}  // namespace bevfusion

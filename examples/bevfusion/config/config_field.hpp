// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// Where a field of a RunConfig lies, by its type.
using FieldValue = std::variant<bool*, int*, std::int64_t*, std::uint64_t*, float*, double*, std::string*,
                                std::vector<std::int64_t>*, std::array<double, 3>*, MaskReduction*>;

/// One field of a RunConfig as users meet it: an option of the command line and a key of a config file.
struct ConfigField {
  std::string name;    ///< section and name, as in `training.learning_rate`
  FieldValue value{};  ///< in the config that the field was taken from, which must outlive it
  std::string help;
  std::vector<std::string> choices;                         ///< of a text; any where empty
  double least = -std::numeric_limits<double>::infinity();  ///< bounds of a number, or of each of several
  double most = std::numeric_limits<double>::infinity();
  bool joined = false;  ///< a text that may be given several times: parted by commas then
  std::string alias;    ///< a second, short name on the command line; fields that have one are shown in the short help

  std::string section() const { return name.find('.') == std::string::npos ? "" : name.substr(0, name.rfind('.')); }
  std::string key() const { return name.substr(name.rfind('.') + 1); }
};

/// Fields in the order in which they were added.
class FieldList {
 public:
  /// Conditions on the field that was just added.
  class Added {
   public:
    explicit Added(ConfigField& field) : field_(field) {}
    Added& at_least(double least) { return within(least, std::numeric_limits<double>::infinity()); }
    Added& within(double least, double most) {
      field_.least = least;
      field_.most = most;
      return *this;
    }
    Added& one_of(std::vector<std::string> choices) {
      field_.choices = std::move(choices);
      return *this;
    }
    Added& several() {
      field_.joined = true;
      return *this;
    }
    Added& also(std::string alias) {
      field_.alias = std::move(alias);
      return *this;
    }

   private:
    ConfigField& field_;
  };

  Added add(std::string name, FieldValue value, std::string help) {
    ConfigField field;
    field.name = std::move(name);
    field.value = value;
    field.help = std::move(help);
    fields_.push_back(std::move(field));
    return Added(fields_.back());
  }

  std::vector<ConfigField> take() { return std::move(fields_); }

 private:
  std::vector<ConfigField> fields_;
};

}  // namespace bevfusion

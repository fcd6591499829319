// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_option.hpp"

#include <cmath>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>
#include <type_traits>

namespace bevfusion {
namespace {

std::string interval(double least, double most) {
  std::ostringstream text;
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

/// Refuses numbers out of bounds, and those that are not finite.
CLI::Validator within(double least, double most) {
  const bool bounded = std::isfinite(least) || std::isfinite(most);
  const std::string description = bounded ? interval(least, most) : "";
  return CLI::Validator(
      [least, most, description](std::string& text) {
        double value = 0;
        if (!CLI::detail::lexical_cast(text, value)) {
          return "'" + text + "' is no number";
        }
        if (!std::isfinite(value)) {
          return "'" + text + "' is not finite";
        }
        if (value < least || value > most) {
          return text + " is out of range; it may be " + description;
        }
        return std::string();
      },
      description);
}

/// What a type is called in help.
template <class Value>
std::string type_name() {
  if constexpr (std::is_same_v<Value, bool>) {
    return "true|false";
  } else if constexpr (std::is_integral_v<Value>) {
    return "INTEGER";
  } else if constexpr (std::is_floating_point_v<Value>) {
    return "NUMBER";
  } else if constexpr (std::is_same_v<Value, std::vector<std::int64_t>>) {
    return "INTEGERS";
  } else if constexpr (std::is_same_v<Value, std::array<double, 3>>) {
    return "X Y Z";
  } else {
    return "TEXT";
  }
}

}  // namespace

CLI::Option* add_option(CLI::App& app, const ConfigField& field) {
  std::string names = "--" + field.name;
  if (!field.alias.empty() && field.alias != field.name) {
    names += ",--" + field.alias;
  }
  return std::visit(
      [&](auto* value) {
        using Value = std::remove_pointer_t<decltype(value)>;
        CLI::Option* option = app.add_option(names, *value, field.help);
        if constexpr (std::is_same_v<Value, MaskReduction>) {
          const std::map<std::string, MaskReduction> choices = {{"mean", MaskReduction::mean},
                                                                {"sum_of_class_means", MaskReduction::sum_of_class_means}};
          option->transform(CLI::CheckedTransformer(choices).description("{mean,sum_of_class_means}"));
        } else if constexpr (std::is_same_v<Value, std::string>) {
          if (!field.choices.empty()) {
            option->check(CLI::IsMember(field.choices));
          }
        } else if constexpr (!std::is_same_v<Value, bool>) {
          option->check(within(field.least, field.most));
        }
        option->type_name(type_name<Value>());
        return option;
      },
      field.value);
}

void set_field(const ConfigField& field, const std::vector<std::string>& values, const std::string& where) {
  CLI::App app;
  CLI::Option* option = add_option(app, field);
  try {
    for (const std::string& value : values) {
      option->add_result(value);
    }
    option->run_callback();
  } catch (const CLI::ParseError& error) {
    std::string given;
    for (const std::string& value : values) {
      given += (given.empty() ? "" : ", ") + value;
    }
    throw std::invalid_argument(where + ": " + field.name + " = " + given + ": " + error.what());
  }
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_option.hpp"

#include <array>
#include <cstddef>
#include <map>
#include <stdexcept>
#include <type_traits>

#include "support/number_range.hpp"

namespace bevfusion {
namespace {

/// What a number is made of, or each of several.
template <class Value>
struct NumberIn {
  using type = Value;
};
template <class Number>
struct NumberIn<std::vector<Number>> {
  using type = Number;
};
template <class Number, std::size_t count>
struct NumberIn<std::array<Number, count>> {
  using type = Number;
};

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
          if (field.joined) {
            option->join(',');
          }
        } else if constexpr (!std::is_same_v<Value, bool>) {
          option->check(example::number_within<typename NumberIn<Value>::type>(field.least, field.most));
        }
        option->type_name(type_name<Value>());
        return option;
      },
      field.value);
}

void set_field(const ConfigField& field, const std::vector<std::string>& values, const std::string& where) {
  if (values.empty()) {  // an empty list
    if (auto* const* list = std::get_if<std::vector<std::int64_t>*>(&field.value)) {
      (*list)->clear();
      return;
    }
    throw std::invalid_argument(where + ": " + field.name + " has no value");
  }
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
    // What the parser says begins with the option's name, which stands here already.
    std::string what = error.what();
    const std::string option_name = option->get_name() + ": ";
    what = what.compare(0, option_name.size(), option_name) == 0 ? what.substr(option_name.size()) : what;
    throw std::invalid_argument(where + ": " + field.name + " = " + given + ": " + what);
  }
}

}  // namespace bevfusion

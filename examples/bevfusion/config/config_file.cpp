// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <type_traits>

#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/config/config_option.hpp"

namespace bevfusion {
namespace {

std::string text_of(bool value) { return value ? "true" : "false"; }

/// The shortest text that reads back as the same number.
template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number> && !std::is_same_v<Number, bool>>>
std::string text_of(Number value) {
  std::array<char, 64> digits{};
  const std::to_chars_result end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return std::string(digits.data(), end.ptr);
}

std::string text_of(const std::string& value) {
  if (value.find_first_of("\"'`#\n\r") != std::string::npos) {
    throw std::invalid_argument("a config file cannot hold the text '" + value + "': no quotes, line breaks or # there");
  }
  return '"' + value + '"';
}

std::string text_of(MaskReduction value) {
  return text_of(std::string(value == MaskReduction::mean ? "mean" : "sum_of_class_means"));
}

template <class Numbers>
std::string list_of(const Numbers& values) {
  std::string text;
  for (const auto value : values) {
    text += (text.empty() ? "" : ", ") + text_of(value);
  }
  return "[" + text + "]";
}
std::string text_of(const std::vector<std::int64_t>& values) { return list_of(values); }
std::string text_of(const std::array<double, 3>& values) { return list_of(values); }

std::string value_of(const ConfigField& field) {
  return std::visit([](const auto* value) { return text_of(*value); }, field.value);
}

const ConfigField& find_field(const std::vector<ConfigField>& fields, const std::string& name, const std::string& where) {
  for (const ConfigField& field : fields) {
    if (field.name == name) {
      return field;
    }
  }
  std::string meant;
  for (const ConfigField& field : fields) {
    if (field.key() == name.substr(name.rfind('.') + 1) || field.alias == name) {
      meant += (meant.empty() ? "; did you mean " : " or ") + field.name;
    }
  }
  throw std::invalid_argument(where + ": there is no field '" + name + "'" + meant);
}

}  // namespace

std::vector<ConfigEntry> read_entries(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in || std::filesystem::is_directory(file)) {
    throw std::invalid_argument("cannot read the config file " + file.string());
  }
  std::vector<ConfigEntry> entries;
  std::set<std::string> seen;
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(in)) {
    if (item.name == "++" || item.name == "--") {  // where sections begin and end
      continue;
    }
    entries.push_back({item.fullname(), item.inputs});
    if (!seen.insert(entries.back().name).second) {
      throw std::invalid_argument(file.string() + ": " + entries.back().name + " is there twice");
    }
  }
  return entries;
}

std::string size_among(const std::vector<ConfigEntry>& entries) {
  std::string size;
  for (const ConfigEntry& entry : entries) {
    if (entry.name == "size" && entry.values.size() == 1) {
      size = entry.values.front();
    }
  }
  return size;
}

void apply(const std::vector<ConfigEntry>& entries, RunConfig& config, const std::string& where) {
  const std::vector<ConfigField> fields = fields_of(config);
  for (const ConfigEntry& entry : entries) {
    set_field(find_field(fields, entry.name, where), entry.values, where);
  }
}

RunConfig read_config(const std::filesystem::path& file) {
  const std::vector<ConfigEntry> entries = read_entries(file);
  const std::string size = size_among(entries);
  try {
    RunConfig config = run_of_size(size.empty() ? "full" : size);
    apply(entries, config, file.string());
    complete(config);
    check(config);
    return config;
  } catch (const std::invalid_argument& error) {
    const std::string what = error.what();
    throw std::invalid_argument(what.rfind(file.string(), 0) == 0 ? what : file.string() + ": " + what);
  }
}

void write_config(const RunConfig& config, std::ostream& out) {
  RunConfig copy = config;
  std::string section;
  for (const ConfigField& field : fields_of(copy)) {
    if (field.section() != section) {
      section = field.section();
      out << "\n[" << section << "]\n";
    }
    out << "# " << field.help << '\n' << field.key() << " = " << value_of(field) << '\n';
  }
}

void write_config(const RunConfig& config, const std::filesystem::path& file) {
  const std::filesystem::path unfinished = file.string() + ".new";
  {
    std::ofstream out(unfinished);
    write_config(config, out);
    out.flush();
    if (!out) {
      throw std::runtime_error("cannot write " + unfinished.string());
    }
  }
  std::filesystem::rename(unfinished, file);
}

std::vector<std::string> differences(const RunConfig& a, const RunConfig& b) {
  RunConfig copy_a = a;
  RunConfig copy_b = b;
  const std::vector<ConfigField> fields_a = fields_of(copy_a);
  const std::vector<ConfigField> fields_b = fields_of(copy_b);
  std::vector<std::string> names;
  for (std::size_t i = 0; i < fields_a.size(); ++i) {
    if (value_of(fields_a[i]) != value_of(fields_b[i])) {
      names.push_back(fields_a[i].name);
    }
  }
  return names;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_file.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <toml++/toml.h>

#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/config/config_option.hpp"
#include "support/nearest.hpp"
#include "support/output_file.hpp"

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

/// A basic string (TOML 1.0). Names of files may be any bytes, and TOML is UTF-8.
std::string text_of(const std::string& value) {
  std::string text = "\"";
  for (const char c : value) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      text += {'\\', c};
    } else if (code < 0x20 || code == 0x7F) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04X", static_cast<unsigned>(code));
      text += escaped;
    } else {
      text += c;
    }
  }
  text += '"';
  try {
    static_cast<void>(toml::parse("text = " + text));
  } catch (const toml::parse_error&) {
    throw std::invalid_argument("a config file cannot hold the text '" + value + "': it is no UTF-8");
  }
  return text;
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
  std::vector<std::string> names;
  for (const ConfigField& field : fields) {
    if (field.name == name) {
      return field;
    }
    names.push_back(field.name);
  }
  std::string meant;
  for (const ConfigField& field : fields) {
    if (field.key() == name.substr(name.rfind('.') + 1) || field.alias == name) {
      meant += (meant.empty() ? "; did you mean " : " or ") + field.name;
    }
  }
  throw std::invalid_argument(where + ": there is no field '" + name + "'" +
                              (meant.empty() ? example::did_you_mean(name, names) : meant + "?"));
}

std::string place(const std::string& file, const toml::source_region& at) {
  return file + ":" + std::to_string(at.begin.line) + ":" + std::to_string(at.begin.column);
}

/// A value as the command line has it.
std::string text_in(const toml::node& node, const std::string& where, const std::string& name) {
  if (const auto* text = node.as_string()) {
    return text->get();
  }
  if (const auto* number = node.as_integer()) {
    return text_of(number->get());
  }
  if (const auto* number = node.as_floating_point()) {
    return text_of(number->get());
  }
  if (const auto* flag = node.as_boolean()) {
    return text_of(flag->get());
  }
  throw std::invalid_argument(where + ": " + name + " is neither text, number, true, false nor a list of these");
}

class EntryReader {
 public:
  explicit EntryReader(std::string file) : file_(std::move(file)) {}

  std::vector<ConfigEntry> read(const toml::table& root) {
    collect(root, "");
    const auto earlier = [](const Found& a, const Found& b) {
      return std::make_pair(a.at.line, a.at.column) < std::make_pair(b.at.line, b.at.column);
    };
    std::sort(found_.begin(), found_.end(), earlier);
    std::vector<ConfigEntry> entries;
    for (Found& one : found_) {
      entries.push_back(std::move(one.entry));
    }
    return entries;
  }

 private:
  struct Found {
    toml::source_position at;
    ConfigEntry entry;
  };

  void collect(const toml::table& table, const std::string& section) {
    for (const auto& [key, node] : table) {
      const std::string name = section + std::string(key.str());
      if (const toml::table* inner = node.as_table()) {
        collect(*inner, name + ".");
        continue;
      }
      ConfigEntry entry;
      entry.name = name;
      entry.where = place(file_, key.source());
      if (const toml::array* list = node.as_array()) {
        for (const toml::node& value : *list) {
          entry.values.push_back(text_in(value, place(file_, value.source()), name));
        }
      } else {
        entry.values.push_back(text_in(node, entry.where, name));
      }
      found_.push_back({key.source().begin, std::move(entry)});
    }
  }

  std::string file_;
  std::vector<Found> found_;
};

}  // namespace

std::vector<ConfigEntry> read_entries(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || std::filesystem::is_directory(file) || (in.peek() != std::ifstream::traits_type::eof() && !(text << in.rdbuf()))) {
    throw std::invalid_argument("cannot read the config file " + file.string());
  }
  try {
    return EntryReader(file.string()).read(toml::parse(text.str()));
  } catch (const toml::parse_error& error) {
    throw std::invalid_argument(place(file.string(), error.source()) + ": " + std::string(error.description()));
  }
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
    const std::string& place = entry.where.empty() ? where : entry.where;
    set_field(find_field(fields, entry.name, place), entry.values, place);
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
  std::ostringstream text;
  write_config(config, text);
  example::write_file(file, text.str());
}

RunConfig read_run_config(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "config.toml";
  if (!std::filesystem::exists(file)) {
    throw std::invalid_argument(folder.string() +
                                " has no config.toml: it is the folder of no run (bevfusion train --out makes one)");
  }
  std::set<std::string> given;
  for (const ConfigEntry& entry : read_entries(file)) {
    given.insert(entry.name);
  }
  RunConfig known;
  std::vector<ConfigField> fields = fields_of(known);
  // A run of before a task was there has none of the task's fields, and not the task.
  for (const TaskSheet& task : head_sheets()) {
    const auto is_its = [&task](const ConfigField& field) {
      return field.name == "model.parts." + task.name || field.name == "losses." + task.name + "_weight" ||
             field.section() == "tasks." + task.name;
    };
    const bool later = !task.on && std::none_of(fields.begin(), fields.end(), [&](const ConfigField& field) {
      return is_its(field) && given.count(field.name) > 0;
    });
    if (later) {
      fields.erase(std::remove_if(fields.begin(), fields.end(), is_its), fields.end());
    }
  }
  // Nor has a run of before distillation its fields.
  const auto is_distillation = [](const ConfigField& field) { return field.section() == "distillation"; };
  if (std::none_of(fields.begin(), fields.end(),
                   [&](const ConfigField& field) { return is_distillation(field) && given.count(field.name) > 0; })) {
    fields.erase(std::remove_if(fields.begin(), fields.end(), is_distillation), fields.end());
  }
  std::string lacking;
  std::size_t count = 0;
  for (const ConfigField& field : fields) {
    if (given.count(field.name) == 0 && ++count <= 3) {
      lacking += (lacking.empty() ? "" : ", ") + field.name;
    }
  }
  if (count > 0) {
    throw std::invalid_argument(file.string() + " is damaged, or of another version of this program: it lacks " + lacking +
                                (count > 3 ? " and " + std::to_string(count - 3) + " more fields" : "") +
                                ". A run's config has them all; 'bevfusion train --print-config' with the options that the run "
                                "began with writes them");
  }
  return read_config(file);
}

std::vector<std::string> differences(const RunConfig& a, const RunConfig& b) {
  RunConfig copy_a = a;
  RunConfig copy_b = b;
  const std::vector<ConfigField> fields_a = fields_of(copy_a);
  const std::vector<ConfigField> fields_b = fields_of(copy_b);
  std::map<std::string, std::string> of_b;
  for (const ConfigField& field : fields_b) {
    of_b.emplace(field.name, value_of(field));
  }
  std::vector<std::string> names;
  for (const ConfigField& field : fields_a) {
    const auto other = of_b.find(field.name);
    if (other == of_b.end() || other->second != value_of(field)) {
      names.push_back(field.name);
    }
    if (other != of_b.end()) {
      of_b.erase(other);
    }
  }
  // A task that only b knows has fields of its own.
  for (const ConfigField& field : fields_b) {
    if (of_b.count(field.name) != 0) {
      names.push_back(field.name);
    }
  }
  return names;
}

}  // namespace bevfusion

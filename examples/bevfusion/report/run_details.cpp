// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/run_details.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <limits>
#include <optional>
#include <regex>
#include <stdexcept>

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {
namespace {

using Json = nlohmann::ordered_json;

/// A number of every member that has one.
/// @param key  of the number in the member; the member is the number where empty
NamedNumbers numbers_in(const Json& object, const std::string& key) {
  NamedNumbers out;
  for (const auto& [name, member] : object.items()) {
    const Json value = key.empty() ? member : member.value(key, Json());
    if (value.is_number()) {
      out.emplace_back(name, value.get<double>());
    }
  }
  return out;
}

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Without a comment that stands after a value; a # within quotes is none.
std::string without_comment(const std::string& text) {
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (quote != 0) {
      quote = text[i] == quote ? 0 : quote;
    } else if (text[i] == '"' || text[i] == '\'') {
      quote = text[i];
    } else if (text[i] == '#') {
      return trimmed(text.substr(0, i));
    }
  }
  return trimmed(text);
}

std::string without_quotes(const std::string& text) {
  const bool quoted = text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return quoted ? text.substr(1, text.size() - 2) : text;
}

}  // namespace

double number_of(const NamedNumbers& numbers, const std::string& name) {
  const auto found = std::find_if(numbers.begin(), numbers.end(), [&](const auto& one) { return one.first == name; });
  return found == numbers.end() ? std::numeric_limits<double>::quiet_NaN() : found->second;
}

EvaluationDetails evaluation_details(const Json& evaluation) {
  EvaluationDetails out;
  for (const TaskSheet& task : task_sheets()) {
    for (const DetailSheet& detail : task.details) {
      Json object = evaluation;
      for (const std::string& step : detail.path) {
        object = Json(object.value(step, Json::object()));
      }
      Detail& found = out.tables[detail.heading];
      found.values = numbers_in(object, detail.value);
      if (!detail.threshold.empty()) {
        found.thresholds = numbers_in(object, detail.threshold);
      }
    }
  }
  out.split = evaluation.value("split", std::string());
  out.samples = evaluation.value("samples", 0.0);
  return out;
}

std::vector<std::pair<std::string, std::string>> config_fields_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  return config_fields_of(in, file.string());
}

std::vector<std::pair<std::string, std::string>> config_fields_of(std::istream& in, const std::string& called) {
  std::vector<std::pair<std::string, std::string>> fields;
  std::string section;
  std::string text;
  for (std::size_t number = 1; std::getline(in, text); ++number) {
    constexpr const char* byte_order_mark = "\xEF\xBB\xBF";
    if (number == 1 && text.rfind(byte_order_mark, 0) == 0) {
      text.erase(0, 3);
    }
    const std::string line = without_comment(text);
    if (line.empty()) {
      continue;
    }
    const auto equals = line.find('=');
    if (line.front() == '[' && line.back() == ']' && equals == std::string::npos) {
      section = trimmed(line.substr(1, line.size() - 2));
    } else if (equals != std::string::npos && equals > 0) {
      const std::string key = trimmed(line.substr(0, equals));
      fields.emplace_back(section.empty() ? key : section + "." + key, without_quotes(trimmed(line.substr(equals + 1))));
    } else if (!fields.empty()) {
      fields.back().second += " " + line;  // a list that goes on
    } else {
      throw std::runtime_error(called + ", line " + std::to_string(number) +
                               ": neither a [section] nor a field = value; bevfusion train writes the file anew with --resume");
    }
  }
  return fields;
}

std::string begun(const std::filesystem::path& folder) {
  static const std::regex events("events\\.out\\.tfevents\\.([0-9]{9,11})\\..*");
  std::optional<std::int64_t> first;
  std::error_code absent;
  for (const auto& entry : std::filesystem::directory_iterator(folder, absent)) {
    std::smatch parts;
    const std::string name = entry.path().filename().string();
    if (std::regex_match(name, parts, events)) {
      const std::int64_t seconds = std::stoll(parts[1].str());
      first = first ? std::min(*first, seconds) : seconds;
    }
  }
  if (!first) {
    return "";
  }
  const std::time_t time = static_cast<std::time_t>(*first);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  return std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts) > 0 ? text.data() : "";
}

}  // namespace bevfusion

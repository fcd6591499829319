// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/run_key.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <stdexcept>

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {
namespace {

/// What figures do not depend on, and where the data set lies; the seed stands in the name beside the hash.
constexpr std::array<const char*, 5> free_fields = {"data.root", "data.threads", "data.ahead", "training.checkpoint_every",
                                                    "training.seed"};

bool is_free(const std::string& field) {
  return std::any_of(free_fields.begin(), free_fields.end(), [&](const char* free) { return field == free; });
}

const std::string* find(const ConfigFields& config, const std::string& field) {
  const auto found = std::find_if(config.begin(), config.end(), [&](const auto& one) { return one.first == field; });
  return found == config.end() ? nullptr : &found->second;
}

/// FNV-1a: the same on every machine and in every version.
std::string hash_of(const std::string& text) {
  std::uint64_t hash = 14695981039346656037ULL;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  }
  std::array<char, 20> digits{};
  std::snprintf(digits.data(), digits.size(), "%010llx", static_cast<unsigned long long>(hash >> 24U));
  return digits.data();
}

/// "det_seg", of the tasks that are on; "lidar-" before it where there is one sensor alone.
std::string tasks_in(const ConfigFields& config) {
  std::string text;
  for (const TaskSheet& task : head_sheets()) {
    if (value_of(config, "model.parts." + task.name) == "true") {
      text += (text.empty() ? "" : "_") + task.name.substr(0, 3);
    }
  }
  const bool lidar = value_of(config, "model.parts.lidar") == "true";
  const bool camera = value_of(config, "model.parts.camera") == "true";
  return (lidar && camera ? "" : lidar ? "lidar-" : "camera-") + text;
}

}  // namespace

std::string value_of(const ConfigFields& config, const std::string& field) {
  const std::string* value = find(config, field);
  return value == nullptr ? "" : *value;
}

double number_of_field(const ConfigFields& config, const std::string& field) {
  const std::string text = value_of(config, field);
  try {
    return std::stod(text);
  } catch (const std::logic_error&) {
    throw std::runtime_error("the config's " + field + " is '" + text + "' and no number");
  }
}

std::string run_name(const ConfigFields& config, const ConfigFields& defaults, const std::string& data) {
  std::string text = "size=" + value_of(config, "size") + "\ndata=" + data + "\n";
  for (const auto& [field, value] : config) {
    const std::string* usual = find(defaults, field);
    if (!is_free(field) && (usual == nullptr || *usual != value)) {
      text += field + "=" + value + "\n";
    }
  }
  return value_of(config, "size") + "-" + tasks_in(config) + "-" + value_of(config, "calibration.rule") + "-" +
         value_of(config, "calibration.gate") + "-" + hash_of(text);
}

std::vector<std::string> different_fields(const ConfigFields& a, const ConfigFields& b) {
  std::vector<std::string> out;
  for (const auto& [field, value] : a) {
    const std::string* other = find(b, field);
    // A plan knows teachers by what they are, a run by where they lie; what they are is in the run's name.
    if (other != nullptr && *other != value && (!is_free(field) || field == "training.seed") &&
        field != "distillation.teachers") {
      out.push_back(field);
    }
  }
  return out;
}

}  // namespace bevfusion

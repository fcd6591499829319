// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/run_file.hpp"

#include <array>
#include <cmath>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <nlohmann/json.hpp>

#include "support/output_file.hpp"

namespace bevfusion {
namespace {

using Stage = RunFile::Stage;
constexpr std::array<std::pair<Stage, const char*>, 4> stages = {
    {{Stage::begun, "begun"}, {Stage::trained, "trained"}, {Stage::evaluated, "evaluated"}, {Stage::failed, "failed"}}};

constexpr const char* file_name = "run.json";

}  // namespace

std::optional<RunFile> read_run_file(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / file_name;
  std::ifstream in(path);
  if (!in) {
    return std::nullopt;
  }
  RunFile file;
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    const auto name = json.at("stage").get<std::string>();
    bool known = false;
    for (const auto& [stage, text] : stages) {
      if (name == text) {
        file.stage = stage;
        known = true;
      }
    }
    if (!known) {
      throw std::runtime_error(path.string() + ": there is no stage '" + name + "'; a newer program wrote it");
    }
    file.message = json.value("message", "");
    file.wall_seconds = json.value("wall_seconds", 0.0);
    if (json.contains("peak_bytes") && json["peak_bytes"].is_number()) {
      file.peak_bytes = json["peak_bytes"].get<double>();
    }
    for (const auto& [key, text] : {std::pair("begun", &file.begun),
                                    {"ended", &file.ended},
                                    {"commit", &file.commit},
                                    {"version", &file.version},
                                    {"libtorch", &file.libtorch},
                                    {"machine", &file.machine}}) {
      *text = json.value(key, "");
    }
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(path.string() + ": " + error.what() + "; without that file the run is gone on with");
  }
  return file;
}

void write_run_file(const std::filesystem::path& folder, const RunFile& file) {
  nlohmann::ordered_json json;
  for (const auto& [stage, text] : stages) {
    if (stage == file.stage) {
      json["stage"] = text;
    }
  }
  if (!file.message.empty()) {
    json["message"] = file.message;
  }
  json["wall_seconds"] = file.wall_seconds;
  if (std::isfinite(file.peak_bytes)) {
    json["peak_bytes"] = file.peak_bytes;
  }
  json["begun"] = file.begun;
  json["ended"] = file.ended;
  json["commit"] = file.commit;
  json["version"] = file.version;
  json["libtorch"] = file.libtorch;
  json["machine"] = file.machine;
  // What a program says before it ends may be any bytes.
  example::write_file(folder / file_name, json.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace bevfusion

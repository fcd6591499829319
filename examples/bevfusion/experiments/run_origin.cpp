// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/run_origin.hpp"

#include <array>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/utsname.h>

#ifdef BEVFUSION_COMMIT_HEADER
#include BEVFUSION_COMMIT_HEADER
#else
#define BEVFUSION_COMMIT "unknown"
#endif

namespace bevfusion {
namespace {

/// What follows the colon of the first line that begins so.
std::string line_of(const std::filesystem::path& file, const std::string& beginning) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind(beginning, 0) == 0) {
      const std::size_t at = line.find_first_not_of(" \t", line.find(':') + 1);
      return at == std::string::npos ? "" : line.substr(at);
    }
  }
  return "";
}

}  // namespace

std::string built_from() { return BEVFUSION_COMMIT; }

std::string machine_name(const std::string& device) {
  utsname system{};
  ::uname(&system);
  std::string processor = line_of("/proc/cpuinfo", "model name");
  if (processor.empty()) {
    processor = static_cast<const char*>(system.machine);
  }
  const unsigned cores = std::thread::hardware_concurrency();
  std::string text =
      processor + ", " + std::to_string(cores) + (cores == 1 ? " core, " : " cores, ") + static_cast<const char*>(system.sysname);
  if (device != "cpu") {
    std::error_code none;
    for (const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", none)) {
      const std::string model = line_of(gpu.path() / "information", "Model");
      text += model.empty() ? "" : ", " + model;
    }
  }
  return text;
}

std::string time_now() {
  const std::time_t time = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  return std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &parts) > 0 ? text.data() : "";
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include <unistd.h>

namespace example {

/// Starts this program once more, in the same process, so that libraries see environment variables that they read before main()
/// begins. Returns in the program that was started so, which the variable `mark` tells, and where nothing can be started.
inline void restart_once(const char* mark, char** arguments) {
  if (std::getenv(mark) != nullptr) {
    return;
  }
  setenv(mark, "1", 1);
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);  // by its name, for ps and pkill
  if (!error) {
    execv(program.c_str(), arguments);
  }
}

}  // namespace example

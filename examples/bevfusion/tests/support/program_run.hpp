// SPDX-License-Identifier: Apache-2.0
// Runs a program as a user would, under limits that a user may meet.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/tests/support/data_folders.hpp"

namespace bevfusion::testing {

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// What a program left.
struct Ended {
  int code = 0;  ///< exit status; less a signal's number where one ended it
  std::string out;
  std::string err;
};

/// How a program is run; what is not said is as the test itself has it.
struct Circumstances {
  std::filesystem::path folder = {};    ///< where it runs
  std::string out = {};                 ///< a file for its standard output; "closed"
  std::function<void()> in_child = {};  ///< called before the program starts
};

inline void limit(int resource, rlim_t most) {
  const rlimit limits{most, most};
  if (setrlimit(static_cast<__rlimit_resource>(resource), &limits) != 0) {
    _exit(125);
  }
}

/// No threads beside the first: root is bound by no limit on processes, so the program runs as nobody there.
inline void forbid_threads() {
  if (getuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0)) {
    _exit(125);
  }
  limit(RLIMIT_NPROC, 1);
}

inline Ended run_program(const std::vector<std::string>& words, const Circumstances& how = {}) {
  const TemporaryFolder said;
  const std::string out = how.out.empty() ? (said.path() / "out").string() : how.out;
  const std::string err = (said.path() / "err").string();
  const pid_t child = fork();
  if (child == 0) {
    const int errors = open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(errors, STDERR_FILENO);
    if (out == "closed") {
      close(STDOUT_FILENO);
    } else {
      dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), STDOUT_FILENO);
    }
    if (!how.folder.empty() && chdir(how.folder.c_str()) != 0) {
      _exit(125);
    }
    if (how.in_child) {
      how.in_child();
    }
    std::vector<char*> arguments;
    for (const std::string& word : words) {
      arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    execv(arguments.front(), arguments.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), how.out.empty() ? content_of(out) : "", content_of(err)};
}

}  // namespace bevfusion::testing

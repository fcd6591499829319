// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

extern char** environ;

namespace fuller::testing {

/// A folder that is gone when this is.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char path[] = "/tmp/fuller_ranks_XXXXXX";
    if (mkdtemp(path) == nullptr) {
      throw std::runtime_error("no folder in /tmp");
    }
    path_ = path;
  }
  ~TemporaryFolder() {
    if (std::system(("rm -rf '" + path_ + "'").c_str()) != 0) {
      unlink(path_.c_str());
    }
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string text_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Processes that are ranks: this very program, told by its environment what to be. Killed at the end where they are still there.
class RankProcesses {
 public:
  /// @param test    the hidden test case that is a rank's main
  /// @param folder  where rank r writes `out.r`
  RankProcesses(int ranks, const std::string& test, const TemporaryFolder& folder, std::vector<std::string> variables) {
    for (int rank = 0; rank < ranks; ++rank) {
      std::vector<std::string> all = variables;
      all.push_back("FULLER_TEST_FOLDER=" + folder.path());
      all.push_back("RANK=" + std::to_string(rank));
      all.push_back("WORLD_SIZE=" + std::to_string(ranks));
      std::vector<char*> environment;
      for (std::string& one : all) {
        environment.push_back(one.data());
      }
      for (char** variable = environ; *variable != nullptr; ++variable) {
        environment.push_back(*variable);
      }
      environment.push_back(nullptr);
      std::string program = "/proc/self/exe";
      std::string name = test;
      char* arguments[] = {program.data(), name.data(), nullptr};
      posix_spawn_file_actions_t actions;
      posix_spawn_file_actions_init(&actions);
      const std::string log = folder / ("log." + std::to_string(rank));
      posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
      pid_t pid = 0;
      const int failed = posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environment.data());
      posix_spawn_file_actions_destroy(&actions);
      if (failed != 0) {
        throw std::runtime_error("a rank's process cannot be started");
      }
      pids_.push_back(pid);
    }
  }
  ~RankProcesses() {
    for (const pid_t pid : pids_) {
      if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
      }
    }
  }
  RankProcesses(const RankProcesses&) = delete;
  RankProcesses& operator=(const RankProcesses&) = delete;

  /// The exit status of a rank, -signal where it was ended by one; -1000 where it has not ended in this time.
  int wait(int rank, std::chrono::seconds limit) {
    pid_t& pid = pids_[static_cast<std::size_t>(rank)];
    const auto end = std::chrono::steady_clock::now() + limit;
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > end) {
        return -1000;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  std::vector<pid_t> pids_;
};

}  // namespace fuller::testing

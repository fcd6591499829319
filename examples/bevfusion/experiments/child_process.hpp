// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace bevfusion {

/// A program to start: its words, what its environment has beside ours, and the file that its output is added to.
struct ChildCommand {
  std::vector<std::string> words;  ///< the first is the program
  std::vector<std::pair<std::string, std::string>> environment;
  std::filesystem::path output;  ///< standard output and error
};

/// How a child ended, and what it took.
struct ChildEnd {
  int status = 0;         ///< exit status; less a signal's number where one ended it
  double seconds = 0;     ///< by the clock
  double peak_bytes = 0;  ///< most memory that it held
};

/// A program that runs beside this one. It ends with this process, in whatever way that ends, killed included; so nothing goes on
/// training unseen. It has a process group of its own: what a terminal sends to this program's group reaches it through
/// signal() alone.
class ChildProcess {
 public:
  /// @throws std::runtime_error where it cannot be started, or its output cannot be opened
  explicit ChildProcess(const ChildCommand& command);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  /// Kills it where it still runs.
  ~ChildProcess();

  /// @return true once it has ended; end() then says how
  bool has_ended();
  const ChildEnd& end() const { return end_; }
  void signal(int number) const;
  double seconds() const;

 private:
  void kill_and_wait();

  pid_t process_ = -1;  ///< -1: ended
  double started_ = 0;
  ChildEnd end_;
};

/// The last lines of a file, without empty ones; no more than `most` of them, and of each no more than 300 bytes. What a progress
/// bar drew over is left out.
std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t most);

/// How an end reads: "ended with status 1", "was ended by signal 9 (Killed)".
std::string text_of(const ChildEnd& end);

}  // namespace bevfusion

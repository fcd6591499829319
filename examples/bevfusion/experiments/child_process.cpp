// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/child_process.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace bevfusion {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// The words of the environment of a child: ours, with its own in place of those of the same name.
std::vector<std::string> environment_of(const ChildCommand& command) {
  std::vector<std::string> out;
  for (char** word = environ; *word != nullptr; ++word) {
    const std::string text = *word;
    const std::string name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(command.environment.begin(), command.environment.end(),
                                      [&](const auto& variable) { return variable.first == name; });
    if (!replaced) {
      out.push_back(text);
    }
  }
  for (const auto& [name, value] : command.environment) {
    out.push_back(name + "=" + value);
  }
  return out;
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) {
    out.push_back(const_cast<char*>(word.c_str()));
  }
  out.push_back(nullptr);
  return out;
}

/// In the child: from here on only what is allowed between fork and exec.
[[noreturn]] void become(char** words, char** environment, int output, pid_t parent) {
  ::setpgid(0, 0);
#ifdef __linux__
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) {  // it ended before that was asked for
    ::_exit(125);
  }
#else
  static_cast<void>(parent);
#endif
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  ::execve(words[0], words, environment);
  constexpr char text[] = "cannot be started\n";
  if (::write(STDERR_FILENO, text, sizeof text - 1) < 0) {
    ::_exit(126);
  }
  ::_exit(127);
}

}  // namespace

ChildProcess::ChildProcess(const ChildCommand& command) : started_(now()) {
  const int output = ::open(command.output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (output < 0) {
    throw std::runtime_error(command.output.string() + ": cannot be written (" + std::strerror(errno) + ")");
  }
  const std::vector<std::string> environment = environment_of(command);
  const std::vector<char*> words = pointers_to(command.words);
  const std::vector<char*> variables = pointers_to(environment);
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    become(const_cast<char**>(words.data()), const_cast<char**>(variables.data()), output, parent);
  }
  const int error = errno;
  ::close(output);
  if (process_ < 0) {
    throw std::runtime_error(command.words.front() + ": cannot be started (" + std::strerror(error) + ")");
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)), started_(other.started_), end_(other.end_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  if (this != &other) {
    kill_and_wait();
    process_ = std::exchange(other.process_, -1);
    started_ = other.started_;
    end_ = other.end_;
  }
  return *this;
}

ChildProcess::~ChildProcess() { kill_and_wait(); }

void ChildProcess::kill_and_wait() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
    }
    process_ = -1;
  }
}

bool ChildProcess::has_ended() {
  if (process_ < 0) {
    return true;
  }
  int status = 0;
  rusage used{};
  if (::wait4(process_, &status, WNOHANG, &used) != process_) {
    return false;
  }
  process_ = -1;
  end_.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  end_.seconds = now() - started_;
  end_.peak_bytes = 1024.0 * static_cast<double>(used.ru_maxrss);
  return true;
}

void ChildProcess::signal(int number) const {
  if (process_ > 0) {
    ::kill(process_, number);
  }
}

double ChildProcess::seconds() const { return now() - started_; }

std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t most) {
  std::ifstream in(file, std::ios::binary);
  in.seekg(0, std::ios::end);
  constexpr std::streamoff tail = 1 << 14;
  in.seekg(std::max<std::streamoff>(in.tellg() - std::streamoff(tail), 0));
  std::vector<std::string> lines;
  std::string line;
  while (std::getline(in, line)) {
    line = line.substr(line.rfind('\r') == std::string::npos ? 0 : line.rfind('\r') + 1).substr(0, 300);
    if (line.find_first_not_of(" \t") != std::string::npos) {
      lines.push_back(line);
    }
  }
  if (lines.size() > most) {
    lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(most));
  }
  return lines;
}

std::string text_of(const ChildEnd& end) {
  if (end.status >= 0) {
    return "ended with status " + std::to_string(end.status);
  }
  return "was ended by signal " + std::to_string(-end.status) + " (" + ::strsignal(-end.status) + ")";
}

}  // namespace bevfusion

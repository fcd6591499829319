// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/rank_launcher.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/ranks/rank_store.hpp"

namespace bevfusion {
namespace {

using Clock = std::chrono::steady_clock;

volatile std::sig_atomic_t asked_to_end = 0;

void remember(int number) { asked_to_end = number; }

/// Has signals remembered for as long as it lives.
class SignalsToEnd {
 public:
  SignalsToEnd() {
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      struct sigaction how {};
      how.sa_handler = remember;
      sigaction(numbers[k], &how, &before_[k]);
    }
  }
  ~SignalsToEnd() {
    for (std::size_t k = 0; k < numbers.size(); ++k) {
      sigaction(numbers[k], &before_[k], nullptr);
    }
  }
  SignalsToEnd(const SignalsToEnd&) = delete;
  SignalsToEnd& operator=(const SignalsToEnd&) = delete;

  static constexpr std::array<int, 3> numbers{SIGINT, SIGTERM, SIGHUP};

 private:
  std::array<struct sigaction, 3> before_{};
};

/// The words that this program was started with.
std::vector<std::string> own_words() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> words;
  for (std::string word; std::getline(in, word, '\0');) {
    words.push_back(word);
  }
  if (words.empty()) {
    throw std::runtime_error(
        "--ranks: /proc/self/cmdline does not say how this program was started; a launcher such as torchrun can "
        "start the ranks instead");
  }
  return words;
}

/// The environment of a rank: ours, and what a launcher sets.
std::vector<std::string> environment_of(int rank, int ranks, int port) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  std::vector<std::pair<std::string, std::string>> own{
      {"RANK", std::to_string(rank)}, {"LOCAL_RANK", std::to_string(rank)},  {"WORLD_SIZE", std::to_string(ranks)},
      {"MASTER_ADDR", "127.0.0.1"},   {"MASTER_PORT", std::to_string(port)}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  const char* const threads = std::getenv("OMP_NUM_THREADS");
  if (threads == nullptr || threads == std::to_string(cores)) {  // all of them, which nobody has asked for
    own.emplace_back("OMP_NUM_THREADS", std::to_string(std::max(1, cores / ranks)));
  }
  std::vector<std::string> words;
  for (char** word = environ; *word != nullptr; ++word) {
    const std::string text = *word;
    const std::string name = text.substr(0, text.find('='));
    if (std::none_of(own.begin(), own.end(), [&](const auto& variable) { return variable.first == name; })) {
      words.push_back(text);
    }
  }
  for (const auto& [name, value] : own) {
    words.push_back(name + "=" + value);
  }
  return words;
}

std::vector<char*> pointers_to(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) {
    out.push_back(const_cast<char*>(word.c_str()));
  }
  out.push_back(nullptr);
  return out;
}

/// A rank's process and what it says.
class RankProcess {
 public:
  RankProcess(int rank, const std::vector<std::string>& words, const std::vector<std::string>& environment) : rank_(rank) {
    std::array<int, 2> ends{-1, -1};
    if (rank > 0 && ::pipe(ends.data()) != 0) {
      throw std::runtime_error("--ranks: rank " + std::to_string(rank) + " cannot be started (" + std::strerror(errno) + ")");
    }
    const std::vector<char*> arguments = pointers_to(words);
    const std::vector<char*> variables = pointers_to(environment);
    const pid_t parent = ::getpid();
    process_ = ::fork();
    if (process_ == 0) {
      become(arguments.data(), variables.data(), ends[1], parent);
    }
    const int error = errno;
    if (rank > 0) {
      ::close(ends[1]);
      output_ = ends[0];
      ::fcntl(output_, F_SETFL, O_NONBLOCK);
    }
    if (process_ < 0) {
      throw std::runtime_error("--ranks: rank " + std::to_string(rank) + " cannot be started (" + std::strerror(error) + ")");
    }
  }
  ~RankProcess() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
    if (output_ >= 0) {
      ::close(output_);
    }
  }
  RankProcess(const RankProcess&) = delete;
  RankProcess& operator=(const RankProcess&) = delete;

  int rank() const { return rank_; }
  int output() const { return output_; }
  bool runs() const { return process_ > 0; }
  bool failed() const { return !runs() && status_ != 0; }
  /// Exit status; less a signal's number where one ended it.
  int status() const { return status_; }

  void look() {
    int status = 0;
    if (runs() && ::waitpid(process_, &status, WNOHANG) == process_) {
      process_ = -1;
      status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
  }

  void signal(int number) const {
    if (runs()) {
      ::kill(process_, number);
      if (number == SIGTERM) {
        ::kill(process_, SIGCONT);  // one that is stopped sees no other
      }
    }
  }

  /// Passes on the lines that it has said, each with its rank before it.
  void pass_on() {
    std::array<char, 4096> piece{};
    ssize_t count = 0;
    while (output_ >= 0 && (count = ::read(output_, piece.data(), piece.size())) > 0) {
      said_.append(piece.data(), static_cast<std::size_t>(count));
    }
    if (count == 0 && output_ >= 0) {
      ::close(std::exchange(output_, -1));
      said_ += said_.empty() || said_.back() == '\n' ? "" : "\n";
    }
    for (std::size_t end = said_.find('\n'); end != std::string::npos; end = said_.find('\n')) {
      // Rank 0's bar, where there is one, is drawn over.
      std::fprintf(stderr, "%srank %d: %.*s\n", ::isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "", rank_, static_cast<int>(end),
                   said_.c_str());
      said_.erase(0, end + 1);
    }
  }

  std::string end() const {
    return "rank " + std::to_string(rank_) +
           (status_ < 0 ? " was ended by signal " + std::to_string(-status_) + " (" + ::strsignal(-status_) + ")"
                        : " ended with status " + std::to_string(status_));
  }

 private:
  /// In the child: from here on only what is allowed between fork and exec.
  [[noreturn]] static void become(char* const* words, char* const* environment, int output, pid_t parent) {
#ifdef __linux__
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {  // it ended before that was asked for
      ::_exit(125);
    }
#else
    static_cast<void>(parent);
#endif
    if (output >= 0) {
      ::dup2(output, STDOUT_FILENO);
      ::dup2(output, STDERR_FILENO);
    }
    const long most = std::min(::sysconf(_SC_OPEN_MAX), 4096L);
    for (int file = 3; file < most; ++file) {  // sockets of the store among them
      ::close(file);
    }
    for (const int number : SignalsToEnd::numbers) {
      std::signal(number, SIG_DFL);
    }
    ::execve("/proc/self/exe", words, environment);
    ::_exit(127);
  }

  int rank_;
  pid_t process_ = -1;  ///< -1: ended
  int output_ = -1;     ///< where its output is read; -1: it has ours
  int status_ = 0;
  std::string said_;
};

using Processes = std::vector<std::unique_ptr<RankProcess>>;

void look_at(const Processes& processes, std::chrono::milliseconds patience) {
  std::vector<pollfd> outputs;
  for (const auto& process : processes) {
    if (process->output() >= 0) {
      outputs.push_back({process->output(), POLLIN, 0});
    }
  }
  ::poll(outputs.data(), outputs.size(), static_cast<int>(patience.count()));
  for (const auto& process : processes) {
    process->look();
    process->pass_on();
  }
}

bool any_runs(const Processes& processes) {
  return std::any_of(processes.begin(), processes.end(), [](const auto& process) { return process->runs(); });
}

/// Waits until all have ended, or for so long.
void wait_for(const Processes& processes, std::chrono::milliseconds most) {
  const auto end = Clock::now() + most;
  while (any_runs(processes) && Clock::now() < end) {
    look_at(processes, std::chrono::milliseconds(20));
  }
}

void signal_all(const Processes& processes, int number) {
  for (const auto& process : processes) {
    process->signal(number);
  }
}

/// Ends those that still run: first in words, then by force.
void end_all(const Processes& processes, int number) {
  signal_all(processes, number);
  wait_for(processes, std::chrono::seconds(10));
  signal_all(processes, SIGKILL);
  wait_for(processes, std::chrono::seconds(10));
}

/// Whose fault it was: one that a signal ended, before those that ended because of it.
const RankProcess* first_failed(const Processes& processes) {
  const RankProcess* failed = nullptr;
  for (const auto& process : processes) {
    if (process->failed() && (failed == nullptr || (process->status() < 0 && failed->status() >= 0))) {
      failed = process.get();
    }
  }
  return failed;
}

}  // namespace

int run_ranks_here(int ranks) {
  const RankStore store(ranks);
  const std::vector<std::string> words = own_words();
  const SignalsToEnd signals;
  Processes processes;
  for (int rank = 0; rank < ranks; ++rank) {
    processes.push_back(std::make_unique<RankProcess>(rank, words, environment_of(rank, ranks, store.port())));
  }
  while (any_runs(processes)) {
    look_at(processes, std::chrono::milliseconds(50));
    if (asked_to_end != 0) {
      const int number = asked_to_end;
      end_all(processes, number);
      return 128 + number;
    }
    if (first_failed(processes) != nullptr) {
      // The others may see for themselves what is missing; a moment for their words.
      wait_for(processes, std::chrono::seconds(2));
      const std::string reason = first_failed(processes)->end();
      const int status = first_failed(processes)->status();
      if (any_runs(processes)) {
        std::fprintf(stderr, "bevfusion: %s; the other ranks are ended\n", reason.c_str());
        end_all(processes, SIGTERM);
      } else {
        std::fprintf(stderr, "bevfusion: %s\n", reason.c_str());
      }
      return status < 0 ? 128 - status : status;
    }
  }
  look_at(processes, std::chrono::milliseconds(0));
  return first_failed(processes) == nullptr ? 0 : first_failed(processes)->status() < 0 ? 1 : first_failed(processes)->status();
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

namespace example {

/// "2:05", or "1:02:05" from one hour on.
inline std::string clock_time(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::max(seconds, 0.0) + 0.5);
  char text[32];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%d:%02d:%02d", static_cast<int>(whole / 3600), static_cast<int>(whole / 60 % 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d:%02d", static_cast<int>(whole / 60), static_cast<int>(whole % 60));
  }
  return text;
}

/// A progress bar with the time that is left, on a terminal; in a file or a pipe, a line every tenth. For several threads.
class Progress {
 public:
  explicit Progress(double total, std::FILE* out = stderr) : total_(total), out_(out), terminal_(isatty(fileno(out)) != 0) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(double amount) {
    const std::lock_guard<std::mutex> lock(mutex_);
    done_ += amount;
    if (terminal_) {
      if (Clock::now() - drawn_ > std::chrono::milliseconds(100)) {
        draw();
      }
    } else if (const int tenth = static_cast<int>(10 * done_ / total_); tenth > tenth_) {
      tenth_ = tenth;
      std::fprintf(out_, "%3d %%  %s\n", 10 * tenth, times().c_str());
      std::fflush(out_);
    }
  }

  /// A text after the times, from the next drawing on: how things stand.
  void status(std::string text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    status_ = std::move(text);
  }

  /// A line of text above the bar.
  void say(const std::string& line) {
    const std::lock_guard<std::mutex> lock(mutex_);
    clear();
    std::fprintf(out_, "%s\n", line.c_str());
    if (terminal_) {
      draw();
    }
    std::fflush(out_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  std::string times() const {
    const double passed = std::chrono::duration<double>(Clock::now() - begin_).count();
    return clock_time(passed) + " passed, " + clock_time(done_ > 0 ? passed * (total_ - done_) / done_ : 0) + " left" +
           (status_.empty() ? "" : "  " + status_);
  }

  int columns() const {
    winsize size{};
    return ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  }

  void draw() {
    constexpr int width = 36;
    const double share = std::min(done_ / total_, 1.0);
    const int full = static_cast<int>(share * width);
    std::string bar;
    for (int i = 0; i < width; ++i) {
      bar += i < full ? "━" : "┄";
    }
    // A line that breaks could not be drawn over.
    const std::string text = times().substr(0, static_cast<std::size_t>(std::max(columns() - width - 8, 0)));
    std::fprintf(out_, "\r\033[K%s %3d %%  %s", bar.c_str(), static_cast<int>(100 * share), text.c_str());
    std::fflush(out_);
    drawn_ = Clock::now();
  }

  void clear() {
    if (terminal_) {
      std::fprintf(out_, "\r\033[K");
      std::fflush(out_);
    }
  }

  double total_;
  double done_ = 0;
  std::FILE* out_;
  bool terminal_;
  int tenth_ = 0;
  std::string status_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point drawn_{};
  std::mutex mutex_;
};

}  // namespace example

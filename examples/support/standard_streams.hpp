// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace example {

/// For the beginning of main(). Where standard input, output or error is closed, the next file that is opened would take its
/// number, and messages would go into that file: they are opened so that using them fails. A file that grows past the limit
/// (ulimit -f) becomes an error of the call that writes, not the end of the program.
inline void prepare_standard_streams() {
  for (int number = 0; number < 3; ++number) {
    if (::fcntl(number, F_GETFD) == -1 && errno == EBADF) {
      if (::open("/dev/null", number == 0 ? O_WRONLY : O_RDONLY) != number) {
        break;
      }
    }
  }
  std::signal(SIGXFSZ, SIG_IGN);
}

/// For the end of main(): what to return. Results that never reached standard output, closed or on a full disk, are a failure.
inline int exit_status(const char* program, int status) {
  errno = 0;
  const bool streamed = !std::cout.flush().fail();
  const bool written = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  int error = errno;
  if (streamed && written) {
    return status;
  }
  if (error == 0 && ::write(STDOUT_FILENO, "\n", 1) < 0) {  // what failed before has taken its reason along
    error = errno;
  }
  std::fprintf(stderr, "%s: standard output cannot be written%s\n", program,
               error == 0 ? "" : (" (" + std::string(std::strerror(error)) + ")").c_str());
  return status == 0 ? 1 : status;
}

/// An error in words. LibTorch's errors have the place where they were thrown and the calls that led there after the words.
inline std::string reason_of(const std::exception& error) {
  const std::string text = error.what();
  const std::string words = text.substr(0, text.find("Exception raised from "));
  const std::size_t last = words.find_last_not_of(" \n");
  return last == std::string::npos ? text : words.substr(0, last + 1);
}

}  // namespace example

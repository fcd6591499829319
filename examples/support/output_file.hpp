// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace example {

/// Throws std::runtime_error: "FILE: cannot be written (No space left on device)".
[[noreturn]] inline void cannot_write(const std::filesystem::path& file, int error) {
  throw std::runtime_error(file.string() + ": cannot be written (" + std::strerror(error) + ")");
}

/// A file being written, in large pieces. Whatever the system refuses is a std::runtime_error with the file's name and the
/// system's reason, thrown by the call that met it; a stream of the standard library keeps the reason to itself.
class OutputFile {
 public:
  enum class Mode { replace, append };

  explicit OutputFile(std::filesystem::path path, Mode mode = Mode::replace) : path_(std::move(path)) {
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (mode == Mode::append ? O_APPEND : O_TRUNC);
    handle_ = ::open(path_.c_str(), flags, 0666);
    if (handle_ < 0) {
      cannot_write(path_, errno);
    }
  }
  /// Hands over what is left and keeps silent: who wants to know calls close().
  ~OutputFile() {
    if (handle_ >= 0) {
      if (!failed_) {
        hand_over();
      }
      ::close(handle_);
    }
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(std::string_view bytes) {
    buffer_.append(bytes);
    if (buffer_.size() >= enough) {
      flush();
    }
  }
  void put(char byte) { write({&byte, 1}); }

  /// Hands everything to the system.
  void flush() {
    if (const int error = hand_over(); error != 0) {
      failed_ = true;
      cannot_write(path_, error);
    }
  }

  /// Returns once everything is on the disk.
  void store() {
    flush();
    if (::fsync(handle_) != 0 && errno != EINVAL && errno != ENOTSUP) {  // pipes and devices have no disk
      failed_ = true;
      cannot_write(path_, errno);
    }
  }

  void close() {
    flush();
    if (::close(std::exchange(handle_, -1)) != 0) {
      cannot_write(path_, errno);
    }
  }

  const std::filesystem::path& path() const { return path_; }

 private:
  static constexpr std::size_t enough = std::size_t{1} << 16U;

  /// @return the system's error, or 0
  int hand_over() {
    for (std::string_view rest = buffer_; !rest.empty();) {
      const ssize_t written = ::write(handle_, rest.data(), rest.size());
      if (written < 0 && errno != EINTR) {
        return errno;
      }
      rest.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    buffer_.clear();
    return 0;
  }

  std::filesystem::path path_;
  int handle_ = -1;
  bool failed_ = false;
  std::string buffer_;
};

/// An OutputFile for what writes to a std::ostream. With `exceptions(std::ios::badbit)` the stream throws what the file throws.
class OutputFileBuffer : public std::streambuf {
 public:
  explicit OutputFileBuffer(OutputFile& file) : file_(file) {}

 protected:
  int_type overflow(int_type byte) override {
    if (!traits_type::eq_int_type(byte, traits_type::eof())) {
      file_.put(traits_type::to_char_type(byte));
    }
    return traits_type::not_eof(byte);
  }
  std::streamsize xsputn(const char* bytes, std::streamsize count) override {
    file_.write({bytes, static_cast<std::size_t>(count)});
    return count;
  }

 private:
  OutputFile& file_;
};

/// Writes a file so that it is there whole, old or new, at any moment, even after a power failure: under a name of this process
/// beside it, brought to the disk, then renamed. A device or a pipe is written as it is.
/// @param write  called with the OutputFile
/// @throws std::runtime_error with file and reason where the system refuses; what `write` throws; the old file is as it was then
template <class Write>
void write_whole(const std::filesystem::path& file, const Write& write) {
  std::error_code ignored;
  if (std::filesystem::exists(file, ignored) && !std::filesystem::is_regular_file(file, ignored)) {
    OutputFile out(file);
    write(out);
    out.close();
    return;
  }
  const std::filesystem::path temporary = file.string() + ".partial-" + std::to_string(::getpid());
  try {
    OutputFile out(temporary);
    write(out);
    out.store();
    out.close();
    if (std::rename(temporary.c_str(), file.c_str()) != 0) {
      cannot_write(file, errno);
    }
  } catch (...) {
    std::filesystem::remove(temporary, ignored);
    throw;
  }
  const std::filesystem::path folder = file.parent_path();
  const int handle = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle >= 0) {  // the new name, too; where a folder cannot be brought to the disk, the name is there all the same
    ::fsync(handle);
    ::close(handle);
  }
}

/// The same for a text.
inline void write_file(const std::filesystem::path& file, std::string_view text) {
  write_whole(file, [text](OutputFile& out) { out.write(text); });
}

}  // namespace example

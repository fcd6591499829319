// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace example {

/// Keeps a folder to this process while the object lives: the system gives it back when the process ends, in whatever way, even
/// killed. The file FOLDER/.lock holds the process's number.
class FolderLock {
 public:
  /// @param folder  exists
  /// @param use     what it is used for, as in "is being trained"
  /// @throws std::runtime_error that names folder and process where another one has it, or where the folder cannot be written.
  ///         A file system that knows no locks is not guarded.
  FolderLock(const std::filesystem::path& folder, const std::string& use) : path_(folder / ".lock") {
    while (!try_lock(folder, use)) {
    }
  }
  FolderLock(FolderLock&& other) noexcept : path_(std::move(other.path_)), handle_(std::exchange(other.handle_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (handle_ >= 0) {
      ::unlink(path_.c_str());  // before it is given back: who comes now makes a file of its own
      ::close(handle_);
    }
  }

 private:
  /// @return false where the file was taken away by a process that just ended
  bool try_lock(const std::filesystem::path& folder, const std::string& use) {
    handle_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (handle_ < 0) {
      throw std::runtime_error(folder.string() + ": cannot be written (" + std::strerror(errno) + ")");
    }
    if (::flock(handle_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      std::array<char, 32> number{};
      const ssize_t length = ::read(handle_, number.data(), number.size() - 1);
      ::close(std::exchange(handle_, -1));
      throw std::runtime_error(folder.string() + " " + use + " by process " +
                               (length > 0 ? std::string(number.data(), static_cast<std::size_t>(length)) : "unknown") +
                               "; wait for it or end it, or choose another folder");
    }
    struct stat held {};
    struct stat named {};
    if (::fstat(handle_, &held) == 0 && (::stat(path_.c_str(), &named) != 0 || held.st_ino != named.st_ino)) {
      ::close(std::exchange(handle_, -1));
      return false;
    }
    const std::string number = std::to_string(::getpid());
    if (::ftruncate(handle_, 0) != 0 || ::write(handle_, number.data(), number.size()) < 0) {
      return true;  // a full disk: the lock holds all the same, without a number in it
    }
    return true;
  }

  std::filesystem::path path_;
  int handle_ = -1;
};

}  // namespace example

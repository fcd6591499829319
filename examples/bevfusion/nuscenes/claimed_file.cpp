// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/claimed_file.hpp"

#include <cerrno>
#include <cstdio>
#include <random>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bevfusion {

ClaimedFile::ClaimedFile(std::filesystem::path file, Lock lock)
    : file_(std::move(file)), part_(file_.string() + ".part"), lock_(lock == nullptr ? &::flock : lock) {}

ClaimedFile::~ClaimedFile() {
  if (handle_ < 0) return;
  ::unlink(part_.c_str());  // while it is still locked: who comes now makes another
  ::close(handle_);
}

ClaimedFile::Claim ClaimedFile::claim() {
  const int handle = ::open(part_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (handle < 0) {
    error_ = errno;
    return Claim::refused;
  }
  const int locked = lock_(handle, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
  const bool others = locked == EWOULDBLOCK || locked == EINTR;
  if (locked != 0 && !others) {
    ::close(handle);
    ::unlink(part_.c_str());
    return claim_without_lock();
  }
  struct stat held {};
  struct stat named {};
  // Whoever had it may have put it in place, or taken it away, between our two calls.
  const bool ours = !others && ::fstat(handle, &held) == 0 && ::stat(part_.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
                    held.st_dev == named.st_dev;
  if (!ours) {
    ::close(handle);
    return Claim::others;
  }
  if (::ftruncate(handle, 0) != 0) {
    error_ = errno;
    ::close(handle);
    return Claim::refused;
  }
  handle_ = handle;
  return Claim::made;
}

ClaimedFile::Claim ClaimedFile::claim_without_lock() {
  const std::filesystem::path shared = part_;
  std::random_device random;
  do {
    part_ = shared.string() + "-" + std::to_string(random()) + "-" + std::to_string(::getpid());
    handle_ = ::open(part_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (handle_ < 0 && errno == EEXIST);
  error_ = errno;
  return handle_ < 0 ? Claim::refused : Claim::made;
}

bool ClaimedFile::write(const void* bytes, std::size_t count) {
  const auto* at = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(handle_, at, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      error_ = errno;
      return false;
    }
    at += written;
    count -= static_cast<std::size_t>(written);
  }
  return true;
}

bool ClaimedFile::put_in_place() {
  if (std::rename(part_.c_str(), file_.c_str()) != 0) {
    error_ = errno;
    return false;
  }
  ::close(std::exchange(handle_, -1));
  return true;
}

}  // namespace bevfusion

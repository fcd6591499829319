// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/hashed_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fcntl.h>
#include <unistd.h>

namespace bevfusion {

namespace {
constexpr std::size_t piece = std::size_t{1} << 18U;
}  // namespace

HashedFileBuffer::HashedFileBuffer(const std::filesystem::path& file) {
  handle_ = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
#ifdef POSIX_FADV_SEQUENTIAL
  if (handle_ >= 0) ::posix_fadvise(handle_, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
}

HashedFileBuffer::~HashedFileBuffer() {
  if (handle_ >= 0) ::close(handle_);
}

std::size_t HashedFileBuffer::read(char* to, std::size_t count) {
  for (;;) {
    const ssize_t got = handle_ < 0 ? 0 : ::read(handle_, to, count);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    const auto taken = static_cast<std::size_t>(got);
    sum_.add(to, taken);
    bytes_ += taken;
    return taken;
  }
}

HashedFileBuffer::int_type HashedFileBuffer::underflow() {
  buffer_.resize(piece);
  const std::size_t got = read(buffer_.data(), buffer_.size());
  setg(buffer_.data(), buffer_.data(), buffer_.data() + got);
  return got > 0 ? traits_type::to_int_type(buffer_[0]) : traits_type::eof();
}

std::streamsize HashedFileBuffer::xsgetn(char* to, std::streamsize count) {
  const std::streamsize held = std::min<std::streamsize>(count, egptr() - gptr());
  if (held > 0) {
    std::memcpy(to, gptr(), static_cast<std::size_t>(held));
    gbump(static_cast<int>(held));
  }
  std::streamsize got = held;
  while (got < count) {
    // In pieces that are still in the core's cache when they are summed.
    const std::size_t taken = read(to + got, std::min(piece, static_cast<std::size_t>(count - got)));
    if (taken == 0) break;
    got += static_cast<std::streamsize>(taken);
  }
  return got;
}

HashedFileBuffer::pos_type HashedFileBuffer::seekoff(off_type by, std::ios_base::seekdir from, std::ios_base::openmode) {
  const auto at = static_cast<off_type>(bytes_) - (egptr() - gptr());
  if (by == 0 && from == std::ios_base::cur) return pos_type(at);
  return from == std::ios_base::beg ? seekpos(pos_type(by), std::ios_base::in) : pos_type(off_type(-1));
}

HashedFileBuffer::pos_type HashedFileBuffer::seekpos(pos_type to, std::ios_base::openmode) {
  if (off_type(to) != 0 || ::lseek(handle_, 0, SEEK_SET) != 0) return pos_type(off_type(-1));
  sum_ = Checksum();
  bytes_ = 0;
  setg(buffer_.data(), buffer_.data(), buffer_.data());
  return to;
}

std::uint64_t HashedFile::checksum_of_all() {
  clear();
  std::vector<char> piece_of_it(piece);
  while (read(piece_of_it.data(), static_cast<std::streamsize>(piece_of_it.size()))) {
  }
  return buffer_.checksum();
}

}  // namespace bevfusion

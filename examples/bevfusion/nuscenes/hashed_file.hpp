// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <istream>
#include <streambuf>
#include <vector>

#include "bevfusion/nuscenes/checksum.hpp"

namespace bevfusion {

/// A file read from its beginning, with the checksum of what was read of it. It may be read again from its beginning, and no
/// other place can be sought.
class HashedFileBuffer : public std::streambuf {
 public:
  explicit HashedFileBuffer(const std::filesystem::path& file);
  ~HashedFileBuffer() override;
  HashedFileBuffer(const HashedFileBuffer&) = delete;
  HashedFileBuffer& operator=(const HashedFileBuffer&) = delete;

  bool opened() const { return handle_ >= 0; }
  std::uint64_t checksum() const { return sum_.value(); }
  std::uint64_t bytes() const { return bytes_; }

 protected:
  int_type underflow() override;
  std::streamsize xsgetn(char* to, std::streamsize count) override;
  pos_type seekoff(off_type by, std::ios_base::seekdir from, std::ios_base::openmode mode) override;
  pos_type seekpos(pos_type to, std::ios_base::openmode mode) override;

 private:
  std::size_t read(char* to, std::size_t count);

  int handle_ = -1;
  std::vector<char> buffer_;
  Checksum sum_;
  std::uint64_t bytes_ = 0;
};

class HashedFile : public std::istream {
 public:
  explicit HashedFile(const std::filesystem::path& file) : std::istream(nullptr), buffer_(file) { rdbuf(&buffer_); }
  bool opened() const { return buffer_.opened(); }
  /// Reads what is left, and gives the checksum of the whole file.
  std::uint64_t checksum_of_all();
  /// How many bytes that were.
  std::uint64_t bytes() const { return buffer_.bytes(); }

 private:
  HashedFileBuffer buffer_;
};

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/archive_file.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "bevfusion/training/crc32c.hpp"
#include "support/output_file.hpp"

namespace bevfusion {
namespace {

// A zip file ends with a record of 22 bytes and its comment, whose length the record's last two bytes are (APPNOTE, 4.3.16).
constexpr std::string_view end_record = "PK\x05\x06";
constexpr std::size_t end_size = 22;
constexpr std::string_view sign = "CRC-32C ";
constexpr std::size_t comment_size = sign.size() + 8;

std::string comment_of(std::uint32_t sum) {
  char digits[16];
  std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(sum));
  return std::string(sign) + digits;
}

/// Takes a zip file in pieces and keeps back its end, until that can be written with a comment. LibTorch must see no failure: its
/// writer's destructor throws after one. So the first is kept, and what comes after it is dropped.
class CommentedZip {
 public:
  explicit CommentedZip(example::OutputFile& out) : out_(out) {}

  std::size_t take(const void* bytes, std::size_t count) noexcept {
    if (!failure_) {
      try {
        tail_.append(static_cast<const char*>(bytes), count);
        if (tail_.size() > end_size) {
          pass_on(tail_.size() - end_size);
        }
      } catch (...) {
        failure_ = std::current_exception();
      }
    }
    return count;
  }

  void finish() {
    if (failure_) {
      std::rethrow_exception(failure_);
    }
    if (tail_.size() != end_size || tail_.compare(0, end_record.size(), end_record) != 0 || tail_[20] != 0 || tail_[21] != 0) {
      throw std::runtime_error(out_.path().string() + ": LibTorch made no zip file of it");
    }
    tail_[20] = static_cast<char>(comment_size);
    pass_on(tail_.size());
    out_.write(comment_of(sum_.value()));
  }

 private:
  void pass_on(std::size_t count) {
    const std::string_view bytes = std::string_view(tail_).substr(0, count);
    sum_.add(bytes);
    out_.write(bytes);
    tail_.erase(0, count);
  }

  example::OutputFile& out_;
  Crc32c sum_;
  std::string tail_;
  std::exception_ptr failure_;
};

}  // namespace

void write_archive(const std::filesystem::path& file, torch::serialize::OutputArchive& archive) {
  example::write_whole(file, [&archive](example::OutputFile& out) {
    CommentedZip zip(out);
    archive.save_to([&zip](const void* bytes, std::size_t count) { return zip.take(bytes, count); });
    zip.finish();
  });
}

Checksum checksum_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : -1;
  if (size < 0) {
    throw std::runtime_error("it cannot be read");
  }
  constexpr auto of_comment = static_cast<std::streamoff>(comment_size);
  if (size < of_comment) {
    return Checksum::absent;
  }
  std::string comment(comment_size, '\0');
  in.seekg(size - of_comment);
  in.read(comment.data(), of_comment);
  if (comment.compare(0, sign.size(), sign) != 0) {
    return Checksum::absent;
  }
  in.seekg(0);
  Crc32c sum;
  std::string piece(std::size_t{1} << 20U, '\0');
  for (std::streamoff left = size - of_comment; left > 0;) {
    const std::streamoff now = std::min(left, static_cast<std::streamoff>(piece.size()));
    if (!in.read(piece.data(), now)) {
      throw std::runtime_error("it cannot be read to its end");
    }
    sum.add(std::string_view(piece).substr(0, static_cast<std::size_t>(now)));
    left -= now;
  }
  return comment == comment_of(sum.value()) ? Checksum::agrees : Checksum::differs;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/checksum.hpp"

namespace bevfusion {

/// What is wrong with a file of blocks.
class BlockError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Bytes in blocks of a megabyte at most, each after its length and its checksum, which begins with the block's number; then a
// block of no bytes. A byte that is changed, cut off, added or in another place is met before anything of its block is given out.
struct BlockHead {
  static constexpr std::uint32_t most = 1U << 20U;

  std::uint64_t length = 0;
  std::uint64_t checksum = 0;

  static std::uint64_t checksum_of(std::uint64_t number, const std::vector<char>& bytes) {
    Checksum sum(number);
    sum.add(bytes.data(), bytes.size());
    return sum.value();
  }
};

class BlockWriter {
 public:
  using Put = std::function<void(const void* bytes, std::size_t count)>;

  explicit BlockWriter(Put put) : put_(std::move(put)) { block_.reserve(BlockHead::most); }

  void add(const void* bytes, std::size_t count) {
    const auto* at = static_cast<const char*>(bytes);
    while (count > 0) {
      const std::size_t taken = std::min<std::size_t>(count, BlockHead::most - block_.size());
      block_.insert(block_.end(), at, at + taken);
      at += taken;
      count -= taken;
      if (block_.size() == BlockHead::most) end_block();
    }
  }

  void finish() {
    if (!block_.empty()) end_block();
    end_block();
  }

 private:
  void end_block() {
    const BlockHead head{block_.size(), BlockHead::checksum_of(number_++, block_)};
    put_(&head, sizeof head);
    put_(block_.data(), block_.size());
    block_.clear();
  }

  Put put_;
  std::vector<char> block_;
  std::uint64_t number_ = 0;
};

class BlockReader {
 public:
  /// @return how many bytes there were
  using Get = std::function<std::size_t(void* bytes, std::size_t count)>;

  explicit BlockReader(Get get) : get_(std::move(get)) {}

  void take(void* bytes, std::size_t count) {
    auto* to = static_cast<char*>(bytes);
    while (count > block_.size() - at_) {
      const std::size_t taken = block_.size() - at_;
      if (taken > 0) std::memcpy(to, block_.data() + at_, taken);
      to += taken;
      count -= taken;
      next_block();
      if (block_.empty()) throw BlockError("it ends early");
    }
    if (count > 0) std::memcpy(to, block_.data() + at_, count);
    at_ += count;
  }

  /// That everything was taken, and the file ends.
  void expect_end() {
    if (at_ < block_.size()) throw BlockError("it has more than it should");
    next_block();
    char more = 0;
    if (!block_.empty() || get_(&more, 1) != 0) throw BlockError("it has more than it should");
  }

 private:
  void next_block() {
    BlockHead head;
    if (get_(&head, sizeof head) != sizeof head) throw BlockError("it is cut short");
    if (head.length > BlockHead::most) throw BlockError("it is damaged in block " + std::to_string(number_));
    block_.resize(head.length);
    at_ = 0;
    if (get_(block_.data(), block_.size()) != block_.size()) throw BlockError("it is cut short");
    if (BlockHead::checksum_of(number_, block_) != head.checksum) {
      throw BlockError("it is damaged in block " + std::to_string(number_));
    }
    ++number_;
  }

  Get get_;
  std::vector<char> block_;
  std::size_t at_ = 0;
  std::uint64_t number_ = 0;
};

}  // namespace bevfusion

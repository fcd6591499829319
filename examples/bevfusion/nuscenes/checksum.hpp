// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bevfusion {

/// 64 bits that follow from bytes, which come in pieces, and from a seed; as fast as memory is read. For damage and changes, not
/// against forgery.
///
/// Eight lanes take a word of eight bytes each in turn: lane = rotate((lane xor word) odd number). A step can be undone, from
/// the lane as from the word, and so can the folding of the lanes: what differs in one word alone always differs in the value.
class Checksum {
 public:
  explicit Checksum(std::uint64_t seed = 0) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i] = step(seed, i + 1);
  }

  void add(const void* bytes, std::size_t count) {
    const auto* at = static_cast<const unsigned char*>(bytes);
    length_ += count;
    if (held_ > 0) {
      const std::size_t taken = count < stripe - held_ ? count : stripe - held_;
      std::memcpy(rest_.data() + held_, at, taken);
      held_ += taken;
      at += taken;
      count -= taken;
      if (held_ < stripe) return;
      take(rest_.data(), 1);
    }
    take(at, count / stripe);
    held_ = count % stripe;
    if (held_ > 0) std::memcpy(rest_.data(), at + count - held_, held_);
  }

  std::uint64_t value() const {
    Checksum whole = *this;
    std::memset(whole.rest_.data() + held_, 0, stripe - held_);
    whole.take(whole.rest_.data(), 1);
    std::uint64_t value = step(0, length_);
    for (const std::uint64_t lane : whole.lanes_) value = step(value, lane);
    return value ^ value >> 32U;
  }

 private:
  static constexpr std::size_t stripe = 64;

  static std::uint64_t step(std::uint64_t lane, std::uint64_t word) {
    const std::uint64_t product = (lane ^ word) * 0x9e3779b97f4a7c15ULL;
    return product << 29U | product >> 35U;
  }

  void take(const unsigned char* at, std::size_t stripes) {
    std::array<std::uint64_t, stripe / 8> lanes = lanes_;
    for (; stripes > 0; --stripes, at += stripe) {
      for (std::size_t i = 0; i < lanes.size(); ++i) {
        std::uint64_t word = 0;
        std::memcpy(&word, at + 8 * i, sizeof word);
        lanes[i] = step(lanes[i], word);
      }
    }
    lanes_ = lanes;
  }

  std::array<std::uint64_t, stripe / 8> lanes_{};
  std::array<unsigned char, stripe> rest_{};
  std::size_t held_ = 0;  // of rest_
  std::uint64_t length_ = 0;
};

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/event_file.hpp"

#include <array>
#include <chrono>
#include <cstring>

#include <unistd.h>

#include "bevfusion/training/crc32c.hpp"

namespace bevfusion {
namespace {

// Protobuf's wire format: a key (field number and type), then the value.
constexpr unsigned varint_type = 0;
constexpr unsigned eight_byte_type = 1;
constexpr unsigned text_type = 2;
constexpr unsigned four_byte_type = 5;

template <class Bits>
std::string little_endian(Bits bits) {
  std::string text;
  for (std::size_t i = 0; i < sizeof(Bits); ++i) {
    text += static_cast<char>(bits >> 8 * i & 0xFFU);
  }
  return text;
}

std::string varint(std::uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7U) {
    text += static_cast<char>((value & 0x7FU) | 0x80U);
  }
  return text + static_cast<char>(value);
}

std::string key(unsigned field, unsigned type) { return varint(field << 3U | type); }

std::string of_text(unsigned field, const std::string& text) { return key(field, text_type) + varint(text.size()) + text; }

std::string of_double(unsigned field, double value) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return key(field, eight_byte_type) + little_endian(bits);
}

std::string of_float(unsigned field, float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return key(field, four_byte_type) + little_endian(bits);
}

std::string of_integer(unsigned field, std::uint64_t value) { return key(field, varint_type) + varint(value); }

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// Event: wall_time = 1 (double), step = 2 (int64), and one of file_version = 3, summary = 5, session_log = 7.
std::string event(std::int64_t step, const std::string& content) {
  return of_double(1, now()) + of_integer(2, static_cast<std::uint64_t>(step)) + content;
}

}  // namespace

EventFile::EventFile(const std::filesystem::path& folder, std::int64_t first_step) {
  std::array<char, 256> host{};
  const bool named = ::gethostname(host.data(), host.size() - 1) == 0 && host[0] != '\0';
  // TensorBoard reads the files of a folder in the order of their names, and a run may be resumed within the second.
  for (int number = 0; path_.empty() || std::filesystem::exists(path_); ++number) {
    path_ = folder / ("events.out.tfevents." + std::to_string(static_cast<std::int64_t>(now())) + "." +
                      (named ? host.data() : "localhost") + "." + std::to_string(number));
  }
  out_.emplace(path_);
  record(event(0, of_text(3, "brain.Event:2")));
  record(event(first_step, of_text(7, of_integer(1, 1))));  // SessionLog: status = 1 is START = 1
}

void EventFile::add(std::int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {
    summary += of_text(1, of_text(1, tag) + of_float(2, static_cast<float>(value)));  // Summary.value: tag = 1, simple_value = 2
  }
  record(event(step, of_text(5, summary)));
}

/// TFRecord: length (8 bytes), masked CRC of these, data, masked CRC of it.
void EventFile::record(const std::string& bytes) {
  const std::string length = little_endian(static_cast<std::uint64_t>(bytes.size()));
  out_->write(length + little_endian(masked_crc32c(length)) + bytes + little_endian(masked_crc32c(bytes)));
  out_->flush();
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/weights/zip_file.hpp"

#include <algorithm>
#include <fstream>
#include <utility>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {
namespace {

// The parts of a zip file: PKWARE's APPNOTE, 4.3.
constexpr std::uint64_t end_size = 22;
constexpr std::uint64_t longest_comment = 65535;
constexpr std::uint64_t locator_size = 20;
constexpr std::uint64_t wide_end_size = 56;
constexpr std::uint64_t central_size = 46;
constexpr std::uint64_t local_size = 30;
constexpr std::uint32_t in_wide_field = 0xFFFFFFFF;

/// `count` bytes from `at`, little-endian.
std::uint64_t number(const std::string& bytes, std::uint64_t at, int count) {
  std::uint64_t value = 0;
  for (int k = count; k-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + static_cast<std::uint64_t>(k)]);
  }
  return value;
}

/// A 64-bit value of the extra field 1, where values stand that do not fit in 32 bits; `skip` of them stand before it.
bool wide_value(const std::string& extra, std::uint64_t skip, std::uint64_t& value) {
  for (std::uint64_t at = 0; at + 4 <= extra.size();) {
    const std::uint64_t length = number(extra, at + 2, 2);
    if (number(extra, at, 2) == 1 && 8 * (skip + 1) <= length && at + 4 + length <= extra.size()) {
      value = number(extra, at + 4 + 8 * skip, 8);
      return true;
    }
    at += 4 + length;
  }
  return false;
}

}  // namespace

ZipFile::ZipFile(const std::filesystem::path& path)
    : ZipFile(std::make_unique<std::ifstream>(path, std::ios::binary), path.string()) {}

ZipFile::ZipFile(std::unique_ptr<std::istream> file, std::string name) : name_(std::move(name)), file_(std::move(file)) {
  if (!*file_) {
    fail(name_, "cannot be opened");
  }
  file_->seekg(0, std::ios::end);
  const std::streamoff length = file_->tellg();
  if (length < 0) {
    fail(name_, "is no file that can be read");
  }
  length_ = static_cast<std::uint64_t>(length);
  read_directory();
  strip_shared_folder();
}

std::string ZipFile::bytes_at(std::uint64_t place, std::uint64_t count) {
  if (place > length_ || count > length_ - place) {
    fail(name_, "cut short: " + std::to_string(count) + " bytes at " + std::to_string(place) + " are past its end");
  }
  std::string bytes(static_cast<std::size_t>(count), '\0');
  file_->clear();
  file_->seekg(static_cast<std::streamoff>(place));
  if (!file_->read(bytes.data(), static_cast<std::streamsize>(count))) {
    fail(name_, "cannot be read");
  }
  return bytes;
}

void ZipFile::read_directory() {
  const std::uint64_t tail_size = std::min(length_, end_size + longest_comment);
  const std::string tail = bytes_at(length_ - tail_size, tail_size);
  const std::size_t found = tail.rfind("PK\x05\x06");
  if (found == std::string::npos || tail.size() - found < end_size) {
    fail(name_, "is no zip file, or cut short; files of torch.save before PyTorch 1.6 must be saved anew by a current one");
  }
  const std::uint64_t end = length_ - tail_size + found;
  std::uint64_t count = number(tail, found + 10, 2);
  std::uint64_t size = number(tail, found + 12, 4);
  std::uint64_t place = number(tail, found + 16, 4);
  if (end >= locator_size) {
    const std::string locator = bytes_at(end - locator_size, locator_size);
    if (locator.compare(0, 4, "PK\x06\x07", 4) == 0) {
      const std::string wide = bytes_at(number(locator, 8, 8), wide_end_size);
      if (wide.compare(0, 4, "PK\x06\x06", 4) != 0) {
        fail(name_, "its 64-bit end record is none");
      }
      count = number(wide, 32, 8);
      size = number(wide, 40, 8);
      place = number(wide, 48, 8);
    }
  }
  const std::string directory = bytes_at(place, size);
  std::uint64_t at = 0;
  for (std::uint64_t k = 0; k < count; ++k) {
    if (directory.size() - at < central_size || directory.compare(at, 4, "PK\x01\x02", 4) != 0) {
      fail(name_, "entry " + std::to_string(k) + " of its directory is none");
    }
    const std::uint64_t name_length = number(directory, at + 28, 2);
    const std::uint64_t extra_length = number(directory, at + 30, 2);
    const std::uint64_t whole = central_size + name_length + extra_length + number(directory, at + 32, 2);
    if (directory.size() - at < whole) {
      fail(name_, "entry " + std::to_string(k) + " of its directory is cut short");
    }
    const std::string entry_name = directory.substr(at + central_size, name_length);
    const std::string extra = directory.substr(at + central_size + name_length, extra_length);
    std::uint64_t packed = number(directory, at + 20, 4);
    Entry entry{number(directory, at + 42, 4), number(directory, at + 24, 4)};
    std::uint64_t wide = 0;
    const bool complete = (entry.size != in_wide_field || wide_value(extra, wide++, entry.size)) &&
                          (packed != in_wide_field || wide_value(extra, wide++, packed)) &&
                          (entry.header != in_wide_field || wide_value(extra, wide++, entry.header));
    if (!complete) {
      fail(name_, "entry " + entry_name + " lacks its 64-bit sizes");
    }
    entry.stored = number(directory, at + 10, 2) == 0 && packed == entry.size;
    if (entry.stored && entry.size > length_) {
      fail(name_, "entry " + entry_name + " is larger than the file");
    }
    entries_[entry_name] = entry;
    at += whole;
  }
}

void ZipFile::strip_shared_folder() {
  const std::string first = entries_.empty() ? "" : entries_.begin()->first;
  const std::string folder = first.substr(0, first.find('/') + 1);
  const bool shared = !folder.empty() && std::all_of(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry.first.compare(0, folder.size(), folder) == 0;
  });
  if (shared) {
    std::map<std::string, Entry> stripped;
    for (const auto& [entry_name, entry] : entries_) {
      stripped[entry_name.substr(folder.size())] = entry;
    }
    entries_ = std::move(stripped);
  }
}

const ZipFile::Entry& ZipFile::find(const std::string& entry) const {
  const auto found = entries_.find(entry);
  if (found == entries_.end()) {
    fail(name_, "has no entry " + entry);
  }
  if (!found->second.stored) {
    fail(name_, "entry " + entry + " is compressed");
  }
  return found->second;
}

void ZipFile::read(const std::string& entry_name, void* into, std::uint64_t size) {
  const Entry& entry = find(entry_name);
  const std::string header = bytes_at(entry.header, local_size);
  if (header.compare(0, 4, "PK\x03\x04", 4) != 0) {
    fail(name_, "entry " + entry_name + " is not where the directory says");
  }
  const std::uint64_t place = entry.header + local_size + number(header, 26, 2) + number(header, 28, 2);
  if (size > entry.size || place > length_ || size > length_ - place) {
    fail(name_, "entry " + entry_name + " is cut short: it has no " + std::to_string(size) + " bytes");
  }
  file_->clear();
  file_->seekg(static_cast<std::streamoff>(place));
  if (!file_->read(static_cast<char*>(into), static_cast<std::streamsize>(size))) {
    fail(name_, "entry " + entry_name + " cannot be read");
  }
}

std::string ZipFile::read(const std::string& entry) {
  std::string bytes(static_cast<std::size_t>(size(entry)), '\0');
  read(entry, bytes.data(), bytes.size());
  return bytes;
}

}  // namespace bevfusion

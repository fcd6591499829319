// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace example {

/// The superclasses of CIFAR-100 in the order of their numbers.
inline constexpr std::array<const char*, 20> cifar100_superclasses = {
    "aquatic mammals", "fish",          "flowers",          "food containers", "fruit and vegetables", "electrical devices",
    "furniture",       "insects",       "large carnivores", "large man-made",  "large natural",        "large herbivores",
    "medium mammals",  "invertebrates", "people",           "reptiles",        "small mammals",        "trees",
    "vehicles 1",      "vehicles 2"};

/// The superclass of each of the hundred classes, which are in alphabetical order.
inline constexpr std::array<int, 100> cifar100_superclass_of = {
    4,  1,  14, 8,  0,  6,  7,  7, 18, 3,  3,  14, 9, 18, 7,  11, 3,  9, 7,  11, 6,  11, 5,  10, 7,
    6,  13, 15, 3,  15, 0,  11, 1, 10, 12, 14, 16, 9, 11, 5,  5,  19, 8, 8,  15, 13, 14, 17, 18, 10,
    16, 4,  17, 4,  2,  0,  17, 4, 18, 17, 10, 3,  2, 12, 12, 16, 12, 1, 9,  19, 2,  10, 0,  1,  16,
    12, 9,  13, 15, 13, 16, 19, 2, 4,  6,  19, 5,  5, 8,  19, 18, 1,  2, 15, 6,  0,  17, 8,  14, 13};

/// Which of the five classes of its superclass a class is, 0 to 4, in the order of their numbers.
inline int cifar100_place_of(int fine) {
  int place = 0;
  for (int other = 0; other < fine; ++other) {
    place +=
        cifar100_superclass_of[static_cast<std::size_t>(other)] == cifar100_superclass_of[static_cast<std::size_t>(fine)] ? 1 : 0;
  }
  return place;
}

/// Colour pictures of 32 x 32 and what they show.
struct Cifar100 {
  static constexpr std::size_t picture_bytes = 3 * 32 * 32;
  static constexpr std::size_t record_bytes = 2 + picture_bytes;

  std::vector<std::uint8_t> pixels;  ///< of each picture its red, green and blue plane, row by row
  std::vector<int> coarse;           ///< 0 to 19
  std::vector<int> fine;             ///< 0 to 99

  std::size_t size() const { return fine.size(); }
};

namespace detail {

template <class... Parts>
[[noreturn]] void refuse_cifar(const std::string& file, std::size_t offset, const Parts&... parts) {
  std::ostringstream text;
  text << file << ": byte " << offset << ": ";
  (text << ... << parts);
  throw std::runtime_error(text.str() +
                           ". The binary version of CIFAR-100, cifar-100-binary.tar.gz, holds train.bin and test.bin");
}

}  // namespace detail

/// The path of "train.bin" or "test.bin" in a folder, or in the folder cifar-100-binary that the archive has; else empty.
inline std::string find_cifar100(const std::string& folder, const std::string& name) {
  for (const auto& place : {std::filesystem::path(folder), std::filesystem::path(folder) / "cifar-100-binary"}) {
    std::error_code unknown;
    if (std::filesystem::is_regular_file(place / name, unknown)) {
      return (place / name).string();
    }
  }
  return "";
}

/// Reads a file of CIFAR-100's binary version: for each picture a byte with its superclass, one with its class, and 3072 with its
/// red, green and blue planes.
/// @throws std::runtime_error naming the file and the byte where it is cut off or not of that form, and what is expected there
inline Cifar100 read_cifar100(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    throw std::runtime_error(path + ": cannot be opened (" + std::strerror(errno) + ")");
  }
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  if (in.bad()) {
    throw std::runtime_error(path + ": cannot be read to its end");
  }
  if (bytes.empty()) {
    detail::refuse_cifar(path, 0, "the file is empty; a picture takes ", Cifar100::record_bytes, " bytes");
  }
  const std::size_t whole = bytes.size() / Cifar100::record_bytes, left = bytes.size() % Cifar100::record_bytes;
  if (left > 0) {
    detail::refuse_cifar(path, whole * Cifar100::record_bytes, "picture ", whole, " has ", left, " of ", Cifar100::record_bytes,
                         " bytes (superclass, class, 3072 pixels): the file is cut off, or of another format");
  }
  Cifar100 data;
  data.pixels.reserve(whole * Cifar100::picture_bytes);
  for (std::size_t i = 0; i < whole; ++i) {
    const std::size_t at = i * Cifar100::record_bytes;
    const int coarse = static_cast<unsigned char>(bytes[at]), fine = static_cast<unsigned char>(bytes[at + 1]);
    if (coarse > 19) {
      detail::refuse_cifar(path, at, "superclasses are 0 to 19, that of picture ", i, " is ", coarse);
    }
    if (fine > 99) {
      detail::refuse_cifar(path, at + 1, "classes are 0 to 99, that of picture ", i, " is ", fine);
    }
    if (const int belongs = cifar100_superclass_of[static_cast<std::size_t>(fine)]; belongs != coarse) {
      detail::refuse_cifar(path, at, "class ", fine, " belongs to superclass ", belongs, ", picture ", i, " says ", coarse);
    }
    data.coarse.push_back(coarse);
    data.fine.push_back(fine);
    const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(at + 2);
    data.pixels.insert(data.pixels.end(), first, first + static_cast<std::ptrdiff_t>(Cifar100::picture_bytes));
  }
  return data;
}

}  // namespace example

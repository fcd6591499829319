// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <zlib.h>

namespace example {

/// The content of an IDX file of bytes, the format of MNIST and its relatives.
struct Idx {
  std::vector<std::size_t> shape;
  std::vector<std::uint8_t> values;
};

namespace detail {

template <class... Parts>
[[noreturn]] void refuse_idx(const std::string& file, const char* field, const Parts&... parts) {
  std::ostringstream text;
  text << file << ": field '" << field << "': ";
  (text << ... << parts);
  throw std::runtime_error(text.str());
}

/// Up to `wanted` bytes, fewer at the end of the file. Grows with what is there, so that a header's word is never taken for it.
inline std::vector<std::uint8_t> take(gzFile file, const std::string& name, const char* field, std::size_t wanted) {
  constexpr std::size_t piece = std::size_t{1} << 20;
  std::vector<std::uint8_t> bytes;
  while (bytes.size() < wanted) {
    const std::size_t begin = bytes.size();
    const std::size_t count = wanted - begin < piece ? wanted - begin : piece;
    bytes.resize(begin + count);
    const int got = gzread(file, bytes.data() + begin, static_cast<unsigned>(count));
    if (got < 0) {
      int code = Z_OK;
      refuse_idx(name, field, "the compressed stream is damaged or cut off (", gzerror(file, &code), ")");
    }
    bytes.resize(begin + static_cast<std::size_t>(got));
    if (static_cast<std::size_t>(got) < count) {
      break;
    }
  }
  return bytes;
}

}  // namespace detail

/// Reads an IDX file of unsigned bytes, compressed by gzip or plain: 0, 0, the element type (8: unsigned byte), the number of
/// dimensions, each dimension as a big-endian 32-bit number, the elements.
/// @throws std::runtime_error naming the file and the field, if the file is missing, cut off, too long or not of that form.
inline Idx read_idx(const std::string& path) {
  constexpr std::size_t most_values = std::size_t{1} << 30;
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) {
    throw std::runtime_error(path + ": cannot be opened");
  }
  const auto magic = detail::take(file.get(), path, "magic number", 4);
  if (magic.size() < 4) {
    detail::refuse_idx(path, "magic number", "the file ends after ", magic.size(), " of 4 bytes");
  }
  if (magic[0] != 0 || magic[1] != 0) {
    detail::refuse_idx(path, "magic number", "an IDX file begins with two zero bytes, this one with ", int{magic[0]}, " and ",
                       int{magic[1]});
  }
  if (magic[2] != 8) {
    detail::refuse_idx(path, "element type", "8 (unsigned byte) is read, this is ", int{magic[2]});
  }
  const std::size_t dimensions = magic[3];
  if (dimensions == 0 || dimensions > 4) {
    detail::refuse_idx(path, "number of dimensions", "1 to 4 are read, this is ", dimensions);
  }
  const auto sizes = detail::take(file.get(), path, "dimensions", 4 * dimensions);
  if (sizes.size() < 4 * dimensions) {
    detail::refuse_idx(path, "dimensions", "the file ends after ", sizes.size(), " of ", 4 * dimensions, " bytes");
  }
  Idx idx;
  std::size_t total = 1;
  for (std::size_t d = 0; d < dimensions; ++d) {
    std::size_t size = 0;
    for (std::size_t byte = 0; byte < 4; ++byte) {
      size = (size << 8) | sizes[4 * d + byte];
    }
    if (size == 0 || size > most_values / total) {
      detail::refuse_idx(path, "dimensions", "dimension ", d, " is ", size, "; none may be 0 and their product at most ",
                         most_values);
    }
    total *= size;
    idx.shape.push_back(size);
  }
  idx.values = detail::take(file.get(), path, "elements", total);
  if (idx.values.size() < total) {
    detail::refuse_idx(path, "elements", "the file ends after ", idx.values.size(), " of ", total, " bytes");
  }
  if (!detail::take(file.get(), path, "elements", 1).empty()) {
    detail::refuse_idx(path, "elements", "more bytes follow than the ", total, " that the dimensions declare");
  }
  return idx;
}

}  // namespace example

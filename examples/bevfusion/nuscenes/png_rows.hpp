// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bevfusion {

/// What a PNG says of itself before its first row.
struct PngHeader {
  int width = 0;
  int height = 0;
  bool interlaced = false;
  bool grey_bytes = false;  ///< as stored: one byte of grey a pixel, no palette, no transparency
};

/// Reads a PNG as rows of one byte of grey a pixel, whatever it is stored as.
/// @param refuse  called before the first row; what is wrong with such a picture, or nullptr
/// @param take    called with each row from the top
/// @throws DataError, naming `file`, for bytes that are no whole PNG, and what `refuse` says
void decode_png_rows(const std::vector<std::uint8_t>& bytes, const std::string& file,
                     const std::function<const char*(const PngHeader& header)>& refuse,
                     const std::function<void(int y, const std::uint8_t* row)>& take);

}  // namespace bevfusion

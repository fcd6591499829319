// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace bevfusion {

/// An RGB picture of a page, row by row from the top.
struct EmbeddedPicture {
  std::uint32_t width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};

/// @throws std::runtime_error with file and reason for one that is no PNG, or larger than 64 million pixels
EmbeddedPicture read_png(const std::filesystem::path& file);

/// The square at the left or right end of a picture that is wider than high: what is there, and what was found.
EmbeddedPicture left_square(const EmbeddedPicture& picture);
EmbeddedPicture right_square(const EmbeddedPicture& picture);

/// The square in the middle of one that is at least three times as wide as high: what others found; nothing of another.
std::optional<EmbeddedPicture> middle_square(const EmbeddedPicture& picture);

/// Made smaller by a whole factor, each pixel the mean of those it stands for, until it is no wider than that.
EmbeddedPicture no_wider_than(const EmbeddedPicture& picture, std::uint32_t width);

/// "data:image/png;base64,...".
std::string data_uri(const EmbeddedPicture& picture);

}  // namespace bevfusion

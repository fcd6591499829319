// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/pictures/grey_image.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// The largest picture that is decoded, in pixels: larger ones are taken for hostile.
inline constexpr std::uint64_t most_pixels = 64'000'000;

// Decoders throw DataError, naming `file`, for bytes that are cut short, damaged or larger than most_pixels.

/// JPEG, grey or colour.
Image decode_jpeg(const std::vector<std::uint8_t>& bytes, const std::string& file);

/// Binary PPM (P6) of 8 bits.
Image decode_ppm(const std::vector<std::uint8_t>& bytes, const std::string& file);

/// JPEG or PPM, told apart by their first bytes.
Image decode_image(const std::vector<std::uint8_t>& bytes, const std::string& file);
Image read_image(const std::filesystem::path& file);

/// JPEG of a quality of 1 ... 100; the bytes depend on the picture and libjpeg alone.
std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality);
std::vector<std::uint8_t> encode_ppm(const Image& image);

/// Writes a PNG; throws DataError where it cannot.
void write_png(const std::filesystem::path& file, const Image& image);
/// The same with one byte of grey a pixel.
void write_png(const std::filesystem::path& file, const GreyImage& image);
/// A PNG of one byte of grey a pixel, its values as stored; any other kind is refused.
GreyImage decode_png_grey(const std::vector<std::uint8_t>& bytes, const std::string& file);

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace bevfusion::fuzz {

// One target for each reader. A reader may refuse any bytes with a DataError; whatever else it throws goes through, and ends the
// fuzzer.

/// The 13 tables one after the other, in the order of table_order, with a byte 1 between two; then every key frame.
void tables(const std::uint8_t* bytes, std::size_t count);
inline constexpr const char* table_order[13] = {
    "sensor",   "calibrated_sensor", "log",       "map",        "scene",    "sample",           "sample_data",
    "ego_pose", "category",          "attribute", "visibility", "instance", "sample_annotation"};

/// What an index of tables holds, in blocks whose checksums are right; then every key frame.
void tables_index(const std::uint8_t* bytes, std::size_t count);

void map_expansion(const std::uint8_t* bytes, std::size_t count);  ///< and its masks
void lidar(const std::uint8_t* bytes, std::size_t count);
void image(const std::uint8_t* bytes, std::size_t count);  ///< JPEG and PPM
void base_map(const std::uint8_t* bytes, std::size_t count);

}  // namespace bevfusion::fuzz

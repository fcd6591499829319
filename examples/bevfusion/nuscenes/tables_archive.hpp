// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bevfusion/nuscenes/block_file.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

// Tables as bytes of this machine's order, number by number: no byte is a structure's padding or an address.

static_assert(std::numeric_limits<double>::is_iec559 && sizeof(double) == 8, "doubles are kept as they are");

/// Puts values into blocks.
class Packer {
 public:
  static constexpr bool writes = true;
  template <typename T>
  using Held = const T;

  explicit Packer(BlockWriter& blocks) : blocks_(blocks) {}

  template <typename T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  void operator()(const T& number) {
    blocks_.add(&number, sizeof number);
  }
  void operator()(const std::string& text) {
    (*this)(static_cast<std::uint32_t>(text.size()));
    blocks_.add(text.data(), text.size());
  }
  void operator()(const Token& token) {
    const std::array<std::uint64_t, 2> bits = token.bits();
    if (token.empty()) return (*this)('-');
    const bool digits = token == Token::of_digits(bits[0], bits[1]);
    if (!digits && token != Token::of_uuid(bits[0], bits[1])) {
      (*this)('t');
      return (*this)(to_string(token));
    }
    (*this)(digits ? 'd' : 'u');
    blocks_.add(bits.data(), sizeof bits);
  }
  template <int Rows, int Columns>
  void operator()(const Eigen::Matrix<double, Rows, Columns>& matrix) {
    blocks_.add(matrix.data(), sizeof(double) * Rows * Columns);
  }
  std::size_t count(std::size_t rows) {
    (*this)(static_cast<std::uint64_t>(rows));
    return rows;
  }

 private:
  BlockWriter& blocks_;
};

/// Takes them out again, in the same order. Throws BlockError for what no Packer has put in.
class Unpacker {
 public:
  static constexpr bool writes = false;
  template <typename T>
  using Held = T;

  /// @param most  of anything that is counted, the bytes of the file: more it cannot hold
  Unpacker(BlockReader& blocks, std::uint64_t most) : blocks_(blocks), most_(most) {}

  template <typename T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
  void operator()(T& number) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      (*this)(byte);
      if (byte > 1) refuse();
      number = byte != 0;
    } else {
      blocks_.take(&number, sizeof number);
    }
  }
  void operator()(std::string& text) {
    std::uint32_t length = 0;
    (*this)(length);
    if (length > most_) refuse();
    text.resize(length);
    blocks_.take(text.data(), length);
  }
  void operator()(Token& token) {
    char form = 0;
    (*this)(form);
    if (form == '-') {
      token = Token();
    } else if (form == 't') {
      std::string text;
      (*this)(text);
      token = Token(text);
    } else {
      std::array<std::uint64_t, 2> bits{};
      blocks_.take(bits.data(), sizeof bits);
      if (form != 'd' && form != 'u') refuse();
      token = form == 'd' ? Token::of_digits(bits[0], bits[1]) : Token::of_uuid(bits[0], bits[1]);
    }
  }
  template <int Rows, int Columns>
  void operator()(Eigen::Matrix<double, Rows, Columns>& matrix) {
    blocks_.take(matrix.data(), sizeof(double) * Rows * Columns);
  }
  std::size_t count(std::size_t) {
    std::uint64_t rows = 0;
    (*this)(rows);
    if (rows > most_) refuse();
    return static_cast<std::size_t>(rows);
  }

  [[noreturn]] static void refuse() { throw BlockError("it has values that cannot be"); }

 private:
  BlockReader& blocks_;
  std::uint64_t most_;
};

// --- what a row is made of, said once for both
// -----------------------------------------------------------------------------------

/// An enumerator below `end`, as one byte.
template <typename Archive, typename Enum>
void archive_enum(Archive& archive, Enum& value, std::size_t end) {
  auto number = static_cast<std::uint8_t>(value);
  archive(number);
  if constexpr (!Archive::writes) {
    if (number >= end) Unpacker::refuse();
    value = static_cast<std::remove_const_t<Enum>>(number);
  }
}

template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<std::string>& text) {
  archive(text);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<RigidTransform>& pose) {
  archive(pose.rotation);
  archive(pose.translation);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<LogRow>& row) {
  archive(row.token);
  archive(row.location);
  archive(row.base_map);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<SceneRow>& row) {
  archive(row.token);
  archive(row.name);
  archive(row.log);
  archive(row.first_sample);
  archive(row.last_sample);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<SampleRow>& row) {
  archive(row.token);
  archive(row.timestamp);
  archive(row.scene);
  archive(row.previous);
  archive(row.next);
  for (auto& data : row.data) archive(data);
  archive(row.first_annotation);
  archive(row.annotation_count);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<SampleDataRow>& row) {
  archive(row.token);
  archive(row.file);
  archive(row.timestamp);
  archive(row.sample);
  archive(row.ego_pose);
  archive(row.calibration);
  archive(row.previous);
  archive(row.next);
  archive(row.width);
  archive(row.height);
  archive(row.is_key_frame);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<CalibrationRow>& row) {
  archive(row.token);
  archive_enum(archive, row.channel, channel_count);
  archive(row.used);
  archive_row(archive, row.ego_from_sensor);
  archive(row.intrinsic);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<InstanceRow>& row) {
  archive(row.token);
  archive(row.category);
}
template <typename Archive>
void archive_row(Archive& archive, typename Archive::template Held<AnnotationRow>& row) {
  archive(row.token);
  archive(row.sample);
  archive(row.instance);
  archive(row.previous);
  archive(row.next);
  archive(row.translation);
  archive(row.size);
  archive(row.rotation);
  archive_enum(archive, row.attribute, attribute_count + 1);
  archive(row.visibility);
  archive(row.lidar_points);
  archive(row.radar_points);
}

template <typename Archive, typename Rows>
void archive_rows(Archive& archive, Rows& rows) {
  const std::size_t count = archive.count(rows.size());
  if constexpr (Archive::writes) {
    for (const auto& row : rows) archive_row(archive, row);
  } else {
    rows.clear();
    rows.reserve(count);
    for (std::size_t i = 0; i < count; ++i) archive_row(archive, rows.emplace_back());
  }
}

/// All but root and folder.
template <typename Archive>
void archive_tables(Archive& archive, typename Archive::template Held<Tables>& tables) {
  archive_rows(archive, tables.categories);
  archive_rows(archive, tables.logs);
  archive_rows(archive, tables.scenes);
  archive_rows(archive, tables.samples);
  archive_rows(archive, tables.sample_data);
  archive_rows(archive, tables.ego_poses);
  archive_rows(archive, tables.calibrations);
  archive_rows(archive, tables.instances);
  archive_rows(archive, tables.annotations);
}

/// Throws BlockError where a row refers to one that is not there.
void check_references(const Tables& tables);

/// What archive_tables() has put in; throws BlockError for what it cannot have put in.
void unpack_tables(Unpacker& unpack, Tables& tables);

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/table_fields.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

namespace bevfusion {

Eigen::Vector3d vector_field(const JsonRow& row, std::string_view field) {
  const std::array<double, 3> v = row.numbers<3>(field);
  for (const double x : v) {
    if (!(std::abs(x) <= 1e7)) row.fail(field, "has a number beyond 1e7 m");
  }
  return {v[0], v[1], v[2]};
}

Eigen::Matrix3d rotation_field(const JsonRow& row) {
  const std::array<double, 4> wxyz = row.numbers<4>("rotation");
  try {
    return rotation_of(wxyz);
  } catch (const std::invalid_argument& error) {
    row.fail("rotation", std::string("is wrong: ") + error.what());
  }
}

RigidTransform transform_field(const JsonRow& row) { return {rotation_field(row), vector_field(row, "translation")}; }

Eigen::Matrix3d intrinsic_field(const JsonRow& row) {
  const std::array<double, 9> k = row.numbers<9>("camera_intrinsic");
  const bool sane = k[0] > 0 && k[4] > 0 && k[0] < 1e6 && k[4] < 1e6 && std::abs(k[2]) < 1e6 && std::abs(k[5]) < 1e6 &&
                    std::abs(k[1]) < 1e6 && k[3] == 0 && k[6] == 0 && k[7] == 0 && k[8] == 1;
  if (!sane) row.fail("camera_intrinsic", "is no matrix [f, s, c; 0, f, c; 0, 0, 1] of pixels");
  Eigen::Matrix3d matrix;
  matrix << k[0], k[1], k[2], k[3], k[4], k[5], k[6], k[7], k[8];
  return matrix;
}

int int_field(const JsonRow& row, std::string_view field, int least, int most) {
  const std::int64_t value = row.integer(field);
  if (value < least || value > most) row.fail(field, "is out of range: " + std::to_string(value));
  return static_cast<int>(value);
}

int visibility_level_field(const JsonRow& row) {
  static constexpr std::array<std::string_view, 4> levels = {"v0-40", "v40-60", "v60-80", "v80-100"};
  const auto found = std::find(levels.begin(), levels.end(), row.text("level"));
  return found == levels.end() ? 0 : static_cast<int>(found - levels.begin()) + 1;
}

std::string relative_path_field(const JsonRow& row, std::string_view field) {
  const std::string& text = row.text(field);
  if (!text.empty() && text.front() != '/' && text.find("..") == std::string::npos && text.find('\0') == std::string::npos) {
    return text;  // without taking it apart, which costs more than reading the row
  }
  const std::filesystem::path path(text);
  bool inside = !text.empty() && text.find('\0') == std::string::npos && !path.is_absolute();
  for (const std::filesystem::path& part : path) inside = inside && part != "..";
  if (!inside) row.fail(field, "is no path inside the data set: " + text.substr(0, 80));
  return text;
}

}  // namespace bevfusion

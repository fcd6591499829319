// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace bevfusion {

/// The sensors that are used, cameras in BEVFusion's order; radars are not.
enum class Channel { cam_front, cam_front_right, cam_front_left, cam_back, cam_back_left, cam_back_right, lidar_top };

inline constexpr std::size_t camera_count = 6;
inline constexpr std::size_t channel_count = 7;
inline constexpr std::array<std::string_view, channel_count> channel_names = {
    "CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT", "LIDAR_TOP"};

inline std::string_view name_of(Channel channel) { return channel_names[static_cast<std::size_t>(channel)]; }

inline std::optional<Channel> channel_of(std::string_view name) {
  for (std::size_t i = 0; i < channel_count; ++i) {
    if (channel_names[i] == name) return static_cast<Channel>(i);
  }
  return std::nullopt;
}

}  // namespace bevfusion

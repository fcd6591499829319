// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <Eigen/Core>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/pictures/ground_weights.hpp"
#include "support/page.hpp"

namespace bevfusion {

/// What one window of a sensor's map reads of another sensor's map, at one scale.
struct Look {
  std::string asking, asked;  ///< sensors
  std::size_t window = 0;     ///< that asks
  GroundWeights weights;      ///< of the asked sensor's windows; they add up to 1
};

/// Where a tower looks from a place, scale by scale, in the order of Fuser::attention().
/// @param input  of one sample, on the tower's device
/// @param at     x and y in the frame of the LiDAR, m
/// @throws std::invalid_argument for a place outside of the map, and a fuser that lets no sensor look at another;
///   std::logic_error in training mode
std::vector<Look> looks_from(BevFusion& tower, const ModelInput& input, const Eigen::Vector2d& at);

/// How attention is drawn.
struct AttentionOptions {
  std::filesystem::path out;  ///< folder of the page and the pictures; exists
  std::string title;
  std::optional<Eigen::Vector2d> at;  ///< the place that is asked from; the nearest annotated box unless given
  int width = 640;                    ///< pixels of a view's side and of a camera picture's width
};

/// Draws what the LiDAR's window at a place reads of the cameras' map, in the pictures and from above, and the other way round
/// from above, scale by scale: `<sample>_scale<k>_cameras.png`, `<sample>_scale<k>_bev.png`, and a page that shows them.
class AttentionGallery {
 public:
  /// @param tables, config  must outlive this
  AttentionGallery(AttentionOptions options, const Tables& tables, const RunConfig& config);

  /// Writes the sample's pictures. The network is left in evaluation mode.
  /// @throws as looks_from(); DataError, std::runtime_error for files that cannot be read or written
  void add(Network& network, RowIndex sample);
  /// Writes index.html.
  void write() const;

 private:
  void draw(const std::vector<Look>& looks, RowIndex sample, const std::string& tower, const Eigen::Vector2d& at,
            const std::string& what);

  AttentionOptions options_;
  const Tables& tables_;
  const RunConfig& config_;
  example::Page page_;
};

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/pictures/grey_image.hpp"
#include "bevfusion/pictures/image.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/solid.hpp"
#include "bevfusion/synth/town.hpp"

namespace bevfusion {

/// How much of each object pictures show.
struct PixelCounts {
  std::vector<int> covered;  ///< pixels its shape takes, hidden or not
  std::vector<int> visible;  ///< of these, the ones where nothing is before it

  explicit PixelCounts(std::size_t objects) : covered(objects), visible(objects) {}
  /// nuScenes' bins: 1 below 40 %, 2 to 60 %, 3 to 80 %, 4 above; 1 for what is in no picture.
  int visibility(std::size_t object) const {
    if (covered[object] == 0) return 1;
    const double share = static_cast<double>(visible[object]) / covered[object];
    return share < 0.4 ? 1 : share < 0.6 ? 2 : share < 0.8 ? 3 : 4;
  }
};

/// What a camera is, for rendering.
struct Camera {
  Eigen::Matrix3d intrinsic;  ///< pixels; pixel (i, j) has its centre at (i + 0.5, j + 0.5)
  RigidTransform global_from_camera;
  int width = 0;
  int height = 0;
};

/// The picture of a camera: nearest solid, else ground, else sky along each pixel's ray. Surfaces and paint have their colours,
/// objects ones that tell nothing of their class. Adds to the pixel counts. `texture` seeds what belongs to the town (grain of
/// its ground), `random` what belongs to the picture.
/// @param shown  where given, becomes what each pixel shows, a PixelClass: what most of its rays meet; of classes that as many
///   meet, the first one. Fog, blur and noise change nothing in it
Image render(const Town& town, const std::vector<Solid>& solids, const Camera& camera, double gain, std::uint64_t texture,
             const SynthOptions& options, Random& random, PixelCounts& counts, GreyImage* shown = nullptr);

}  // namespace bevfusion

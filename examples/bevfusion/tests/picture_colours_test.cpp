// SPDX-License-Identifier: Apache-2.0
// Whether colours can be told apart, by CIE L*a*b* (sRGB, D65) and by the matrices of Machado, Oliveira and Fernandes (2009) for
// viewers without one kind of cones.
#include <array>
#include <cmath>
#include <vector>

#include <Eigen/Core>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

Eigen::Vector3d linear(Colour colour) {
  Eigen::Vector3d out;
  for (int c = 0; c < 3; ++c) {
    const double v = colour[static_cast<std::size_t>(c)] / 255.0;
    out[c] = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  }
  return out;
}

Eigen::Vector3d lab(const Eigen::Vector3d& rgb) {
  Eigen::Matrix3d xyz_from_rgb;
  xyz_from_rgb << 0.4124564, 0.3575761, 0.1804375, 0.2126729, 0.7151522, 0.0721750, 0.0193339, 0.1191920, 0.9503041;
  const Eigen::Vector3d xyz = xyz_from_rgb * rgb.cwiseMax(0).cwiseMin(1);
  const std::array<double, 3> white = {0.95047, 1, 1.08883};
  std::array<double, 3> f{};
  for (std::size_t c = 0; c < 3; ++c) {
    const double t = xyz[static_cast<int>(c)] / white[c];
    f[c] = t > 0.008856 ? std::cbrt(t) : 7.787 * t + 16.0 / 116;
  }
  return {116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])};
}

Eigen::Matrix3d protanope() {
  Eigen::Matrix3d m;
  m << 0.152286, 1.052583, -0.204868, 0.114503, 0.786281, 0.099216, -0.003882, -0.048116, 1.051998;
  return m;
}

Eigen::Matrix3d deuteranope() {
  Eigen::Matrix3d m;
  m << 0.367322, 0.860646, -0.227968, 0.280085, 0.672501, 0.047413, -0.011820, 0.042940, 0.968881;
  return m;
}

double apart(Colour a, Colour b, const Eigen::Matrix3d& seen = Eigen::Matrix3d::Identity()) {
  return (lab(seen * linear(a)) - lab(seen * linear(b))).norm();
}

}  // namespace

TEST_CASE("the measure of colours knows white, black and red", "[pictures]") {
  CHECK(apart({255, 255, 255}, {0, 0, 0}) == Approx(100).margin(0.01));
  CHECK(lab(linear({255, 0, 0})).isApprox(Eigen::Vector3d(53.24, 80.09, 67.20), 1e-3));
  CHECK(apart({0, 255, 0}, {255, 255, 0}, deuteranope()) < apart({0, 255, 0}, {255, 255, 0}));
}

TEST_CASE("no two classes of boxes look alike, nor like map, truth or paper", "[pictures]") {
  const DetectionLabels& labels = standard_boxes();
  std::vector<Colour> others = {{255, 255, 255},  truth_colour,  truth_colour_in_pictures,
                                uncounted_colour, driven_colour, planned_colour};
  for (const MapLabel& label : standard_map()) others.push_back(map_colour(label));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      INFO(labels[i].name << ", " << labels[j].name);
      CHECK(apart(labels[i].colour, labels[j].colour) > 40);
      if (labels[i].group != labels[j].group) {
        CHECK(apart(labels[i].colour, labels[j].colour, protanope()) > 34);
        CHECK(apart(labels[i].colour, labels[j].colour, deuteranope()) > 34);
      }
    }
    for (const Colour other : others) {
      INFO(labels[i].name << " and " << css(other));
      CHECK(apart(labels[i].colour, other) > 25);
    }
  }
}

TEST_CASE("foreground masks have the colours of what is in them", "[pictures]") {
  const DetectionLabels& labels = standard_boxes();
  const MapLabels groups = foreground_as_map(groups_of(labels), labels);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].colour == labels[0].colour);  // vehicles: the car's
  CHECK(groups[1].colour == labels[5].colour);  // pedestrians come first in theirs
  CHECK(groups[2].colour == labels[8].colour);
  CHECK(foreground_as_map({labels[3].name}, labels)[0].colour == labels[3].colour);
  CHECK(foreground_as_map({"objects"}, labels)[0].colour == labels[0].colour);
}

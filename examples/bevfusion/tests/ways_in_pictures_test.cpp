// SPDX-License-Identifier: Apache-2.0
// Ways of the car in pictures: where they lie, and that their colours can be told from what else is there.
#include <algorithm>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/pictures/camera_picture.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/prediction_picture.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

bool is(const Image& image, int x, int y, Colour colour) { return std::equal(colour.begin(), colour.end(), image.pixel(x, y)); }

}  // namespace

TEST_CASE("a way from above goes from place to place, the driven one in both views", "[pictures][driving]") {
  const DrawnPath driven{{{0, 0, 0}, {0, 5, 0}}, driven_colour, 3};
  const DrawnPath planned{{{0, 0, 0}, {5, 5, 0}}, planned_colour, 3};
  // 10 pixels a metre: (0, 3) is at (100, 70), (5, 5) at (150, 50); the second view begins at 212.
  const Image both = compare_from_above({MapMasks(), {}, {driven}}, {MapMasks(), {}, {driven, planned}}, {}, {}, 10, 200);
  CHECK(is(both, 100, 70, driven_colour));
  CHECK(is(both, 212 + 100, 70, driven_colour));
  CHECK(is(both, 212 + 130, 70, planned_colour));
  CHECK(is(both, 212 + 150 + 3, 50 + 3, planned_colour));  // its mark is 9 pixels wide
  CHECK_FALSE(is(both, 130, 70, planned_colour));
}

TEST_CASE("a way in a picture begins where the camera sees it", "[pictures][driving]") {
  CameraView view;  // 1.5 m above the ground of a frame with z up, looking along its y
  view.intrinsic << 100, 0, 100, 0, 100, 50, 0, 0, 1;
  Eigen::Matrix3d rotation;
  rotation << 1, 0, 0, 0, 0, -1, 0, 1, 0;
  view.camera_from_lidar = {rotation, {0, 1.5, 0}};
  view.width = 200;
  view.height = 100;
  Image image(200, 100, {0, 0, 0});
  draw_paths(image, view, {{{{0, -2, 0}, {0, 10, 0}}, planned_colour, 1}});
  // At 5 m ahead the ground is 1.5 m below: v = 50 + 100 * 1.5 / 5 = 80; at 10 m, where the mark is, 65.
  CHECK(is(image, 100, 80, planned_colour));
  CHECK(is(image, 100, 66, planned_colour));
  CHECK(is(image, 101, 65, planned_colour));
  CHECK_FALSE(is(image, 103, 80, planned_colour));
  CHECK_FALSE(is(image, 100, 62, planned_colour));
}

// SPDX-License-Identifier: Apache-2.0
// Where things appear in pictures.
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/pictures/camera_picture.hpp"
#include "bevfusion/pictures/drawing.hpp"
#include "bevfusion/pictures/legend.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/text.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

constexpr Colour red = {255, 0, 0};

bool is(const Image& image, int x, int y, Colour colour) { return std::equal(colour.begin(), colour.end(), image.pixel(x, y)); }

// Bounds of the pixels of one colour: left, top, right, bottom.
std::array<int, 4> bounds(const Image& image, Colour colour) {
  std::array<int, 4> b = {image.width, image.height, -1, -1};
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      if (is(image, x, y, colour)) b = {std::min(b[0], x), std::min(b[1], y), std::max(b[2], x), std::max(b[3], y)};
    }
  }
  return b;
}

}  // namespace

TEST_CASE("lines are drawn whole and cut off at the border", "[pictures]") {
  Image image(20, 10);
  draw_line(image, {2.5, 3.5}, {9.5, 3.5}, red);
  CHECK(bounds(image, red) == std::array<int, 4>{2, 3, 9, 3});
  draw_line(image, {-1e9, 5.5}, {1e9, 5.5}, {0, 255, 0});
  CHECK(bounds(image, {0, 255, 0}) == std::array<int, 4>{0, 5, 19, 5});
  draw_line(image, {0, 100}, {20, 100}, {0, 0, 255});  // outside
  CHECK(bounds(image, {0, 0, 255})[2] == -1);
}

TEST_CASE("from above, the car's front is up and its right is right", "[pictures]") {
  BevPicture picture({50, 200});  // half a metre a pixel
  Box3D box;
  box.center = {10, 30, 0};  // to the right, and ahead
  box.size = {2, 4, 1.5};
  box.yaw = 0;  // pointing right: 4 m along x
  picture.draw({box}, red, 1);
  // x 8 ... 12 m -> 116 ... 124, y 29 ... 31 m -> 42 ... 38 from the top.
  CHECK(bounds(picture.image(), red) == std::array<int, 4>{116, 38, 124, 42});
  picture.draw(std::vector<SweepPoint>{{-20, -40, 1, 0, 0}});
  CHECK_FALSE(is(picture.image(), 60, 180, {255, 255, 255}));

  MapMasks masks(label_sets().map.at(standard_map_labels), 200);
  masks.values[static_cast<std::size_t>(150 * 200 + 20)] = 1;  // drivable at x = 25.25, y = -39.75
  BevPicture map({50, 200});
  map.draw(masks);
  for (int y = 0; y < 200; ++y) {
    for (int x = 0; x < 200; ++x) {
      if (is(map.image(), x, y, {255, 255, 255}) == (x == 150 && y == 179)) FAIL(x << ' ' << y);
    }
  }
}

TEST_CASE("boxes in a camera's picture, cut off before it", "[pictures]") {
  CameraView view;
  view.width = 100;
  view.height = 60;
  view.intrinsic << 50, 0, 50, 0, 50, 30, 0, 0, 1;
  view.camera_from_lidar.rotation << 1, 0, 0, 0, 0, -1, 0, 1, 0;
  Box3D box;
  box.center = {0, 12, 0};
  box.size = {2, 4, 2};
  box.yaw = pi / 2;  // its back faces the camera, 10 m away: 2 m are 10 pixels
  Image image(100, 60);
  draw_boxes(image, view, {box}, red, 1);
  CHECK(bounds(image, red) == std::array<int, 4>{45, 25, 55, 35});
  CHECK(view.sees_all_of(box));
  // One that begins beside the camera and ends ahead shows only what is ahead; one behind shows nothing.
  Image partly(100, 60);
  box.center = {3, 1, 0};
  draw_boxes(partly, view, {box}, red, 1);
  CHECK(bounds(partly, red)[0] > 50);
  CHECK(bounds(partly, red)[2] == 99);
  CHECK_FALSE(view.sees_all_of(box));
  Image behind(100, 60);
  box.center = {0, -12, 0};
  draw_boxes(behind, view, {box}, red, 1);
  CHECK(bounds(behind, red)[2] == -1);
}

TEST_CASE("six pictures make a sheet that runs round the car", "[pictures]") {
  std::array<Image, camera_count> images;
  for (std::size_t c = 0; c < 5; ++c) images[c] = Image(32, 18, {static_cast<std::uint8_t>(10 * c), 0, 0});
  const Image sheet = six_pictures(images, 16);
  CHECK((sheet.width == 48 && sheet.height == 18));
  CHECK(is(sheet, 8, 4, {20, 0, 0}));        // front left
  CHECK(is(sheet, 24, 4, {0, 0, 0}));        // front
  CHECK(is(sheet, 40, 4, {10, 0, 0}));       // front right
  CHECK(is(sheet, 24, 13, {30, 0, 0}));      // back
  CHECK(is(sheet, 40, 13, {40, 0, 0}));      // back left
  CHECK(is(sheet, 8, 13, {128, 128, 128}));  // back right: absent
}

TEST_CASE("a sheet of chosen cameras shows each where it looks, and another rig's one by one", "[pictures]") {
  std::array<Image, camera_count> images;
  images[0] = Image(32, 18, {50, 0, 0});
  images[1] = Image(32, 12, {60, 0, 0});  // a lower picture keeps its shape
  const Image chosen = six_pictures(images, 16, {"CAM_BACK", "CAM_FRONT_LEFT"});
  CHECK((chosen.width == 48 && chosen.height == 18));
  CHECK(is(chosen, 24, 13, {50, 0, 0}));  // back
  CHECK(is(chosen, 8, 5, {60, 0, 0}));    // front left
  CHECK(is(chosen, 8, 6, {128, 128, 128}));
  CHECK(is(chosen, 24, 4, {128, 128, 128}));  // front, which was not chosen
  CHECK(is(chosen, 40, 4, {128, 128, 128}));
  const Image others = six_pictures(images, 16, {"CAM_BACK", "ring"});
  CHECK(is(others, 24, 4, {50, 0, 0}));
  CHECK(is(others, 40, 4, {60, 0, 0}));
  CHECK(is(six_pictures({}, 32), 40, 20, {128, 128, 128}));  // no picture at all

  // Names are those that were given, cut off at the picture.
  std::array<Image, camera_count> named;
  named[0] = named[1] = Image(300, 20, {9, 9, 9});
  std::array<Image, camera_count> standard = named;
  name_pictures(named, 300, {"CAM_BACK", "CAM_FRONT_RIGHT"});
  name_pictures(standard, 300);
  CHECK(named[0].rgb != standard[0].rgb);
  CHECK(named[1].rgb == standard[1].rgb);
  Image back(300, 20, {9, 9, 9});
  draw_text(back, 0, 0, "CAM_BACK", {255, 255, 255}, {0, 0, 0}, 1);
  CHECK(named[0].rgb == back.rgb);
}

TEST_CASE("a scale bar has a round length, and is as long as it says", "[pictures]") {
  CHECK(scale_bar_length(50) == 20);
  CHECK(scale_bar_length(25.6) == 10);
  CHECK(scale_bar_length(54) == 20);
  CHECK(scale_bar_length(100) == 50);
  CHECK(scale_bar_length(2) == 1);
  BevPicture picture({50, 400});
  picture.draw_ego_and_scale();
  // 20 m are 80 pixels; the bar lies in the lowest tenth, the car in the middle with its tip up.
  std::array<int, 4> bar = {400, 400, -1, -1};
  int tip = 0;
  int tail = 0;
  for (int y = 0; y < 400; ++y) {
    for (int x = 0; x < 400; ++x) {
      if (!is(picture.image(), x, y, ego_colour)) continue;
      if (y > 392) bar = {std::min(bar[0], x), std::min(bar[1], y), std::max(bar[2], x), std::max(bar[3], y)};
      if (y >= 192 && y < 200) ++tip;
      if (y >= 200 && y < 210) ++tail;
    }
  }
  CHECK(bar[2] - bar[0] + 1 == 80);
  CHECK(tip > 0);
  CHECK(tail > tip);
}

TEST_CASE("text is inked on its paper and cut off at the border", "[pictures]") {
  Image image(100, 30);
  draw_text(image, 10, 5, "l", {255, 255, 255}, red, 1);
  // A dot of paper around 5 x 9 dots; an l has a stem of seven dots in the middle column.
  CHECK(bounds(image, red) == std::array<int, 4>{10, 5, 16, 15});
  for (int y = 6; y < 13; ++y) CHECK(is(image, 13, y, {255, 255, 255}));
  CHECK((text_width("l", 1) == 7 && text_height(1) == 11));
  CHECK((text_width("car 0.87", 2) == 2 * (8 * 6 + 1) && text_height(2) == 22));
  Image twice(100, 30);
  draw_text(twice, 0, 0, "l", {255, 255, 255}, red, 2);
  for (int y = 2; y < 16; ++y) CHECK(is(twice, 6, y, {255, 255, 255}));
  draw_text(image, 95, -5, "outside \xC3\xA9", {255, 255, 255}, red, 3);
  Image a(20, 20), b(20, 20);
  draw_text(a, 0, 0, "p", {255, 255, 255}, red, 1);
  draw_text(b, 0, 0, "P", {255, 255, 255}, red, 1);
  CHECK(a.rgb != b.rgb);
  CHECK(ink_on({255, 255, 255}) == Colour{0, 0, 0});
  CHECK(ink_on({0, 82, 253}) == Colour{255, 255, 255});
}

TEST_CASE("a legend is below its picture and shows every colour", "[pictures]") {
  const Image image(200, 50, {1, 2, 3});
  std::vector<LegendEntry> entries;
  for (const DetectionLabel& label : standard_boxes()) entries.push_back({label.colour, label.name});
  const Image out = with_legend(image, entries);
  CHECK(out.width == 200);
  CHECK(bounds(out, {1, 2, 3}) == std::array<int, 4>{0, 0, 199, 49});
  for (const LegendEntry& entry : entries) {
    INFO(entry.text);
    CHECK(bounds(out, entry.colour)[1] >= 50);
    CHECK(bounds(out, entry.colour)[2] >= 0);
  }
  CHECK(with_legend(image, {}).rgb == image.rgb);
}

TEST_CASE("boxes are labelled where they are in the picture", "[pictures]") {
  DrawnBox one;
  one.box.center = {-20, 30, 0};
  one.colour = red;
  one.text = "car";
  BevPicture with({50, 400});
  with.draw(std::vector<DrawnBox>{one});
  one.text.clear();
  BevPicture without({50, 400});
  without.draw(std::vector<DrawnBox>{one});
  const auto labelled = bounds(with.image(), red);
  const auto bare = bounds(without.image(), red);
  CHECK(labelled[2] - bare[2] >= text_width("car", 1) - 6);
  CHECK(std::abs((labelled[1] + labelled[3]) / 2 - 80) <= 2);  // y = 30 m
}

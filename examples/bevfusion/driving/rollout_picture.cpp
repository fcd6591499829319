// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/driving/rollout_picture.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "bevfusion/pictures/drawing.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/text.hpp"

namespace bevfusion {

namespace {

constexpr double around = 18;  // m of the town beside the route
constexpr Colour ring_colour = {220, 0, 0};

const char* word_for(Infraction what) {
  return what == Infraction::collision ? "collision" : what == Infraction::off_road ? "off the road" : "red light";
}

class Sheet {
 public:
  Sheet(const World& world, const Rollout& rollout, int size) {
    Eigen::Vector2d high = Eigen::Vector2d::Constant(-1e9);
    low_ = Eigen::Vector2d::Constant(1e9);
    const auto take = [&](const Eigen::Vector2d& place) {
      low_ = low_.cwiseMin(place);
      high = high.cwiseMax(place);
    };
    const Drive& drive = *world.scene().drive;
    for (double s = drive.start; s <= drive.end; s += 1) take(drive.route.at(s).position);
    for (const Eigen::Vector2d& place : rollout.way) take(place);
    low_.array() -= around;
    high.array() += around;
    const Eigen::Vector2d extent = high - low_;
    scale_ = size / extent.maxCoeff();
    const auto pixels = [&](double metres) { return std::min(size, static_cast<int>(std::ceil(metres * scale_))); };
    image = Image(pixels(extent.x()), pixels(extent.y()));
  }

  Eigen::Vector2d pixel(const Eigen::Vector2d& place) const {
    return {(place.x() - low_.x()) * scale_, image.height - (place.y() - low_.y()) * scale_};
  }
  Eigen::Vector2d place(int u, int v) const {
    return {low_.x() + (u + 0.5) / scale_, low_.y() + (image.height - v - 0.5) / scale_};
  }
  void line(const Eigen::Vector2d& from, const Eigen::Vector2d& to, Colour colour, double width) {
    draw_line(image, pixel(from), pixel(to), colour, width);
  }
  void outline(const Footprint& f, Colour colour, double width) {
    const auto corners = places_of(f);  // front left, front right, back left, back right
    for (const auto& [a, b] : {std::pair<std::size_t, std::size_t>{0, 1}, {1, 3}, {3, 2}, {2, 0}}) {
      line(corners[a], corners[b], colour, width);
    }
    line(f.center, 0.5 * (corners[0] + corners[1]), colour, width);
  }

  Image image;

 private:
  Eigen::Vector2d low_;
  double scale_ = 1;
};

}  // namespace

Image picture_of(const World& world, const Rollout& rollout, int size) {
  Sheet sheet(world, rollout, size);
  for (int v = 0; v < sheet.image.height; ++v) {
    for (int u = 0; u < sheet.image.width; ++u) {
      const std::array<float, 3> colour = colour_of(world.scene().town.classify(sheet.place(u, v)).surface);
      Colour bytes{};
      for (std::size_t c = 0; c < 3; ++c)
        bytes[c] = static_cast<std::uint8_t>(std::lround(255 * std::min(1.0F, 1.4F * colour[c])));
      sheet.image.set(u, v, bytes);
    }
  }
  const Drive& drive = *world.scene().drive;
  for (double s = drive.start; s < drive.end; s += 1) {
    sheet.line(drive.route.at(s).position, drive.route.at(std::min(s + 1, drive.end)).position, driven_colour, 3);
  }
  const World::Moment now = world.at(world.time());
  for (std::size_t i = 0; i < now.clocks.size(); ++i) {
    sheet.outline(footprint_of(world.scene().traffic.objects[i], now.clocks[i]), {255, 255, 255}, 1);
  }
  for (const Solid& solid : world.scene().traffic.clutter) {
    sheet.outline({solid.center.head<2>(), solid.half.x(), solid.half.y(), solid.yaw}, {40, 60, 30}, 1);
  }
  for (const TrafficLight& light : drive.lights) {
    const Solid lamp = solids_of(light, now.time).front();
    Colour colour{};
    for (std::size_t c = 0; c < 3; ++c) colour[c] = static_cast<std::uint8_t>(std::lround(255 * lamp.colour[c]));
    sheet.line(lamp.center.head<2>(), lamp.center.head<2>(), colour, 9);
  }
  for (std::size_t i = 1; i < rollout.way.size(); ++i) sheet.line(rollout.way[i - 1], rollout.way[i], planned_colour, 2);
  sheet.outline(car_footprint(now.car.pose.position, now.car.pose.yaw), planned_colour, 2);
  for (std::size_t i = 0; i < rollout.events.size(); ++i) {
    const World::Event& event = rollout.events[i];
    // Words of places that are near each other stand below each other.
    const auto near = std::count_if(rollout.events.begin(), rollout.events.begin() + static_cast<std::ptrdiff_t>(i),
                                    [&event](const World::Event& other) { return (other.place - event.place).norm() < 8; });
    for (int k = 0; k < 24; ++k) {
      const auto on_ring = [&event](int part) {
        return Eigen::Vector2d(event.place + 3 * Eigen::Vector2d(std::cos(part * pi / 12), std::sin(part * pi / 12)));
      };
      sheet.line(on_ring(k), on_ring(k + 1), ring_colour, 2);
    }
    const Eigen::Vector2d at = sheet.pixel(event.place);
    const std::string word = word_for(event.what);
    const int scale = std::max(1, size / 640);
    draw_text(sheet.image, std::min(static_cast<int>(at.x()) + 12, sheet.image.width - text_width(word, scale)),
              static_cast<int>(at.y()) - text_height(scale) / 2 + static_cast<int>(near) * (text_height(scale) + 2), word,
              {255, 255, 255}, ring_colour, scale);
  }
  return std::move(sheet.image);
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/can_bus.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include <nlohmann/json.hpp>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

namespace {

/// The list in a file; nothing where there is no such file.
std::optional<nlohmann::json> read_list(const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) return std::nullopt;
  std::ifstream stream(file);
  nlohmann::json list;
  try {
    list = nlohmann::json::parse(stream);
  } catch (const nlohmann::json::exception& error) {
    fail(file.string(), std::string("is no JSON: ") + error.what());
  }
  if (!list.is_array()) fail(file.string(), "wants a list of messages");
  return list;
}

std::filesystem::path message_file(const std::filesystem::path& root, const std::string& scene, const char* message) {
  return root / "can_bus" / (scene + "_" + message + ".json");
}

/// A number of a message.
const nlohmann::json& number_in(const std::filesystem::path& file, const nlohmann::json& list, std::size_t i, const char* field) {
  const auto found = list[i].is_object() ? list[i].find(field) : list[i].end();
  if (!list[i].is_object() || found == list[i].end() || !found->is_number()) {
    fail(file.string(), "message " + std::to_string(i) + ": field '" + field + "' is no number");
  }
  return *found;
}
double real_number(const std::filesystem::path& file, const nlohmann::json& list, std::size_t i, const char* field) {
  return number_in(file, list, i, field).get<double>();
}
/// The time of a message, us: differences of two of them have to fit as well.
std::int64_t time_of(const std::filesystem::path& file, const nlohmann::json& list, std::size_t i) {
  constexpr std::int64_t latest = std::int64_t{1} << 62;
  const nlohmann::json& number = number_in(file, list, i, "utime");
  const std::int64_t time = number.is_number_integer() ? number.get<std::int64_t>() : -1;
  if (time < 0 || time > latest)
    fail(file.string(), "message " + std::to_string(i) + ": field 'utime' is no time in microseconds");
  return time;
}

}  // namespace

std::vector<Eigen::Vector2d> read_route(const std::filesystem::path& root, const std::string& scene) {
  const std::filesystem::path file = message_file(root, scene, "route");
  const std::optional<nlohmann::json> list = read_list(file);
  std::vector<Eigen::Vector2d> route;
  if (!list) return route;
  for (const nlohmann::json& place : *list) {
    if (!place.is_array() || place.size() != 2 || !place[0].is_number() || !place[1].is_number()) {
      fail(file.string(), "place " + std::to_string(route.size()) + " of the route is not two numbers, x and y");
    }
    route.emplace_back(place[0].get<double>(), place[1].get<double>());
    if (!route.back().allFinite()) {
      fail(file.string(), "place " + std::to_string(route.size() - 1) + " of the route is not finite");
    }
  }
  return route;
}

std::optional<Eigen::Vector2d> place_along(const std::vector<Eigen::Vector2d>& route, const Eigen::Vector2d& from, double ahead,
                                           double farthest) {
  if (route.size() < 2) return std::nullopt;
  double nearest = std::numeric_limits<double>::infinity();
  std::size_t on = 0;  // the piece of the route that is nearest
  double share = 0;    // of it that lies before the nearest point
  for (std::size_t i = 0; i + 1 < route.size(); ++i) {
    const Eigen::Vector2d along = route[i + 1] - route[i];
    const double t = along.squaredNorm() > 0 ? std::clamp((from - route[i]).dot(along) / along.squaredNorm(), 0.0, 1.0) : 0.0;
    const double away = (from - route[i] - t * along).norm();
    if (away < nearest) {
      nearest = away;
      on = i;
      share = t;
    }
  }
  if (nearest > farthest) return std::nullopt;
  double left = ahead + share * (route[on + 1] - route[on]).norm();
  for (std::size_t i = on; i + 1 < route.size(); ++i) {
    const double length = (route[i + 1] - route[i]).norm();
    if (length > 0 && left <= length) return route[i] + left / length * (route[i + 1] - route[i]);
    left -= length;
  }
  return std::nullopt;
}

std::optional<BusMessage> read_bus(const std::filesystem::path& root, const std::string& scene, std::int64_t timestamp,
                                   double longest) {
  const std::filesystem::path file = message_file(root, scene, "vehicle_monitor");
  const std::optional<nlohmann::json> list = read_list(file);
  if (!list) return std::nullopt;
  std::optional<BusMessage> before;
  std::int64_t then = 0;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::int64_t time = time_of(file, *list, i);
    BusMessage message;
    message.speed = real_number(file, *list, i, "vehicle_speed") / 3.6;
    message.controls.steer = real_number(file, *list, i, "steering") / wheel_lock;
    message.controls.throttle = real_number(file, *list, i, "throttle") / throttle_scale;
    message.controls.brake = real_number(file, *list, i, "brake") / brake_scale;
    if (time == timestamp) return message;
    if (before && time <= then)
      fail(file.string(), "message " + std::to_string(i) + ": field 'utime' is not later than the one before");
    if (time > timestamp) {
      if (!before || 1e-6 * static_cast<double>(time - then) > longest) return std::nullopt;
      const double share = static_cast<double>(timestamp - then) / static_cast<double>(time - then);
      const auto mixed = [share](double a, double b) { return (1 - share) * a + share * b; };
      message.speed = mixed(before->speed, message.speed);
      message.controls = {mixed(before->controls.steer, message.controls.steer),
                          mixed(before->controls.throttle, message.controls.throttle),
                          mixed(before->controls.brake, message.controls.brake)};
      return message;
    }
    before = message;
    then = time;
  }
  return std::nullopt;
}

std::optional<LightAhead> read_light_ahead(const std::filesystem::path& root, const std::string& scene, std::int64_t timestamp) {
  const std::filesystem::path file = root / "traffic_lights" / (scene + ".json");
  const std::optional<nlohmann::json> list = read_list(file);
  for (std::size_t i = 0; list && i < list->size(); ++i) {
    if (std::abs(time_of(file, *list, i) - timestamp) > 1000) continue;
    LightAhead light;
    const auto state = (*list)[i].find("state");
    if (state == (*list)[i].end() || !state->is_string())
      fail(file.string(), "message " + std::to_string(i) + ": field 'state' is no text");
    light.state = state->get<std::string>();
    if (light.state != "none" && light.state != "red" && light.state != "yellow" && light.state != "green") {
      fail(file.string(),
           "message " + std::to_string(i) + ": field 'state' is '" + light.state + "', not red, yellow, green or none");
    }
    if (light.state != "none") light.distance = real_number(file, *list, i, "distance");
    return light;
  }
  return std::nullopt;
}

}  // namespace bevfusion

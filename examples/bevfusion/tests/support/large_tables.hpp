// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/nuscenes/channel.hpp"
#include "bevfusion/synth/json_table.hpp"
#include "bevfusion/synth/random.hpp"

namespace bevfusion::testing {

/// Tables of as many rows as nuScenes' own have, without any sensor's file: what it costs to read them needs no more. 850 scenes
/// are v1.0-trainval; with fewer all tables shrink alike. Rows of the large tables come in no order, as they do there.
class LargeTables {
 public:
  static constexpr std::uint64_t samples_per_scene = 40;
  static constexpr std::uint64_t objects_per_scene = 75;
  static constexpr std::uint64_t samples_per_object = 16;  ///< in which it is annotated: 30 annotations a sample
  static constexpr std::uint64_t files_per_sample = 70;    ///< of all sensors, radars too

  /// @param folder  of the tables; made where it is not there
  LargeTables(std::filesystem::path folder, std::uint64_t scenes) : folder_(std::move(folder)), scenes_(scenes) {}

  void write() const {
    std::filesystem::create_directories(folder_);
    names();
    sensors();
    scenes();
    files();
    annotations();
  }

  std::uint64_t samples() const { return scenes_ * samples_per_scene; }
  std::uint64_t all_files() const { return samples() * files_per_sample; }
  /// Of the LiDAR all files, of cameras those of key frames: what is kept of sample_data.
  std::uint64_t kept_files() const { return samples() * (files_of(lidar) + camera_count); }
  std::uint64_t all_annotations() const { return scenes_ * objects_per_scene * samples_per_object; }

 private:
  enum Kind : std::uint64_t { attribute, calibration, category, instance, log, map, sample, annotation, file, scene, sensor };
  static constexpr std::uint64_t lidar = channel_count - 1;
  static constexpr std::array<const char*, 5> radars = {"RADAR_FRONT", "RADAR_FRONT_LEFT", "RADAR_FRONT_RIGHT", "RADAR_BACK_LEFT",
                                                        "RADAR_BACK_RIGHT"};
  static constexpr std::uint64_t sensor_count = channel_count + radars.size();

  /// A sensor's file, by its place among the sensor's files of the scene.
  struct File {
    std::uint64_t scene = 0;
    std::uint64_t sensor = 0;
    std::uint64_t place = 0;

    bool key_frame() const { return place % files_of(sensor) == 0; }
    std::uint64_t sample() const { return place / files_of(sensor); }
    std::uint64_t time() const { return sample_time(scene, 0) + place * 500'000 / files_of(sensor) + sensor * 1000; }
    Token token() const { return LargeTables::token(Kind::file, scene, sensor, place); }
    Token before() const { return place > 0 ? File{scene, sensor, place - 1}.token() : Token(); }
    Token after() const {
      return place + 1 < samples_per_scene * files_of(sensor) ? File{scene, sensor, place + 1}.token() : Token();
    }
  };

  static Token token(Kind kind, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
    return Token::of_digits(mix_bits({kind, a, b, c, 1}), mix_bits({kind, a, b, c, 2}));
  }
  static std::uint64_t sample_time(std::uint64_t scene, std::uint64_t sample) {
    return 1'533'000'000'000'000 + scene * 30'000'000 + sample * 500'000;
  }
  static std::string channel(std::uint64_t sensor) {
    return std::string(sensor <= lidar ? channel_names[sensor] : radars[sensor - lidar - 1]);
  }
  static const char* modality(std::uint64_t sensor) { return sensor < lidar ? "camera" : sensor == lidar ? "lidar" : "radar"; }
  /// Files of a sensor from one key frame to the next: 70 of all sensors.
  static constexpr std::uint64_t files_of(std::uint64_t sensor) {
    return sensor < lidar ? 6 : sensor == lidar ? 10 : sensor + 1 < sensor_count ? 5 : 4;
  }

  /// Calls take(i) for each i below count, in an order that jumps through all of them.
  template <typename Take>
  static void in_no_order(std::uint64_t count, Take&& take) {
    std::uint64_t step = count * 5 / 13 + 1;
    while (std::gcd(step, count) != 1) ++step;
    for (std::uint64_t i = 0, at = 0; i < count; ++i, at = (at + step) % count) take(at);
  }

  File file_at(std::uint64_t index) const {
    constexpr std::uint64_t of_scene = samples_per_scene * files_per_sample;
    File found{index / of_scene, 0, index % of_scene};
    while (found.place >= samples_per_scene * files_of(found.sensor)) found.place -= samples_per_scene * files_of(found.sensor++);
    return found;
  }

  // Numbers with as many digits as measured ones have, made from what they belong to.
  static std::array<double, 3> place(std::uint64_t of, std::uint64_t kind) {
    Random random({of, kind});
    return {random.uniform(0, 2000), random.uniform(0, 2000), random.uniform(-1, 1)};
  }
  static std::array<double, 4> turn(std::uint64_t of, std::uint64_t kind) {
    Random random({of, kind, 1});
    Eigen::Quaterniond q(random.uniform(0.1, 1), random.uniform(-0.02, 0.02), random.uniform(-0.02, 0.02), random.uniform(-1, 1));
    q.normalize();
    return {q.w(), q.x(), q.y(), q.z()};
  }

  // Calls fill(begin row) and closes the table.
  template <typename Fill>
  void table(const char* name, Fill&& fill) const {
    JsonWriter out((folder_ / (std::string(name) + ".json")).string());
    out.open('[').line();
    bool first = true;
    fill([&](const auto& own) -> JsonWriter& {
      if (!first) out.close('}').line();
      first = false;
      return out.open('{').field("token", own);
    });
    if (!first) out.close('}');
    out.line().close(']').finish();
  }

  void names() const {
    table("category", [](auto row) {
      for (std::size_t i = 0; i < detection_class_count; ++i) {
        row(token(category, i)).field("name", standard_boxes()[i].categories.front()).field("description", "");
      }
    });
    table("attribute", [](auto row) { row(token(attribute, 0)).field("name", "vehicle.moving").field("description", ""); });
    table("visibility", [](auto row) { row("4").field("level", "v80-100").field("description", ""); });
  }

  void sensors() const {
    table("sensor", [](auto row) {
      for (std::uint64_t s = 0; s < sensor_count; ++s) {
        row(token(sensor, s)).field("channel", channel(s)).field("modality", modality(s));
      }
    });
    table("calibrated_sensor", [this](auto row) {
      for (std::uint64_t i = 0; i < scenes_ * sensor_count; ++i) {
        const std::uint64_t s = i % sensor_count;
        JsonWriter& out = row(token(calibration, i / sensor_count, s));
        out.field("sensor_token", token(sensor, s)).field("translation", place(i, calibration)).field("rotation", turn(i, s));
        out.key("camera_intrinsic").open('[');
        if (s < lidar) {
          using Row = std::array<double, 3>;
          out.value(Row{1266.417203046554, 0, 816.2670197447984}).value(Row{0, 1266.417203046554, 491.50706579294757});
          out.value(Row{0, 0, 1});
        }
        out.close(']');
      }
    });
  }

  void scenes() const {
    table("log", [this](auto row) {
      for (std::uint64_t s = 0; s < scenes_; ++s) {
        row(token(log, s)).field("logfile", "n015").field("vehicle", "n015").field("location", "singapore-onenorth");
      }
    });
    table("map", [](auto) {});
    table("scene", [this](auto row) {
      for (std::uint64_t s = 0; s < scenes_; ++s) {
        row(token(scene, s))
            .field("log_token", token(log, s))
            .field("nbr_samples", samples_per_scene)
            .field("first_sample_token", token(sample, s, 0))
            .field("last_sample_token", token(sample, s, samples_per_scene - 1))
            .field("name", "scene-" + std::to_string(s))
            .field("description", "");
      }
    });
    table("sample", [this](auto row) {
      in_no_order(samples(), [&](std::uint64_t index) {
        const std::uint64_t s = index / samples_per_scene;
        const std::uint64_t i = index % samples_per_scene;
        row(token(sample, s, i))
            .field("timestamp", sample_time(s, i))
            .field("prev", i > 0 ? token(sample, s, i - 1) : Token())
            .field("next", i + 1 < samples_per_scene ? token(sample, s, i + 1) : Token())
            .field("scene_token", token(scene, s));
      });
    });
  }

  void files() const {
    table("sample_data", [this](auto row) {
      in_no_order(all_files(), [&](std::uint64_t index) {
        const File own = file_at(index);
        const std::string name = channel(own.sensor);
        const char* kind = own.sensor < lidar ? ".jpg" : own.sensor == lidar ? ".pcd.bin" : ".pcd";
        row(own.token())
            .field("sample_token", token(sample, own.scene, own.sample()))
            .field("ego_pose_token", own.token())
            .field("calibrated_sensor_token", token(calibration, own.scene, own.sensor))
            .field("timestamp", own.time())
            .field("fileformat", own.sensor < lidar ? "jpg" : "pcd")
            .field("is_key_frame", own.key_frame())
            .field("height", own.sensor < lidar ? 900 : 0)
            .field("width", own.sensor < lidar ? 1600 : 0)
            .field("filename", (own.key_frame() ? "samples/" : "sweeps/") + name + "/n015-2018-08-01-15-16-36+0800__" + name +
                                   "__" + std::to_string(own.time()) + kind)
            .field("prev", own.before())
            .field("next", own.after());
      });
    });
    table("ego_pose", [this](auto row) {
      in_no_order(all_files(), [&](std::uint64_t index) {
        const File own = file_at(index);
        row(own.token())
            .field("timestamp", own.time())
            .field("rotation", turn(index, file))
            .field("translation", place(index, file));
      });
    });
  }

  void annotations() const {
    table("instance", [this](auto row) {
      for (std::uint64_t i = 0; i < scenes_ * objects_per_scene; ++i) {
        row(token(instance, i))
            .field("category_token", token(category, i % detection_class_count))
            .field("nbr_annotations", samples_per_object)
            .field("first_annotation_token", token(annotation, i, 0))
            .field("last_annotation_token", token(annotation, i, samples_per_object - 1));
      }
    });
    table("sample_annotation", [this](auto row) {
      in_no_order(all_annotations(), [&](std::uint64_t index) {
        const std::uint64_t object = index / samples_per_object;
        const std::uint64_t i = index % samples_per_object;
        const std::uint64_t from = object % (samples_per_scene - samples_per_object + 1);
        row(token(annotation, object, i))
            .field("sample_token", token(sample, object / objects_per_scene, from + i))
            .field("instance_token", token(instance, object))
            .field("visibility_token", "4")
            .field("attribute_tokens", std::array<Token, 1>{token(attribute, 0)})
            .field("translation", place(index, annotation))
            .field("size", std::array<double, 3>{0.621, 1.669, 1.642})
            .field("rotation", turn(index, annotation))
            .field("prev", i > 0 ? token(annotation, object, i - 1) : Token())
            .field("next", i + 1 < samples_per_object ? token(annotation, object, i + 1) : Token())
            .field("num_lidar_pts", index % 200)
            .field("num_radar_pts", index % 3);
      });
    });
  }

  std::filesystem::path folder_;
  std::uint64_t scenes_;
};

}  // namespace bevfusion::testing

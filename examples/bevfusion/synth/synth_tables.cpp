// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/synth_tables.hpp"

#include <algorithm>
#include <cmath>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/nuscenes/detection_class.hpp"
#include "bevfusion/synth/json_table.hpp"
#include "bevfusion/synth/sensor_rig.hpp"
#include "bevfusion/synth/synth_tokens.hpp"

namespace bevfusion {

namespace {

std::array<double, 3> list_of(const Eigen::Vector3d& v) { return {v.x(), v.y(), v.z()}; }

class TablesWriter {
 public:
  TablesWriter(const std::vector<SynthScene>& scenes, const std::vector<std::vector<SeenObject>>& seen,
               const SynthOptions& options)
      : scenes_(scenes), seen_(seen), options_(options) {}

  void write() {
    names();
    sensors();
    scenes();
    sensor_data();
    annotations();
    splits();
    knobs();
  }

 private:
  Token token(TokenKind kind, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) const {
    return token_of(options_, kind, a, b, c);
  }
  Token token(TokenKind kind, const SynthScene& scene, std::uint64_t b = 0, std::uint64_t c = 0) const {
    return token(kind, static_cast<std::uint64_t>(scene.index), b, c);
  }

  // Calls fill(begin row) and closes the table.
  template <typename Fill>
  void table(const char* name, Fill&& fill) {
    JsonWriter out((options_.out / options_.version / (std::string(name) + ".json")).string());
    out.open('[').line();
    bool first = true;
    fill([&](auto token_value) -> JsonWriter& {
      if (!first) out.close('}');
      first = false;
      return out.open('{').field("token", token_value);
    });
    if (!first) out.close('}');
    out.line().close(']').finish();
  }

  void names() {
    table("category", [&](auto row) {
      for (std::size_t i = 0; i < detection_class_count; ++i) {
        row(token(TokenKind::category, i)).field("name", standard_boxes()[i].categories.front()).field("description", "");
      }
    });
    table("attribute", [&](auto row) {
      for (std::size_t i = 1; i <= attribute_count; ++i) {
        row(token(TokenKind::attribute, i)).field("name", attribute_names[i]).field("description", "");
      }
    });
    table("visibility", [&](auto row) {
      constexpr std::array<const char*, 4> levels = {"v0-40", "v40-60", "v60-80", "v80-100"};
      for (std::size_t i = 0; i < 4; ++i) row(std::to_string(i + 1)).field("level", levels[i]).field("description", "");
    });
  }

  void sensors() {
    table("sensor", [&](auto row) {
      for (std::size_t i = 0; i < channel_count; ++i) {
        const bool lidar = static_cast<Channel>(i) == Channel::lidar_top;
        row(token(TokenKind::sensor, i)).field("channel", channel_names[i]).field("modality", lidar ? "lidar" : "camera");
      }
    });
    table("calibrated_sensor", [&](auto row) {
      for (std::size_t i = 0; i < channel_count; ++i) {
        JsonWriter& out = row(token(TokenKind::calibrated_sensor, i));
        const auto channel = static_cast<Channel>(i);
        const RigidTransform pose = ego_from_sensor(channel);
        out.field("sensor_token", token(TokenKind::sensor, i)).field("translation", list_of(pose.translation));
        out.field("rotation", quaternion_of(pose.rotation)).key("camera_intrinsic").open('[');
        if (channel != Channel::lidar_top) {
          const Eigen::Matrix3d k = intrinsic_of(channel, options_.image_scale);
          for (int r = 0; r < 3; ++r) out.value(list_of(k.row(r)));
        }
        out.close(']');
      }
    });
  }

  void scenes() {
    const auto last = static_cast<std::uint64_t>(options_.samples - 1);
    table("log", [&](auto row) {
      for (const SynthScene& scene : scenes_) {
        row(token(TokenKind::log, scene))
            .field("logfile", scene.name)
            .field("vehicle", "synth")
            .field("date_captured", "2020-09-13")
            .field("location", scene.location);
      }
    });
    table("map", [&](auto row) {
      if (!options_.base_map) return;
      for (const SynthScene& scene : scenes_) {
        const Token own = token(TokenKind::map, scene);
        row(own)
            .field("log_tokens", std::array<Token, 1>{token(TokenKind::log, scene)})
            .field("category", "semantic_prior")
            .field("filename", "maps/" + to_string(own) + ".png");
      }
    });
    table("scene", [&](auto row) {
      for (const SynthScene& scene : scenes_) {
        row(token(TokenKind::scene, scene))
            .field("log_token", token(TokenKind::log, scene))
            .field("nbr_samples", options_.samples)
            .field("first_sample_token", token(TokenKind::sample, scene, 0))
            .field("last_sample_token", token(TokenKind::sample, scene, last))
            .field("name", scene.name)
            .field("description", "synthetic");
      }
    });
    table("sample", [&](auto row) {
      for (const SynthScene& scene : scenes_) {
        for (std::uint64_t i = 0; i <= last; ++i) {
          row(token(TokenKind::sample, scene, i))
              .field("timestamp", scene.sample_time(static_cast<int>(i)))
              .field("prev", i > 0 ? token(TokenKind::sample, scene, i - 1) : Token{})
              .field("next", i < last ? token(TokenKind::sample, scene, i + 1) : Token{})
              .field("scene_token", token(TokenKind::scene, scene));
        }
      }
    });
  }

  // Every sensor's files in turn, each with an ego pose of its own that shares its token.
  template <typename Take>
  void each_file(Take&& take) {
    for (const SynthScene& scene : scenes_) {
      for (std::size_t c = 0; c < channel_count; ++c) {
        const auto channel = static_cast<Channel>(c);
        std::vector<std::pair<SensorFile, int>> files;
        for (int i = 0; i < options_.samples; ++i) {
          if (channel != Channel::lidar_top) {
            files.emplace_back(camera_file_of(scene, i, channel, options_), i);
            continue;
          }
          for (SensorFile& file : lidar_files_of(scene, i, options_)) files.emplace_back(std::move(file), i);
        }
        for (std::size_t k = 0; k < files.size(); ++k) {
          take(scene, c, files[k].first, files[k].second, k > 0 ? token(TokenKind::sample_data, scene, c, k - 1) : Token{},
               token(TokenKind::sample_data, scene, c, k),
               k + 1 < files.size() ? token(TokenKind::sample_data, scene, c, k + 1) : Token{});
        }
      }
    }
  }

  void sensor_data() {
    table("sample_data", [&](auto row) {
      each_file([&](const SynthScene& scene, std::size_t c, const SensorFile& file, int sample, const Token& prev,
                    const Token& own, const Token& next) {
        const bool lidar = static_cast<Channel>(c) == Channel::lidar_top;
        row(own)
            .field("sample_token", token(TokenKind::sample, scene, static_cast<std::uint64_t>(sample)))
            .field("ego_pose_token", own)
            .field("calibrated_sensor_token", token(TokenKind::calibrated_sensor, c))
            .field("timestamp", file.timestamp)
            .field("fileformat", lidar                       ? "pcd"
                                 : options_.jpeg_quality > 0 ? "jpg"
                                                             : "ppm")
            .field("is_key_frame", file.is_key_frame)
            .field("height", lidar ? 0 : scaled_height(options_.image_scale))
            .field("width", lidar ? 0 : scaled_width(options_.image_scale))
            .field("filename", file.path)
            .field("prev", prev)
            .field("next", next);
      });
    });
    table("ego_pose", [&](auto row) {
      each_file(
          [&](const SynthScene& scene, std::size_t, const SensorFile& file, int, const Token&, const Token& own, const Token&) {
            const RigidTransform pose = scene.global_from_ego(scene.seconds(file.timestamp));
            row(own)
                .field("timestamp", file.timestamp)
                .field("rotation", quaternion_of(pose.rotation))
                .field("translation", list_of(pose.translation));
          });
    });
  }

  const std::vector<SeenObject>& seen(const SynthScene& scene, int sample) const {
    return seen_[static_cast<std::size_t>(scene.index) * static_cast<std::size_t>(options_.samples) +
                 static_cast<std::size_t>(sample)];
  }

  // In which samples each object of a scene is annotated.
  std::vector<std::vector<int>> tracks_of(const SynthScene& scene) const {
    std::vector<std::vector<int>> tracks(scene.traffic.objects.size());
    for (int i = 0; i < options_.samples; ++i) {
      for (const SeenObject& object : seen(scene, i)) tracks[object.object].push_back(i);
    }
    return tracks;
  }

  Token annotation(const SynthScene& scene, std::size_t object, int sample) const {
    return token(TokenKind::sample_annotation, scene, object, static_cast<std::uint64_t>(sample));
  }

  void annotations() {
    table("instance", [&](auto row) {
      for (const SynthScene& scene : scenes_) {
        const auto tracks = tracks_of(scene);
        for (std::size_t o = 0; o < tracks.size(); ++o) {
          if (tracks[o].empty()) continue;
          row(token(TokenKind::instance, scene, o))
              .field("category_token", token(TokenKind::category, static_cast<std::uint64_t>(scene.traffic.objects[o].label)))
              .field("nbr_annotations", tracks[o].size())
              .field("first_annotation_token", annotation(scene, o, tracks[o].front()))
              .field("last_annotation_token", annotation(scene, o, tracks[o].back()));
        }
      }
    });
    table("sample_annotation", [&](auto row) {
      for (const SynthScene& scene : scenes_) {
        const auto tracks = tracks_of(scene);
        for (int i = 0; i < options_.samples; ++i) {
          for (const SeenObject& object : seen(scene, i)) annotate(row, scene, tracks[object.object], i, object);
        }
      }
    });
  }

  template <typename Row>
  void annotate(Row& row, const SynthScene& scene, const std::vector<int>& track, int sample, const SeenObject& seen_object) {
    const std::size_t o = seen_object.object;
    const TrafficObject& object = scene.traffic.objects[o];
    const GroundPose pose = object.motion.at(0.5 * sample);
    const auto place = std::find(track.begin(), track.end(), sample);
    const Attribute attribute = attribute_by_speed(standard_boxes()[index_of(object.label)], std::abs(object.motion.speed));
    std::vector<Token> attributes;
    if (attribute != Attribute::none) attributes.push_back(token(TokenKind::attribute, static_cast<std::uint64_t>(attribute)));
    row(annotation(scene, o, sample))
        .field("sample_token", token(TokenKind::sample, scene, static_cast<std::uint64_t>(sample)))
        .field("instance_token", token(TokenKind::instance, scene, o))
        .field("visibility_token", std::to_string(seen_object.visibility))
        .field("attribute_tokens", attributes)
        .field("translation", std::array<double, 3>{pose.position.x(), pose.position.y(), 0.5 * object.size.z()})
        .field("size", list_of(object.size))
        .field("rotation", quaternion_of(rotation_about_z(pose.yaw)))
        .field("prev", place == track.begin() ? Token{} : annotation(scene, o, *(place - 1)))
        .field("next", place + 1 == track.end() ? Token{} : annotation(scene, o, *(place + 1)))
        .field("num_lidar_pts", seen_object.lidar_points)
        .field("num_radar_pts", 0);
  }

  void splits() {
    JsonWriter out((options_.out / options_.version / "splits.json").string());
    std::vector<std::string> names;
    for (const SynthScene& scene : scenes_) names.push_back(scene.name);
    const auto test = names.begin() + options_.scenes;
    const auto validation = test - options_.scenes_of_validation();
    out.open('{').field("train", std::vector<std::string>(names.begin(), validation));
    out.field("val", std::vector<std::string>(validation, test));
    if (test != names.end()) out.field("test", std::vector<std::string>(test, names.end()));
    out.close('}').finish();
  }

  // What the world is like, to be read by whoever finds the data set: all options that its bytes depend on.
  void knobs() {
    const SynthOptions& o = options_;
    JsonWriter out((o.out / o.version / "synth.json").string());
    out.open('{').field("seed", o.seed).field("scenes", o.scenes).field("validation_scenes", o.scenes_of_validation());
    out.field("test_scenes", o.test_scenes).field("samples", o.samples).field("sweeps", o.sweeps);
    out.field("fewest_objects", o.fewest_objects).field("most_objects", o.most_objects).field("object_reach", o.object_reach);
    out.field("junction_reach", o.junction_reach).field("annotation_range", o.annotation_range).field("decoys", o.decoys);
    out.field("decoy_reach", o.decoy_reach).field("camouflage", o.camouflage).field("azimuths", o.azimuths);
    out.field("lidar_range", o.lidar_range).field("range_noise", o.range_noise).field("drop_out", o.drop_out);
    out.field("intensity_semantics", o.intensity_semantics).field("curb", o.curb).field("car_returns", o.car_returns);
    out.field("misses", o.misses).field("image_scale", o.image_scale).field("supersample", o.supersample).field("fog", o.fog);
    out.field("least_gain", o.least_gain).field("most_gain", o.most_gain).field("image_noise", o.image_noise);
    out.field("blur", o.blur).field("jpeg_quality", o.jpeg_quality);
    if (o.driving) out.field("driving", true);  // data sets of before have no such field
    out.close('}').finish();
  }

  const std::vector<SynthScene>& scenes_;
  const std::vector<std::vector<SeenObject>>& seen_;
  const SynthOptions& options_;
};

}  // namespace

void write_tables(const std::vector<SynthScene>& scenes, const std::vector<std::vector<SeenObject>>& seen,
                  const SynthOptions& options) {
  TablesWriter(scenes, seen, options).write();
}

}  // namespace bevfusion

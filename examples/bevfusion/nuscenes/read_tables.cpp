// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <optional>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/parse_tables.hpp"
#include "bevfusion/nuscenes/table_fields.hpp"
#include "bevfusion/nuscenes/token_index.hpp"

namespace bevfusion {

namespace {

// prev and next of a table, which may point forward: numbers of tokens until the table is read.
struct Links {
  struct Pair {
    TokenIndex::Number previous;
    TokenIndex::Number next;
  };
  std::vector<Pair> pairs;

  void add(const JsonRow& row, TokenIndex& index) {
    const TokenIndex::Number previous = index.meet(row.token("prev"));
    pairs.push_back({previous, index.meet(row.token("next"))});
  }

  template <typename Rows>
  void resolve(const TokenIndex& index, Rows& rows) const {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].previous = index.row_of(pairs[i].previous);
      rows[i].next = index.row_of(pairs[i].next);
    }
  }
};

class TablesReader {
 public:
  TablesReader(std::filesystem::path root, std::filesystem::path folder, TableOpener open, const TablesOptions& options)
      : open_(std::move(open)), options_(options) {
    tables_.root = std::move(root);
    tables_.folder = std::move(folder);
  }

  Tables read() {
    sensors();
    scenes_and_samples();
    sample_data();
    annotations();
    return std::move(tables_);
  }

 private:
  template <typename OnRow>
  void visit(const char* table, std::vector<std::string> fields, OnRow&& on_row) {
    JsonRowsVisitor visitor;
    visitor.fields = std::move(fields);
    visitor.fields.emplace_back("token");
    visitor.row = std::forward<OnRow>(on_row);
    const std::unique_ptr<std::istream> stream = open_(table);
    if (!stream) fail(file_of(table), "cannot be opened");
    visit_json_rows(*stream, file_of(table), visitor);
  }

  std::string file_of(const std::string& table) const { return (tables_.folder / (table + ".json")).string(); }

  template <typename Rows>
  static RowIndex count(const Rows& rows) {
    return static_cast<RowIndex>(rows.size());
  }

  /// Which sensor a channel's name stands for under the options.
  std::optional<Channel> channel_named(const std::string& name) const {
    if (name == options_.lidar) return Channel::lidar_top;
    if (options_.cameras.empty()) {
      const std::optional<Channel> known = channel_of(name);
      return known == Channel::lidar_top ? std::nullopt : known;
    }
    const auto at = std::find(options_.cameras.begin(), options_.cameras.end(), name) - options_.cameras.begin();
    return static_cast<std::size_t>(at) < std::min(options_.cameras.size(), camera_count)
               ? std::make_optional(static_cast<Channel>(at))
               : std::nullopt;
  }

  void sensors() {
    TokenIndex sensors;
    std::vector<std::optional<Channel>> channels;
    std::vector<std::string> names;
    visit("sensor", {"channel", "modality"}, [&](const JsonRow& row) {
      sensors.add(row, count(channels));
      names.push_back(row.text("channel"));
      channels.push_back(channel_named(names.back()));
      if (!channels.back() || !row.has("modality")) return;
      const char* kind = *channels.back() == Channel::lidar_top ? "lidar" : "camera";
      if (row.text("modality") != kind) {
        row.fail("modality", "is '" + row.text("modality") + "', and " + names.back() + " is a " + kind);
      }
    });
    std::vector<std::string> named = options_.cameras;
    if (options_.lidar != TablesOptions().lidar) named.push_back(options_.lidar);
    for (const std::string& channel : named) {
      if (std::find(names.begin(), names.end(), channel) == names.end()) {
        std::string there;
        for (const std::string& name : names) there += (there.empty() ? "" : ", ") + name;
        fail(file_of("sensor"), "no sensor has the channel '" + channel + "'; there are: " + there);
      }
    }
    visit("calibrated_sensor", {"sensor_token", "translation", "rotation", "camera_intrinsic"}, [&](const JsonRow& row) {
      CalibrationRow calibration;
      calibration.token = calibrations_.add(row, count(tables_.calibrations));
      const std::optional<Channel> channel = channels[static_cast<std::size_t>(sensors.find(row, "sensor_token"))];
      calibration.used = channel.has_value();
      calibration.channel = channel.value_or(Channel::lidar_top);
      calibration.ego_from_sensor = transform_field(row);
      if (channel && *channel != Channel::lidar_top) calibration.intrinsic = intrinsic_field(row);
      tables_.calibrations.push_back(calibration);
    });
  }

  void scenes_and_samples() {
    TokenIndex logs;
    visit("log", {"location"}, [&](const JsonRow& row) {
      const Token token = logs.add(row, count(tables_.logs));
      tables_.logs.push_back({token, row.text("location"), {}});
    });
    visit("map", {"log_tokens", "filename"}, [&](const JsonRow& row) {
      for (const Token& log : row.tokens("log_tokens")) {
        const RowIndex index = logs.find(log);
        if (index >= 0) tables_.logs[static_cast<std::size_t>(index)].base_map = relative_path_field(row, "filename");
      }
    });

    TokenIndex scenes;
    struct Ends {
      Token first;
      Token last;
    };
    std::vector<Ends> ends;
    visit("scene", {"name", "log_token", "first_sample_token", "last_sample_token"}, [&](const JsonRow& row) {
      SceneRow scene;
      scene.token = scenes.add(row, count(tables_.scenes));
      scene.name = row.text("name");
      scene.log = logs.find(row, "log_token");
      ends.push_back({row.required_token("first_sample_token"), row.required_token("last_sample_token")});
      tables_.scenes.push_back(std::move(scene));
    });
    Links links;
    visit("sample", {"timestamp", "scene_token", "prev", "next"}, [&](const JsonRow& row) {
      SampleRow sample;
      sample.token = samples_.add(row, count(tables_.samples));
      sample.timestamp = row.integer("timestamp");
      sample.scene = scenes.find(row, "scene_token");
      links.add(row, samples_);
      tables_.samples.push_back(sample);
    });
    links.resolve(samples_, tables_.samples);
    for (std::size_t i = 0; i < tables_.samples.size(); ++i) {
      const SampleRow& row = tables_.samples[i];
      const std::string where = "token " + to_string(row.token) + ", field 'next' refers to ";
      if (row.next < 0) {
        if (links.pairs[i].next >= 0) {
          fail(file_of("sample"), where + "a row that is not there: " + to_string(samples_.token_of(links.pairs[i].next)));
        }
        continue;
      }
      const SampleRow& after = tables_.samples[static_cast<std::size_t>(row.next)];
      if (after.scene != row.scene) fail(file_of("sample"), where + "a sample of another scene");
      if (after.timestamp <= row.timestamp) {
        fail(file_of("sample"), where + "a sample that is not later: " + std::to_string(after.timestamp) + " after " +
                                    std::to_string(row.timestamp) + " us");
      }
    }
    for (std::size_t i = 0; i < tables_.scenes.size(); ++i) {
      SceneRow& scene = tables_.scenes[i];
      scene.first_sample = samples_.find(ends[i].first);
      scene.last_sample = samples_.find(ends[i].last);
      if (scene.first_sample < 0 || scene.last_sample < 0) {
        fail(file_of("scene"),
             "scene " + to_string(scene.token) + ", field 'first_sample_token' or 'last_sample_token' refers to no sample");
      }
    }
  }

  void sample_data() {
    TokenIndex index;
    TokenIndex poses;
    Links links;
    visit("sample_data",
          {"sample_token", "ego_pose_token", "calibrated_sensor_token", "filename", "width", "height", "timestamp",
           "is_key_frame", "prev", "next"},
          [&](const JsonRow& row) {
            SampleDataRow data;
            data.calibration = calibrations_.find(row, "calibrated_sensor_token");
            const CalibrationRow& calibration = tables_.calibrations[static_cast<std::size_t>(data.calibration)];
            if (!calibration.used) return;
            data.is_key_frame = row.flag("is_key_frame");
            if (!data.is_key_frame && calibration.channel != Channel::lidar_top && !options_.camera_sweeps) return;
            data.token = index.add(row, count(tables_.sample_data));
            data.file = relative_path_field(row, "filename");
            data.timestamp = row.integer("timestamp");
            data.sample = samples_.find(row, "sample_token");
            data.width = int_field(row, "width", 0, 1 << 16);
            data.height = int_field(row, "height", 0, 1 << 16);
            if (calibration.channel != Channel::lidar_top) check_picture(row, data, calibration);
            data.ego_pose = poses.meet(row.required_token("ego_pose_token"));  // its number, until the poses are read
            links.add(row, index);
            if (data.is_key_frame) {
              RowIndex& slot =
                  tables_.samples[static_cast<std::size_t>(data.sample)].data[static_cast<std::size_t>(calibration.channel)];
              if (slot >= 0) row.fail("is_key_frame", "makes a second key frame of one sensor in one sample");
              slot = count(tables_.sample_data);
            }
            tables_.sample_data.push_back(std::move(data));
          });
    links.resolve(index, tables_.sample_data);
    for (std::size_t i = 0; i < tables_.sample_data.size(); ++i) {
      const SampleDataRow& row = tables_.sample_data[i];
      const auto wrong = [&](const std::string& what) {
        fail(file_of("sample_data"), "token " + to_string(row.token) + ", field 'prev' " + what);
      };
      const bool lidar = calibration_of(row).channel == Channel::lidar_top;
      // Pictures between key frames may have been left out.
      if (row.previous < 0 && lidar && links.pairs[i].previous >= 0) {
        wrong("refers to a row that is not there: " + to_string(index.token_of(links.pairs[i].previous)));
      }
      if (row.previous < 0) continue;
      const SampleDataRow& before = tables_.sample_data[static_cast<std::size_t>(row.previous)];
      if (calibration_of(before).channel != calibration_of(row).channel) wrong("refers to a row of another sensor");
      if (before.timestamp >= row.timestamp) {
        wrong("refers to a row that is not earlier: " + std::to_string(before.timestamp) + " before " +
              std::to_string(row.timestamp) + " us");
      }
    }
    ego_poses(poses);
  }

  // Those that are met already, which the rows of sample_data name by their numbers.
  void ego_poses(TokenIndex& poses) {
    visit("ego_pose", {"translation", "rotation"}, [&](const JsonRow& row) {
      const TokenIndex::Number number = poses.number_of(row.required_token("token"));
      if (number < 0) return;
      if (poses.row_of(number) >= 0) row.fail("token", "appears twice");
      poses.set_row(number, count(tables_.ego_poses));
      tables_.ego_poses.push_back(transform_field(row));
    });
    for (SampleDataRow& data : tables_.sample_data) {
      const TokenIndex::Number number = data.ego_pose;
      data.ego_pose = poses.row_of(number);
      if (data.ego_pose < 0) {
        fail(file_of("sample_data"),
             "token " + to_string(data.token) +
                 ", field 'ego_pose_token' refers to a row that is not there: " + to_string(poses.token_of(number)));
      }
    }
  }

  const CalibrationRow& calibration_of(const SampleDataRow& row) const {
    return tables_.calibrations[static_cast<std::size_t>(row.calibration)];
  }

  // A matrix whose middle lies outside of the picture is another picture's.
  static void check_picture(const JsonRow& row, const SampleDataRow& data, const CalibrationRow& calibration) {
    if (data.width == 0 || data.height == 0) row.fail("width", "or 'height' is 0, and this is a camera's picture");
    const double x = calibration.intrinsic(0, 2);
    const double y = calibration.intrinsic(1, 2);
    if (x >= 0 && y >= 0 && x <= data.width && y <= data.height) return;
    row.fail("width", "and 'height' are " + std::to_string(data.width) + " x " + std::to_string(data.height) +
                          ", and the camera_intrinsic of calibrated_sensor " + to_string(calibration.token) +
                          " has its middle outside, at " + std::to_string(x) + ", " + std::to_string(y) +
                          ": size or matrix is of another picture");
  }

  void annotations() {
    TokenIndex categories;
    visit("category", {"name"}, [&](const JsonRow& row) {
      categories.add(row, count(tables_.categories));
      tables_.categories.push_back(row.text("name"));
    });
    TokenIndex attributes;
    std::vector<Attribute> attribute_kinds;
    visit("attribute", {"name"}, [&](const JsonRow& row) {
      attributes.add(row, count(attribute_kinds));
      attribute_kinds.push_back(attribute_of(row.text("name")));
    });
    TokenIndex visibilities;
    std::vector<int> visibility_levels;
    visit("visibility", {"level"}, [&](const JsonRow& row) {
      visibilities.add(row, count(visibility_levels));
      visibility_levels.push_back(visibility_level_field(row));
    });
    TokenIndex instances;
    visit("instance", {"category_token"}, [&](const JsonRow& row) {
      const Token token = instances.add(row, count(tables_.instances));
      tables_.instances.push_back({token, categories.find(row, "category_token")});
    });
    TokenIndex index;
    Links links;
    std::vector<AnnotationRow>& rows = tables_.annotations;
    visit("sample_annotation",
          {"sample_token", "instance_token", "attribute_tokens", "visibility_token", "translation", "size", "rotation",
           "num_lidar_pts", "num_radar_pts", "prev", "next"},
          [&](const JsonRow& row) {
            AnnotationRow annotation;
            annotation.token = index.add(row, count(rows));
            annotation.sample = samples_.find(row, "sample_token");
            annotation.instance = instances.find(row, "instance_token");
            const std::vector<Token> own = row.tokens("attribute_tokens");
            if (!own.empty()) {
              const RowIndex attribute = attributes.find(own[0]);
              if (attribute < 0) row.fail("attribute_tokens", "refers to a row that is not there: " + to_string(own[0]));
              annotation.attribute = attribute_kinds[static_cast<std::size_t>(attribute)];
            }
            if (row.has("visibility_token")) {
              const RowIndex visibility = visibilities.find(row.token("visibility_token"));
              if (visibility >= 0) annotation.visibility = visibility_levels[static_cast<std::size_t>(visibility)];
            }
            annotation.translation = vector_field(row, "translation");
            annotation.size = vector_field(row, "size");
            if (!(annotation.size.minCoeff() > 0)) row.fail("size", "is not above zero");
            annotation.rotation = rotation_field(row);
            annotation.lidar_points = int_field(row, "num_lidar_pts", 0, 1 << 30);
            annotation.radar_points = int_field(row, "num_radar_pts", 0, 1 << 30);
            links.add(row, index);
            rows.push_back(annotation);
          });
    links.resolve(index, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto check = [&](TokenIndex::Number number, RowIndex other, const char* field) {
        if (number < 0) return;
        const bool there = other >= 0;
        if (there && rows[static_cast<std::size_t>(other)].instance == rows[i].instance) return;
        fail(file_of("sample_annotation"), "token " + to_string(rows[i].token) + ", field '" + field + "' refers to " +
                                               (there ? "an annotation of another object: " : "a row that is not there: ") +
                                               to_string(index.token_of(number)));
      };
      check(links.pairs[i].previous, rows[i].previous, "prev");
      check(links.pairs[i].next, rows[i].next, "next");
    }
    sort_by_sample();
  }

  // Where they lie, since they are the largest table.
  void sort_by_sample() {
    std::vector<AnnotationRow>& rows = tables_.annotations;
    for (const AnnotationRow& row : rows) ++tables_.samples[static_cast<std::size_t>(row.sample)].annotation_count;
    RowIndex first = 0;
    for (SampleRow& sample : tables_.samples) {
      // A sample without annotations has none from the first row on.
      sample.first_annotation = sample.annotation_count > 0 ? first : 0;
      first += sample.annotation_count;
    }
    std::vector<RowIndex> taken(tables_.samples.size(), 0);
    std::vector<RowIndex> place;
    place.reserve(rows.size());
    for (const AnnotationRow& row : rows) {
      const auto sample = static_cast<std::size_t>(row.sample);
      place.push_back(tables_.samples[sample].first_annotation + taken[sample]++);
    }
    for (AnnotationRow& row : rows) {
      if (row.previous >= 0) row.previous = place[static_cast<std::size_t>(row.previous)];
      if (row.next >= 0) row.next = place[static_cast<std::size_t>(row.next)];
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      while (static_cast<std::size_t>(place[i]) != i) {
        const auto to = static_cast<std::size_t>(place[i]);
        std::swap(rows[i], rows[to]);
        std::swap(place[i], place[to]);
      }
    }
  }

  TableOpener open_;
  TablesOptions options_;
  Tables tables_;
  TokenIndex calibrations_;
  TokenIndex samples_;
};

}  // namespace

Tables parse_tables(const std::filesystem::path& root, const std::filesystem::path& folder, const TableOpener& open,
                    const TablesOptions& options) {
  return TablesReader(root, folder, open, options).read();
}

Tables read_tables(const TableOpener& open, const TablesOptions& options) { return parse_tables({}, {}, open, options); }

Eigen::Vector2d velocity_of(const Tables& tables, RowIndex annotation, double longest) {
  const AnnotationRow& row = tables.annotations[static_cast<std::size_t>(annotation)];
  const Eigen::Vector2d unknown = Eigen::Vector2d::Constant(std::numeric_limits<double>::quiet_NaN());
  if (row.previous < 0 && row.next < 0) return unknown;
  const AnnotationRow& first = row.previous < 0 ? row : tables.annotations[static_cast<std::size_t>(row.previous)];
  const AnnotationRow& last = row.next < 0 ? row : tables.annotations[static_cast<std::size_t>(row.next)];
  const auto time = [&](const AnnotationRow& a) {
    return 1e-6 * static_cast<double>(tables.samples[static_cast<std::size_t>(a.sample)].timestamp);
  };
  const double elapsed = time(last) - time(first);
  const double most = row.previous >= 0 && row.next >= 0 ? 2.0 * longest : longest;
  if (!(elapsed > 0) || elapsed > most) return unknown;
  return (last.translation - first.translation).head<2>() / elapsed;
}

}  // namespace bevfusion

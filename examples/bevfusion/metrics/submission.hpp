// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <exception>
#include <istream>
#include <limits>
#include <map>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/metrics/detection_box.hpp"
#include "bevfusion/metrics/evaluated_class.hpp"
#include "bevfusion/metrics/python_numbers.hpp"
#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

/// A nuScenes detection submission: what was used to make it, and the boxes of every sample, in the order of the file.
struct Submission {
  bool use_camera = false;
  bool use_lidar = false;
  bool use_radar = false;
  bool use_map = false;
  bool use_external = false;
  std::vector<std::pair<std::string, std::vector<DetectionBox>>> results;  ///< sample token, its boxes
};

namespace detail {

/// Reads one submission while it is parsed: boxes are converted and dropped one by one, so a file of a million of them costs
/// their own memory and not that of its text.
class SubmissionReader {
 public:
  using Json = nlohmann::json;

  SubmissionReader(std::string source, const std::vector<EvaluatedClass>& classes)
      : source_(std::move(source)), classes_(classes) {}

  Submission read(std::istream& in) {
    Json root;
    PythonNumbers buffer(in);
    std::istream numbers(&buffer);
    try {
      root =
          Json::parse(numbers, [this](int depth, Json::parse_event_t event, Json& parsed) { return take(depth, event, parsed); });
    } catch (const Json::exception& error) {
      fail(source_, error.what());
    }
    if (!root.is_object() || !root.contains("results") || !root["results"].is_object()) {
      reject("results", "must be an object of samples");
    }
    for (const auto& [token, boxes] : root["results"].items()) {
      // Boxes have left the tree by now: what is still in it was no box.
      if (!boxes.is_array() || !boxes.empty()) {
        reject("results/" + token, "must be an array of boxes");
      }
    }
    if (!root.contains("meta") || !root["meta"].is_object()) {
      reject("meta", "must be an object");
    }
    read_meta(root["meta"]);
    return std::move(submission_);
  }

 private:
  [[noreturn]] void reject(const std::string& field, const std::string& what) const { fail(source_, field + " " + what); }

  // Depth 1: keys of the file; 2: sample tokens; 3: boxes.
  bool take(int depth, Json::parse_event_t event, Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1) {
      section_ = parsed.get<std::string>();
      if (!sections_.insert(section_).second) {
        reject(section_, "stands twice");
      }
    } else if (event == Json::parse_event_t::key && depth == 2 && section_ == "results") {
      const auto token = parsed.get<std::string>();
      if (!tokens_.insert(token).second) {
        reject("results/" + token, "stands twice");
      }
      submission_.results.emplace_back(token, std::vector<DetectionBox>());
    } else if (event == Json::parse_event_t::object_end && depth == 3 && section_ == "results" && !tokens_.empty()) {
      submission_.results.back().second.push_back(box(parsed));
      return false;
    }
    return true;
  }

  DetectionBox box(const Json& json) const {
    const auto& [token, boxes] = submission_.results.back();
    const std::string field = "results/" + token + "/" + std::to_string(boxes.size());
    if (text(json, field, "sample_token") != token) {
      reject(field + "/sample_token", "differs from the sample it stands under");
    }
    DetectionBox out;
    out.translation = numbers<3>(json, field, "translation", false);
    out.size = numbers<3>(json, field, "size", false);
    out.rotation = numbers<4>(json, field, "rotation", false);
    out.velocity = numbers<2>(json, field, "velocity", true);
    const std::string class_name = text(json, field, "detection_name");
    const auto known_class = std::find_if(classes_.begin(), classes_.end(),
                                          [&class_name](const EvaluatedClass& known) { return known.name == class_name; });
    if (known_class == classes_.end()) {
      reject(field + "/detection_name", "is no detection class: '" + class_name + "'");
    }
    out.detection_class = static_cast<DetectionClass>(known_class - classes_.begin());
    const std::string attribute_name = text(json, field, "attribute_name");
    const auto known_attribute = std::find(attribute_names.begin(), attribute_names.end(), attribute_name);
    if (known_attribute == attribute_names.end()) {
      reject(field + "/attribute_name", "is no attribute: '" + attribute_name + "'");
    }
    out.attribute = static_cast<Attribute>(known_attribute - attribute_names.begin());
    if (!json.contains("detection_score") || !json["detection_score"].is_number()) {
      reject(field + "/detection_score", "must be a number");
    }
    out.score = json["detection_score"].get<double>();
    return out;
  }

  std::string text(const Json& json, const std::string& field, const char* key) const {
    if (!json.contains(key) || !json[key].is_string()) {
      reject(field + "/" + key, "must be a text");
    }
    return json[key].get<std::string>();
  }

  template <std::size_t count>
  std::array<double, count> numbers(const Json& json, const std::string& field, const char* key, bool may_be_unknown) const {
    std::array<double, count> out{};
    bool good = json.contains(key) && json[key].is_array() && json[key].size() == count;
    for (std::size_t i = 0; good && i < count; ++i) {
      const Json& value = json[key][i];
      good = value.is_number() || (may_be_unknown && value.is_null());
      if (good) {
        out[i] = value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.template get<double>();
      }
    }
    if (!good) {
      reject(field + "/" + key, "must be " + std::to_string(count) + " numbers");
    }
    return out;
  }

  void read_meta(const Json& meta) {
    const auto flag = [&](const char* key) {
      if (!meta.contains(key) || !meta[key].is_boolean()) {
        reject(std::string("meta/") + key, "must be true or false");
      }
      return meta[key].get<bool>();
    };
    submission_.use_camera = flag("use_camera");
    submission_.use_lidar = flag("use_lidar");
    submission_.use_radar = flag("use_radar");
    submission_.use_map = flag("use_map");
    submission_.use_external = flag("use_external");
  }

  std::string source_;
  const std::vector<EvaluatedClass>& classes_;
  std::string section_;
  std::set<std::string> sections_;
  std::set<std::string> tokens_;
  Submission submission_;
};

}  // namespace detail

/// Reads a nuScenes detection submission, as Python's json writes it. A velocity of NaN is unknown, as to the devkit, and so is
/// null, which the devkit cannot read. Throws DataError that names `source` and the field for anything that is malformed,
/// lacking, of the wrong type, not finite or there twice: what the devkit refuses, and infinite numbers, with which its figures
/// mean nothing.
inline Submission read_submission(std::istream& in, const std::string& source,
                                  const std::vector<EvaluatedClass>& classes = nuscenes_classes()) {
  return detail::SubmissionReader(source, classes).read(in);
}

/// A submission's `meta`.
inline nlohmann::ordered_json meta_json(const Submission& submission) {
  return {{"use_camera", submission.use_camera},
          {"use_lidar", submission.use_lidar},
          {"use_radar", submission.use_radar},
          {"use_map", submission.use_map},
          {"use_external", submission.use_external}};
}

/// Writes a nuScenes detection submission, one sample a line. An unknown velocity is the NaN that Python's json writes and reads,
/// and JSON does not have: the devkit cannot read null there.
/// @throws std::invalid_argument for other numbers that are not finite, and an infinite velocity
inline void write_submission(std::ostream& out, const Submission& submission,
                             const std::vector<EvaluatedClass>& classes = nuscenes_classes()) {
  using OrderedJson = nlohmann::ordered_json;
  out << "{\"meta\": " << meta_json(submission).dump() << ",\n\"results\": {";
  const char* separator = "\n";
  for (const auto& [token, boxes] : submission.results) {
    out << separator << OrderedJson(token).dump() << ": [";
    separator = ",\n";
    const char* between = "";
    for (const DetectionBox& box : boxes) {
      const auto finite = [](double value) { return std::isfinite(value); };
      const auto known = [](double value) { return !std::isinf(value); };
      if (!std::all_of(box.translation.begin(), box.translation.end(), finite) ||
          !std::all_of(box.size.begin(), box.size.end(), finite) ||
          !std::all_of(box.rotation.begin(), box.rotation.end(), finite) ||
          !std::all_of(box.velocity.begin(), box.velocity.end(), known) || !finite(box.score)) {
        throw std::invalid_argument("submission: sample " + token + " has a box with a number that is not finite");
      }
      const OrderedJson before = {
          {"sample_token", token}, {"translation", box.translation}, {"size", box.size}, {"rotation", box.rotation}};
      const OrderedJson last = {{"detection_name", classes.at(index_of(box.detection_class)).name},
                                {"detection_score", box.score},
                                {"attribute_name", std::string(name_of(box.attribute))}};
      const auto number = [](double value) { return std::isnan(value) ? "NaN" : OrderedJson(value).dump(); };
      std::string text = before.dump();
      text.back() = ',';
      text += "\"velocity\":[" + number(box.velocity[0]) + "," + number(box.velocity[1]) + "]," + last.dump().substr(1);
      out << between << text;
      between = ",";
    }
    out << ']';
  }
  out << "\n}}\n";
}

/// Gives every sample its predictions, and the samples the submission's order, which is the one that decides between equal
/// scores. Throws std::invalid_argument, with the token, unless both have the same samples.
inline std::vector<EvaluationSample> join(std::vector<EvaluationSample> samples, const Submission& submission) {
  std::map<std::string, std::size_t> positions;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (!positions.emplace(samples[i].token, i).second) {
      throw std::invalid_argument("evaluation: sample " + samples[i].token + " is there twice");
    }
  }
  std::vector<EvaluationSample> out;
  for (const auto& [token, boxes] : submission.results) {
    const auto found = positions.find(token);
    if (found == positions.end()) {
      throw std::invalid_argument("submission: sample " + token + " is not among those to evaluate");
    }
    out.push_back(std::move(samples[found->second]));
    out.back().predictions = boxes;
    positions.erase(found);
  }
  if (!positions.empty()) {
    throw std::invalid_argument("submission: sample " + positions.begin()->first + " is missing");
  }
  return out;
}

}  // namespace bevfusion

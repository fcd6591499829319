// SPDX-License-Identifier: Apache-2.0
// Submissions that are cut short, malformed or hostile end in an error that names file and field; never in anything else.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>

#include <nlohmann/json.hpp>

#include "bevfusion/metrics/submission.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::Submission;
using nlohmann::json;

json good() {
  const json box = {{"sample_token", "s1"},     {"translation", {1.5, 2, -3}},       {"size", {1, 2, 3}},
                    {"rotation", {1, 0, 0, 0}}, {"velocity", {nullptr, 0.5}},        {"detection_name", "bus"},
                    {"detection_score", 0.25},  {"attribute_name", "vehicle.parked"}};
  json other = box;
  other["sample_token"] = "s0";
  return {
      {"meta", {{"use_camera", true}, {"use_lidar", false}, {"use_radar", false}, {"use_map", false}, {"use_external", true}}},
      {"results", {{"s1", {box, box}}, {"s0", {other}}, {"empty", json::array()}}}};
}

Submission read(const std::string& text) {
  std::istringstream in(text);
  return bevfusion::read_submission(in, "boxes.json");
}

/// The message with which the text is refused; empty if it is read.
std::string refusal(const std::string& text) {
  try {
    read(text);
  } catch (const bevfusion::DataError& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a submission is read in the file's order", "[bevfusion][submission]") {
  // Keys in an order that is not the alphabet's, results before meta.
  json whole = good();
  const std::string text = "{\"results\": {\"s1\": " + whole["results"]["s1"].dump() +
                           ", \"empty\": [], \"s0\": " + whole["results"]["s0"].dump() + "}, \"meta\": " + whole["meta"].dump() +
                           "}";
  const Submission submission = read(text);
  CHECK(submission.use_camera);
  CHECK_FALSE(submission.use_lidar);
  CHECK(submission.use_external);
  REQUIRE(submission.results.size() == 3);
  CHECK(submission.results[0].first == "s1");
  CHECK(submission.results[1].first == "empty");
  CHECK(submission.results[2].first == "s0");
  CHECK(submission.results[0].second.size() == 2);
  CHECK(submission.results[1].second.empty());
  REQUIRE(submission.results[2].second.size() == 1);
  const bevfusion::DetectionBox& box = submission.results[2].second[0];
  CHECK(box.translation == std::array<double, 3>{1.5, 2, -3});
  CHECK(box.size == std::array<double, 3>{1, 2, 3});
  CHECK(std::isnan(box.velocity[0]));
  CHECK(box.velocity[1] == 0.5);
  CHECK(box.detection_class == bevfusion::DetectionClass::bus);
  CHECK(box.attribute == bevfusion::Attribute::vehicle_parked);
  CHECK(box.score == 0.25);
  CHECK(box.point_count == -1);
}

TEST_CASE("every wrong field of a submission is named", "[bevfusion][submission]") {
  const auto expect = [](const json& file, const std::string& field) {
    const std::string message = refusal(file.dump());
    INFO(field << " in " << message);
    CHECK(message.find("boxes.json: ") == 0);
    CHECK(message.find(field) != std::string::npos);
  };
  for (const char* key :
       {"sample_token", "translation", "size", "rotation", "velocity", "detection_name", "detection_score", "attribute_name"}) {
    json file = good();
    file["results"]["s1"][1].erase(key);
    expect(file, std::string("results/s1/1/") + key);
    for (const json& wrong : {json(7), json("seven"), json::array({1, 2}), json::array({1, 2, 3, 4, 5}), json(nullptr),
                              json::array({"a", "b", "c"}), json::object()}) {
      const bool fits = (std::string(key) == "detection_score" && wrong.is_number()) ||
                        (std::string(key) == "velocity" && wrong == json::array({1, 2}));
      if (!fits) {
        file["results"]["s1"][1][key] = wrong;
        expect(file, std::string("results/s1/1/") + key);
      }
    }
  }
  json file = good();
  file["results"]["s1"][0]["translation"][2] = nullptr;
  expect(file, "results/s1/0/translation");
  for (const char* key : {"use_camera", "use_lidar", "use_radar", "use_map", "use_external"}) {
    file = good();
    file["meta"].erase(key);
    expect(file, std::string("meta/") + key);
  }
  file = good();
  file.erase("meta");
  expect(file, "meta");
  file = good();
  file.erase("results");
  expect(file, "results");
  for (const json& wrong : {json(1), json::array(), json::array({json::array({good()["results"]["s1"][0]})})}) {
    file = good();
    file["results"] = wrong;
    expect(file, "results");
  }
  for (const json& wrong :
       {json(1), json(nullptr), json::array({1}), json::array({json::array()}), json{{"x", good()["results"]["s1"][0]}}}) {
    file = good();
    file["results"]["s1"] = wrong;
    expect(file, "results/s1");
  }
  CHECK(refusal("").find("boxes.json: ") == 0);
  CHECK(refusal("[]").find("results") != std::string::npos);
  CHECK(refusal(R"({"results": {"a": [], "a": []}, "meta": {}})").find("results/a stands twice") != std::string::npos);
  CHECK(refusal(R"({"results": {}, "results": {}, "meta": {}})").find("results stands twice") != std::string::npos);
  CHECK_FALSE(refusal(std::string(100000, '[')).empty());
  CHECK_FALSE(refusal("{\"results\": " + std::string(100000, '[')).empty());
}

TEST_CASE("submissions with NaN, null and so on are taken as the devkit takes them", "[bevfusion][submission][reference]") {
  std::ifstream stored(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/nuscenes_submission.json");
  const json cases = json::parse(stored);
  REQUIRE(cases.size() == 22);
  for (const json& one : cases) {
    const std::string name = one.at("name").get<std::string>();
    const std::string text = one.at("text").get<std::string>();
    INFO(name << ": " << refusal(text));
    if (name == "velocity [null, null]") {
      CHECK_FALSE(one.at("accepted").get<bool>());
      CHECK(std::isnan(read(text).results[0].second[0].velocity[0]));  // what JSON has for NaN: read here, never written
      continue;
    }
    REQUIRE(refusal(text).empty() == one.at("accepted").get<bool>());
    if (!one.at("accepted").get<bool>()) {
      continue;
    }
    const auto boxes = read(text).results.at(0).second;
    REQUIRE(boxes.size() == one.at("velocity_errors").size());
    for (std::size_t i = 0; i < boxes.size(); ++i) {
      const json& error = one.at("velocity_errors")[i];
      const double here = std::hypot(boxes[i].velocity[0], boxes[i].velocity[1]);
      CHECK(std::isnan(here) == error.is_null());
      CHECK((error.is_null() || here == Approx(error.get<double>())));
    }
    if (name == "as it is written") {
      std::ostringstream written;
      bevfusion::write_submission(written, read(text));
      CHECK(written.str() == text);
    }
  }
}

TEST_CASE("infinite numbers are refused, within texts they are letters", "[bevfusion][submission]") {
  std::string text = good().dump();
  const auto with = [&text](const std::string& number) {
    std::string changed = text;
    return changed.replace(changed.find("1.5"), 3, number);
  };
  for (const char* number : {"Infinity", "-Infinity", "1e999", "NaN", "-NaN", "Nan", "Inf", "nan"}) {
    INFO(number);
    CHECK(refusal(with(number)).find("boxes.json: ") == 0);
  }
  CHECK(refusal(with("Infinity")).find("results/s0/0/translation") != std::string::npos);
  CHECK(refusal(with("2.5")).empty());
  json named = good();
  named["results"]["a \"NaN, Infinity\\"] = json::array();
  const Submission submission = read(named.dump());
  CHECK(std::any_of(submission.results.begin(), submission.results.end(),
                    [](const auto& sample) { return sample.first == "a \"NaN, Infinity\\"; }));
}

TEST_CASE("a box that no reader could read is not written", "[bevfusion][submission]") {
  Submission submission = read(good().dump());
  std::ostringstream out;
  submission.results[0].second.resize(1);
  submission.results[0].second[0].velocity[1] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(bevfusion::write_submission(out, submission), std::invalid_argument);
  submission.results[0].second[0].velocity = {0, 0};
  submission.results[0].second[0].score = std::nan("");
  CHECK_THROWS_AS(bevfusion::write_submission(out, submission), std::invalid_argument);
}

TEST_CASE("a submission cut short anywhere is refused", "[bevfusion][submission]") {
  const std::string text = good().dump();
  CHECK(refusal(text).empty());
  for (std::size_t length = 0; length < text.size(); ++length) {
    CHECK_FALSE(refusal(text.substr(0, length)).empty());
  }
}

TEST_CASE("damaged bytes of a submission end in an error or in a submission", "[bevfusion][submission]") {
  const std::string text = good().dump();
  std::mt19937 random(1);
  std::size_t refused = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = text;
    for (std::uint32_t hits = 1 + random() % 4; hits > 0; --hits) {
      const std::size_t at = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[at] = static_cast<char>(random() % 256);
          break;
        case 1:
          damaged.erase(at, 1 + random() % 8);
          break;
        default:
          damaged.insert(at, text.substr(random() % text.size(), 1 + random() % 16));
      }
    }
    refused += refusal(damaged).empty() ? 0 : 1;
  }
  CHECK(refused > 2000);
  CHECK(refused < 3000);
}

TEST_CASE("joining a submission finds lacking and unknown samples", "[bevfusion][submission]") {
  const Submission submission = read(good().dump());
  const auto sample = [](const char* token) {
    bevfusion::EvaluationSample out;
    out.token = token;
    return out;
  };
  const auto joined = bevfusion::join({sample("empty"), sample("s0"), sample("s1")}, submission);
  REQUIRE(joined.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(joined[i].token == submission.results[i].first);
    CHECK(joined[i].predictions.size() == submission.results[i].second.size());
  }
  CHECK_THROWS_WITH(bevfusion::join({sample("empty"), sample("s0")}, submission),
                    "submission: sample s1 is not among those to evaluate");
  CHECK_THROWS_WITH(bevfusion::join({sample("empty"), sample("s0"), sample("s1"), sample("s2")}, submission),
                    "submission: sample s2 is missing");
  CHECK_THROWS_WITH(bevfusion::join({sample("s0"), sample("s0")}, submission), "evaluation: sample s0 is there twice");
}

// SPDX-License-Identifier: Apache-2.0
// CenterPoint's head: its parameters by hand, its groups, boxes through it and back, what it learns.
#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/heads/centerpoint.hpp"
#include "bevfusion/losses/detection_codes.hpp"
#include "bevfusion/model/model_config.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

const std::vector<std::string> nuscenes(detection_class_names.begin(), detection_class_names.end());

std::int64_t parameters_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) {
    count += parameter.numel();
  }
  return count;
}

std::vector<DetectionClass> all_labels() { return {detection_classes.begin(), detection_classes.end()}; }

double between(std::mt19937& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

TEST_CASE("CenterPoint's head has the parameters counted by hand", "[bevfusion][model]") {
  // 3 x 3 from 512 to 64 channels with its norm; for each of six groups six branches of 3 x 3 from 64 to 64 with a norm; last
  // layers with biases: ten numbers of a box for each group, and the ten classes.
  const std::int64_t shared = 512 * 64 * 9 + 2 * 64;
  const std::int64_t hidden = 6 * 6 * (64 * 64 * 9 + 2 * 64);
  const std::int64_t last = (6 * 10 + 10) * (64 * 9 + 1);
  REQUIRE(shared + hidden + last == 1667142);
  CHECK(parameters_of(*CenterPoint(centerpoint_options(full_model(), 512, nuscenes))) == 1667142);
  ModelConfig narrow = tiny_model();
  const std::int64_t of_tiny = 64 * 32 * 9 + 2 * 32 + 36 * (32 * 32 * 9 + 2 * 32) + 70 * (32 * 9 + 1);
  CHECK(parameters_of(*CenterPoint(centerpoint_options(narrow, 64, nuscenes))) == of_tiny);
  narrow.numbers = "centerpoint.channels=8";
  CHECK(parameters_of(*CenterPoint(centerpoint_options(narrow, 64, nuscenes))) ==
        64 * 8 * 9 + 2 * 8 + 36 * (8 * 32 * 9 + 2 * 32) + 70 * (32 * 9 + 1));
}

TEST_CASE("nuScenes' classes are in six groups, other labels alone", "[bevfusion][model]") {
  using Outputs = std::vector<std::int64_t>;
  const auto outputs = [](const std::vector<CenterPointGroup>& groups) {
    std::vector<Outputs> all;
    for (const CenterPointGroup& group : groups) {
      all.push_back(group.outputs);
    }
    return all;
  };
  const auto radii = [](const std::vector<CenterPointGroup>& groups) {
    std::vector<double> all;
    for (const CenterPointGroup& group : groups) {
      all.push_back(group.min_radius);
    }
    return all;
  };
  // car | truck, construction vehicle | bus, trailer | pedestrian, traffic cone | motorcycle, bicycle | barrier
  const auto all = centerpoint_groups(nuscenes);
  CHECK(outputs(all) == std::vector<Outputs>{{0}, {1, 4}, {2, 3}, {5, 8}, {6, 7}, {9}});
  CHECK(radii(all) == std::vector<double>{4, 12, 10, 0.175, 0.85, 1});
  const auto some = centerpoint_groups({"traffic_cone", "tram", "car", "pedestrian", "signal"});
  CHECK(outputs(some) == std::vector<Outputs>{{0, 3}, {1}, {2}, {4}});
  CHECK(radii(some) == std::vector<double>{0.175, 1, 4, 1});

  ModelConfig config = tiny_model();
  config.numbers = "centerpoint.min_radius.truck=3, centerpoint.min_radius.construction_vehicle=5, centerpoint.min_radius.bus=0";
  CHECK(radii(centerpoint_options(config, 64, nuscenes).groups) == std::vector<double>{4, 5, 0, 0.175, 0.85, 1});
  for (const char* wrong :
       {"centerpoint.min_radius.car=-1", "centerpoint.least_score=1", "centerpoint.overlap=-0.1", "centerpoint.candidates=0.5"}) {
    INFO(wrong);
    config.numbers = wrong;
    CHECK_THROWS_AS(centerpoint_options(config, 64, nuscenes), std::invalid_argument);
  }
}

/// A head whose layers hand on what they are given: the map's channels are, group by group, ten numbers of a box at each cell and
/// the logits of the group's classes, each as its positive and its negative part.
class HandedOn {
 public:
  explicit HandedOn(CenterPointOptions options) : options_(std::move(options)) {
    options_.inputs = options_.channels = options_.branch = first_channel(options_.groups.size());
    head_ = CenterPoint(options_);
    const torch::NoGradGuard no_grad;
    std::map<std::string, torch::Tensor> parameters;
    for (const auto& parameter : head_->named_parameters()) {
      const std::string& name = parameter.key();
      torch::Tensor value = parameters[name] = parameter.value().zero_();
      if (name.find("norm.weight") != std::string::npos) {
        value.fill_(std::sqrt(1 + 1e-5));  // of variance 1
      } else if (name.find("conv.weight") != std::string::npos) {
        value.select(3, 1).select(2, 1).copy_(torch::eye(options_.inputs));
      }
    }
    std::int64_t channel = 0;
    for (std::size_t g = 0; g < options_.groups.size(); ++g) {
      for (const char* part : {"offset", "height", "size", "heading", "velocity", "heat"}) {
        torch::Tensor last = parameters.at("group" + std::to_string(g) + "." + part + ".1.weight");
        for (std::int64_t k = 0; k < last.size(0); ++k, channel += 2) {
          last[k][channel][1][1] = 1;
          last[k][channel + 1][1][1] = -1;
        }
      }
    }
    head_->eval();
    map_ = torch::zeros(
        {1, options_.inputs, static_cast<std::int64_t>(options_.grid.cells_x), static_cast<std::int64_t>(options_.grid.cells_y)});
    for (std::size_t g = 0; g < options_.groups.size(); ++g) {
      for (std::int64_t channel_of = first_channel(g) + 2 * code_size; channel_of < first_channel(g + 1); channel_of += 2) {
        map_.select(1, channel_of + 1).fill_(9);  // nobody is there: logits of -9
      }
    }
  }

  /// Has a cell, which need not be the box's own, say the box and how sure it is.
  void say(const Box3D& box, std::int64_t i, std::int64_t j, double logit) {
    for (std::size_t g = 0; g < options_.groups.size(); ++g) {
      const auto& outputs = options_.groups[g].outputs;
      const auto at = std::find(outputs.begin(), outputs.end(), static_cast<std::int64_t>(box.label));
      if (at == outputs.end()) {
        continue;
      }
      BoxCode code = BoxCoder{options_.grid}.encode(box).code;
      code[0] -= static_cast<double>(i);
      code[1] -= static_cast<double>(j);
      std::int64_t channel = first_channel(g);
      for (const double number : code) {
        set(channel, i, j, number);
        channel += 2;
      }
      set(channel + 2 * (at - outputs.begin()), i, j, logit);
    }
  }
  /// The same by the cell that the box's centre is in.
  void say(const Box3D& box, double logit) {
    say(box, static_cast<std::int64_t>(std::floor(options_.grid.to_cells_x(box.center.x()))),
        static_cast<std::int64_t>(std::floor(options_.grid.to_cells_y(box.center.y()))), logit);
  }

  std::vector<ScoredBox> found() {
    const torch::NoGradGuard no_grad;
    Detections said = head_->forward(map_);
    said.labels = all_labels();
    return scored_boxes(said, 0, BoxCoder{options_.grid}, options_.limits);
  }

 private:
  std::int64_t first_channel(std::size_t group) const {
    std::int64_t channel = 0;
    for (std::size_t g = 0; g < group; ++g) {
      channel += 2 * (code_size + static_cast<std::int64_t>(options_.groups[g].outputs.size()));
    }
    return channel;
  }
  void set(std::int64_t channel, std::int64_t i, std::int64_t j, double value) {
    map_[0][channel][i][j] = static_cast<float>(std::max(value, 0.0));
    map_[0][channel + 1][i][j] = static_cast<float>(std::max(-value, 0.0));
  }

  CenterPointOptions options_;
  CenterPoint head_{nullptr};
  torch::Tensor map_;
};

CenterPointOptions of_small_grid() {
  CenterPointOptions options;
  options.groups = centerpoint_groups(nuscenes);
  options.grid = {-16, -12, 0.8, 40, 30};
  return options;
}

Box3D box_at(double x, double y, DetectionClass label = DetectionClass::car) {
  Box3D box;
  box.center = {x, y, -1};
  box.size = {2, 4, 1.5};
  box.velocity = {1, -2};
  box.label = label;
  return box;
}

/// Boxes of random classes on a grid, no two of them within 3.5 m.
std::vector<Box3D> random_boxes(std::mt19937& random, const BevGrid& grid, std::size_t count) {
  std::vector<Box3D> boxes;
  while (boxes.size() < count) {
    Box3D box = box_at(between(random, grid.x_min, grid.x_max()), between(random, grid.y_min, grid.y_max()));
    box.center.z() = between(random, -2, 1);
    box.size = {between(random, 0.4, 3), between(random, 0.4, 12), between(random, 0.8, 4)};
    box.yaw = between(random, -3.1, 3.1);
    box.velocity = {between(random, -9, 9), between(random, -9, 9)};
    box.label = detection_classes[random() % detection_classes.size()];
    const bool far = std::all_of(boxes.begin(), boxes.end(),
                                 [&box](const Box3D& other) { return (other.center - box.center).head<2>().norm() > 3.5; });
    if (far) {
      boxes.push_back(box);
    }
  }
  return boxes;
}

TEST_CASE("boxes through the head and back", "[bevfusion][evaluation]") {
  std::mt19937 random(11);
  HandedOn head(of_small_grid());
  const std::vector<Box3D> boxes = random_boxes(random, of_small_grid().grid, 25);
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    head.say(boxes[k], 3 - 0.1 * static_cast<double>(k));
  }
  const std::vector<ScoredBox> found = head.found();
  REQUIRE(found.size() == boxes.size());
  for (std::size_t k = 0; k < boxes.size(); ++k) {  // surest first
    INFO(k);
    CHECK(found[k].box.label == boxes[k].label);
    CHECK(found[k].score == Approx(1 / (1 + std::exp(-3 + 0.1 * static_cast<double>(k)))).epsilon(1e-5));
    CHECK((found[k].box.center - boxes[k].center).norm() < 1e-4);
    CHECK((found[k].box.size - boxes[k].size).norm() < 1e-4);
    CHECK(std::abs(found[k].box.yaw - boxes[k].yaw) < 1e-5);
    CHECK((found[k].box.velocity - boxes[k].velocity).norm() < 1e-5);
  }
}

TEST_CASE("an object has one box, whichever cells and classes of its group say it", "[bevfusion][evaluation]") {
  HandedOn head(of_small_grid());
  head.say(box_at(1, 1), 21, 16, 2.5);
  head.say(box_at(1.2, 1), 22, 16, 2);                             // the same car, said by the cell beside it
  head.say(box_at(1, 1, DetectionClass::truck), 21, 16, 1);        // of another group
  head.say(box_at(1.1, 1, DetectionClass::trailer), 21, 16, 0.5);  // two classes of a third
  head.say(box_at(1.1, 1, DetectionClass::bus), 21, 16, 0.7);
  head.say(box_at(3.1, 1), 24, 16, 1.5);  // 2.1 m from the first, beyond its circle
  const std::vector<ScoredBox> found = head.found();
  REQUIRE(found.size() == 4);
  CHECK((found[0].box.label == DetectionClass::car && found[0].box.center.x() == Approx(1).margin(1e-5)));
  CHECK((found[1].box.label == DetectionClass::car && found[1].box.center.x() == Approx(3.1).margin(1e-5)));
  CHECK(found[2].box.label == DetectionClass::truck);
  CHECK(found[3].box.label == DetectionClass::bus);
}

TEST_CASE("what is unsure, beyond the limits, or too much is not predicted", "[bevfusion][evaluation]") {
  const auto logit = [](double p) { return std::log(p / (1 - p)); };
  CenterPointOptions options = of_small_grid();
  options.limits = {15, 15, 3};
  HandedOn head(options);
  head.say(box_at(0, 0), logit(0.101));
  head.say(box_at(8, 0), logit(0.099));
  Box3D far = box_at(15.1, 5);
  head.say(far, 2.5);
  head.say(box_at(14.6, 5), 30, 21, 0.5);  // near a surer box that is none
  Box3D flown = box_at(-8, 0);
  flown.center.z() = 3.1;
  head.say(flown, 2.5);
  const std::vector<ScoredBox> found = head.found();
  REQUIRE(found.size() == 2);
  CHECK(found[0].box.center.x() == Approx(14.6).margin(1e-5));
  CHECK(found[1].box.center.x() == Approx(0).margin(1e-5));

  options = of_small_grid();
  options.most_boxes = 3;
  HandedOn three(options);
  options.most_boxes = 83;
  options.candidates = 2;
  HandedOn two(options);
  options.candidates = 500;
  options.overlap = 0.2;
  HandedOn apart(options);
  for (HandedOn* one : {&three, &two, &apart}) {
    for (int k = 0; k < 5; ++k) {
      one->say(box_at(-12 + 5 * k, 3), 2 - 0.2 * k);
      one->say(box_at(-12 + 5 * k, 3, DetectionClass::barrier), 1 - 0.2 * k);
    }
  }
  CHECK(three.found().size() == 6);
  CHECK(two.found().size() == 4);
  CHECK(apart.found().size() == 10);
  apart.say(box_at(-10, 3), 0.1);  // 2 m on, within the circle of 2 m of the first: a third of both is shared
  CHECK(apart.found().size() == 10);
  apart.say(box_at(-12, 5.1), 0.1);  // beside the first, no part shared, 2.1 m
  CHECK(apart.found().size() == 11);
}

TEST_CASE("one sample is learnt by heart, with peaks at its objects", "[bevfusion][training]") {
  torch::manual_seed(12);
  std::mt19937 random(13);
  ModelConfig config = tiny_model();
  config.bev_range = 12.8;  // 32 x 32 cells
  CenterPoint head(centerpoint_options(config, 16, nuscenes));
  std::vector<Box3D> boxes = random_boxes(random, config.bev_grid(), 10);
  for (std::size_t k = 0; k < boxes.size(); ++k) {
    boxes[k].label = detection_classes[k];  // each class once
  }
  const torch::Tensor features = torch::randn({1, 16, 32, 32});
  const BoxCoder coder{config.bev_grid()};
  torch::optim::Adam optimizer(head->parameters(), torch::optim::AdamOptions(3e-3));
  double first = 0;
  double last = 0;
  for (int step = 0; step < 160; ++step) {
    Detections said = head->forward(features);
    said.labels = all_labels();
    optimizer.zero_grad();
    const DetectionLosses losses = head->loss(said, {boxes}, coder, {});
    losses.total.backward();
    if (step == 0) {
      first = losses.total.item<double>();
      for (const auto& parameter : head->named_parameters()) {
        INFO(parameter.key());
        REQUIRE(parameter.value().grad().defined());
        CHECK(torch::isfinite(parameter.value().grad()).all().item<bool>());
        // An absolute difference pulls a bias by its sign alone, so two objects may cancel.
        CHECK((parameter.value().dim() == 1 || parameter.value().grad().abs().max().item<double>() > 0));
      }
    }
    last = losses.total.item<double>();
    optimizer.step();
  }
  CHECK(last < 0.1 * first);
  head->eval();
  const torch::NoGradGuard no_grad;
  Detections said = head->forward(features);
  said.labels = all_labels();
  const std::vector<ScoredBox> found = scored_boxes(said, 0, coder, config.centre_limits);
  CHECK(found.size() >= boxes.size());
  for (const Box3D& box : boxes) {
    const auto i = static_cast<std::int64_t>(coder.grid.to_cells_x(box.center.x()));
    const auto j = static_cast<std::int64_t>(coder.grid.to_cells_y(box.center.y()));
    const torch::Tensor map = said.heat_map[0][static_cast<std::int64_t>(box.label)];
    CHECK(map.argmax().item<std::int64_t>() == i * 32 + j);
    const auto nearest = std::find_if(found.begin(), found.end(), [&box](const ScoredBox& one) {
      return one.box.label == box.label && (one.box.center - box.center).norm() < 0.4;
    });
    REQUIRE(nearest != found.end());
    CHECK(nearest->score > 0.5);
    CHECK((nearest->box.size - box.size).cwiseAbs().maxCoeff() < 0.2 * box.size.maxCoeff());
  }
}

}  // namespace

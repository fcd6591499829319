// SPDX-License-Identifier: Apache-2.0
// The loss at the centres of objects against one in plain doubles, and which of several boxes stay.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/losses/centre_loss.hpp"
#include "bevfusion/matching/keep_surest.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

constexpr std::int64_t loss_rows = 12;
constexpr std::int64_t loss_columns = 9;
const BoxCoder loss_coder{BevGrid{-3, -2, 0.5, loss_rows, loss_columns}};
const std::vector<DetectionClass> loss_labels = {DetectionClass::truck, DetectionClass::car, DetectionClass::bus,
                                                 DetectionClass::trailer};
const OutputGroups loss_groups = {{1}, {0, 3}, {2}};

double uniform(std::mt19937& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

Box3D random_box(std::mt19937& random) {
  Box3D box;
  box.center = {uniform(random, -3, 3), uniform(random, -2, 2.5), uniform(random, -2, 1)};
  box.size = {uniform(random, 0.3, 2), uniform(random, 0.3, 6), uniform(random, 0.3, 3)};
  box.yaw = uniform(random, -3, 3);
  box.velocity = {uniform(random, -5, 5), uniform(random, -5, 5)};
  box.label = loss_labels[random() % loss_labels.size()];
  return box;
}

Detections random_answer(std::int64_t batch) {
  const std::int64_t queries = static_cast<std::int64_t>(loss_groups.size()) * loss_rows * loss_columns;
  Detections said;
  said.labels = loss_labels;
  said.heat_map = torch::randn({batch, static_cast<std::int64_t>(loss_labels.size()), loss_rows, loss_columns}) - 1;
  said.centre = 10 * torch::rand({batch, 2, queries});
  said.height = torch::randn({batch, 1, queries});
  said.size = torch::randn({batch, 3, queries});
  said.heading = torch::randn({batch, 2, queries});
  said.velocity = torch::randn({batch, 2, queries});
  return said;
}

/// CornerNet's radius as its published code has it, written out case by case.
double radius_of(double length, double width) {
  const double o = 0.1;
  const double s = length + width;
  const double r1 = (s + std::sqrt(s * s - 4 * width * length * (1 - o) / (1 + o))) / 2;
  const double r2 = (2 * s + std::sqrt(4 * s * s - 16 * (1 - o) * width * length)) / 2;
  const double r3 = (-2 * o * s + std::sqrt(4 * o * o * s * s + 16 * o * (1 - o) * width * length)) / 2;
  return std::min(r1, std::min(r2, r3));
}

struct Expected {
  double heat_map = 0;
  double box = 0;
  double velocity = 0;
};

/// The whole loss in doubles, group by group, object by object.
Expected plain_loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth) {
  Expected sum;
  for (std::size_t g = 0; g < loss_groups.size(); ++g) {
    double objects = 0;
    double box_sum = 0;
    double velocity_sum = 0;
    double heat_sum = 0;
    double ones = 0;
    for (std::size_t b = 0; b < truth.size(); ++b) {
      const auto sample = static_cast<std::int64_t>(b);
      std::vector<std::vector<double>> map(loss_labels.size(), std::vector<double>(loss_rows * loss_columns, 0));
      for (const Box3D& one : truth[b]) {
        const double x = (one.center.x() + 3) / 0.5;
        const double y = (one.center.y() + 2) / 0.5;
        const auto i = static_cast<std::int64_t>(std::floor(x));
        const auto j = static_cast<std::int64_t>(std::floor(y));
        const auto output = std::find(loss_labels.begin(), loss_labels.end(), one.label) - loss_labels.begin();
        if (i < 0 || i >= loss_rows || j < 0 || j >= loss_columns ||
            std::count(loss_groups[g].begin(), loss_groups[g].end(), output) == 0) {
          continue;
        }
        const double radius = std::max(2.0, std::floor(radius_of(one.length() / 0.5, one.width() / 0.5)));
        const double sigma = (2 * radius + 1) / 6;
        for (std::int64_t a = 0; a < loss_rows; ++a) {
          for (std::int64_t c = 0; c < loss_columns; ++c) {
            const double da = static_cast<double>(a - i);
            const double dc = static_cast<double>(c - j);
            if (std::abs(da) <= radius && std::abs(dc) <= radius) {
              double& cell = map[static_cast<std::size_t>(output)][static_cast<std::size_t>(a * loss_columns + c)];
              cell = std::max(cell, std::exp(-(da * da + dc * dc) / (2 * sigma * sigma)));
            }
          }
        }
        objects += 1;
        const std::int64_t query = static_cast<std::int64_t>(g) * loss_rows * loss_columns + i * loss_columns + j;
        const auto at = [&](const torch::Tensor& of, std::int64_t k) {
          return static_cast<double>(of[sample][k][query].item<float>());
        };
        box_sum += std::abs(at(said.centre, 0) - x) + std::abs(at(said.centre, 1) - y) +
                   std::abs(at(said.height, 0) - one.center.z()) + std::abs(at(said.size, 0) - std::log(one.width())) +
                   std::abs(at(said.size, 1) - std::log(one.length())) + std::abs(at(said.size, 2) - std::log(one.height())) +
                   std::abs(at(said.heading, 0) - std::sin(one.yaw)) + std::abs(at(said.heading, 1) - std::cos(one.yaw));
        if (one.velocity_known()) {
          velocity_sum +=
              0.2 * (std::abs(at(said.velocity, 0) - one.velocity.x()) + std::abs(at(said.velocity, 1) - one.velocity.y()));
        }
      }
      for (const std::int64_t output : loss_groups[g]) {
        for (std::int64_t a = 0; a < loss_rows; ++a) {
          for (std::int64_t c = 0; c < loss_columns; ++c) {
            const double logit = said.heat_map[sample][output][a][c].item<float>();
            const double p = std::min(std::max(1 / (1 + std::exp(-logit)), 1e-4), 1 - 1e-4);
            const double y = map[static_cast<std::size_t>(output)][static_cast<std::size_t>(a * loss_columns + c)];
            ones += y == 1 ? 1 : 0;
            heat_sum -= y == 1 ? std::pow(1 - p, 2) * std::log(p) : std::pow(1 - y, 4) * p * p * std::log(1 - p);
          }
        }
      }
    }
    sum.heat_map += heat_sum / std::max(ones, 1.0);
    sum.box += 0.25 * box_sum / std::max(objects, 1.0);
    sum.velocity += 0.25 * velocity_sum / std::max(objects, 1.0);
  }
  return sum;
}

DetectionLosses loss_of(const Detections& said, const std::vector<std::vector<Box3D>>& truth, std::size_t most = 500) {
  return centre_loss(said, truth, loss_coder, {}, loss_groups, most);
}

TEST_CASE("the loss at centres is the sum over objects and cells in doubles", "[bevfusion][losses]") {
  torch::manual_seed(1);
  std::mt19937 random(2);
  for (int trial = 0; trial < 3; ++trial) {
    std::vector<std::vector<Box3D>> truth(3);
    for (int k = 0; k < 9; ++k) {
      truth[0].push_back(random_box(random));
      truth[2].push_back(random_box(random));
    }
    truth[0].push_back(truth[0].front());  // two of one label in one cell, of which one is unlike the other
    truth[0].back().size *= 1.7;
    truth[0][2].velocity.setConstant(std::numeric_limits<double>::quiet_NaN());
    truth[2].push_back(random_box(random));
    truth[2].back().center.x() = 3.01;  // off the grid
    truth[2].push_back(random_box(random));
    truth[2].back().label = DetectionClass::pedestrian;  // has no output
    const Detections said = random_answer(3);
    const DetectionLosses found = loss_of(said, truth);
    const Expected expected = plain_loss(said, truth);
    CHECK(found.heat_map.item<double>() == Approx(expected.heat_map).epsilon(1e-5));
    CHECK(found.box.item<double>() == Approx(expected.box).epsilon(1e-5));
    CHECK(found.velocity.item<double>() == Approx(expected.velocity).epsilon(1e-5));
    CHECK(found.classification.item<double>() == 0);
    CHECK(found.total.item<double>() == Approx(expected.heat_map + expected.box + expected.velocity).epsilon(1e-5));
  }
}

TEST_CASE("annotations of a group beyond the most are left out, those of others are not", "[bevfusion][losses]") {
  torch::manual_seed(3);
  std::mt19937 random(4);
  std::vector<Box3D> all;
  for (int k = 0; k < 6; ++k) {
    all.push_back(random_box(random));
    all.back().label = k < 4 ? loss_labels[k % 2 == 0 ? 0 : 3] : DetectionClass::car;  // four of a group, two of another
  }
  const Detections said = random_answer(1);
  const std::vector<Box3D> counted = {all[0], all[1], all[4], all[5]};
  const DetectionLosses found = loss_of(said, {all}, 2);
  const Expected expected = plain_loss(said, {counted});
  CHECK(found.heat_map.item<double>() == Approx(expected.heat_map).epsilon(1e-5));
  CHECK(found.box.item<double>() == Approx(expected.box).epsilon(1e-5));
}

TEST_CASE("without an object boxes have no loss, and without a sample nothing has", "[bevfusion][losses]") {
  torch::manual_seed(5);
  Detections said = random_answer(2);
  for (torch::Tensor* part : {&said.heat_map, &said.centre, &said.velocity}) {
    part->requires_grad_();
  }
  const DetectionLosses none = loss_of(said, {{}, {}});
  CHECK(none.box.item<double>() == 0);
  CHECK(none.velocity.item<double>() == 0);
  CHECK(none.heat_map.item<double>() == Approx(plain_loss(said, {{}, {}}).heat_map).epsilon(1e-5));
  none.total.backward();
  CHECK(said.centre.grad().abs().max().item<double>() == 0);
  CHECK(said.velocity.grad().abs().max().item<double>() == 0);
  CHECK(said.heat_map.grad().abs().min().item<double>() > 0);

  Detections empty = random_answer(2);
  empty.heat_map.requires_grad_();
  Detections of_none = empty;
  const torch::Tensor nobody = torch::empty({0}, torch::kLong);
  for (torch::Tensor* part :
       {&of_none.heat_map, &of_none.centre, &of_none.height, &of_none.size, &of_none.heading, &of_none.velocity}) {
    *part = part->index_select(0, nobody);
  }
  const DetectionLosses nothing = loss_of(of_none, {});
  CHECK(nothing.total.item<double>() == 0);
  nothing.total.backward();
  CHECK(empty.heat_map.grad().abs().max().item<double>() == 0);

  Detections short_of = random_answer(1);
  for (torch::Tensor* part : {&short_of.centre, &short_of.height, &short_of.size, &short_of.heading, &short_of.velocity}) {
    *part = part->narrow(2, 0, 100);
  }
  CHECK_THROWS_WITH(loss_of(short_of, {{}}),
                    "the loss at centres is given 100 boxes a sample, and 3 groups on a grid of 108 "
                    "cells have one at each");
}

/// CenterPoint's circle_nms as published: each box that is still there drops all after it that are near.
std::vector<std::size_t> published_circle(const std::vector<Box3D>& boxes, double squared, std::size_t most) {
  std::vector<bool> dropped(boxes.size(), false);
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    if (dropped[i]) {
      continue;
    }
    kept.push_back(i);
    for (std::size_t j = i + 1; j < boxes.size(); ++j) {
      const double dx = boxes[i].center.x() - boxes[j].center.x();
      const double dy = boxes[i].center.y() - boxes[j].center.y();
      dropped[j] = dropped[j] || dx * dx + dy * dy <= squared;
    }
  }
  kept.resize(std::min(kept.size(), most));
  return kept;
}

TEST_CASE("of boxes within a circle the surest stays", "[bevfusion][losses]") {
  std::mt19937 random(6);
  std::size_t fewest = 1000;
  for (const double squared : {0.175, 0.85, 4.0, 12.0}) {
    std::vector<Box3D> boxes;
    for (int k = 0; k < 200; ++k) {
      boxes.push_back(random_box(random));
      boxes.back().center *= 4;
    }
    const auto kept = keep_surest(boxes, 1000, CentresWithin{squared});
    CHECK(kept == published_circle(boxes, squared, 1000));
    CHECK(keep_surest(boxes, 5, CentresWithin{squared}) == published_circle(boxes, squared, 5));
    CHECK(kept.size() < 200);
    fewest = std::min(fewest, kept.size());
  }
  CHECK(fewest > 5);
  Box3D at;
  at.center = {0, 0, 0};
  Box3D beside = at;
  beside.center = {2, 0, 50};  // height does not count, and the circle's rim belongs to it
  CHECK(keep_surest({at, beside}, 9, CentresWithin{4}) == std::vector<std::size_t>{0});
  CHECK(keep_surest({at, beside}, 9, CentresWithin{3.99}) == std::vector<std::size_t>{0, 1});
  CHECK(keep_surest({}, 9, CentresWithin{4}).empty());
}

TEST_CASE("of boxes whose footprints overlap the surest stays", "[bevfusion][losses]") {
  Box3D at;
  at.size = {2, 4, 1};  // 4 m along x
  Box3D half = at;
  half.center.x() = 2;  // a half is shared, of one and a half: 1/3
  CHECK(keep_surest({at, half}, 9, FootprintsOverlap{0.34}) == std::vector<std::size_t>{0, 1});
  CHECK(keep_surest({at, half}, 9, FootprintsOverlap{0.33}) == std::vector<std::size_t>{0});
  Box3D across = at;
  across.yaw = std::acos(-1.0) / 2;  // 4 m^2 of 12 are shared, as well 1/3
  CHECK(keep_surest({at, across}, 9, FootprintsOverlap{0.34}) == std::vector<std::size_t>{0, 1});
  CHECK(keep_surest({at, across}, 9, FootprintsOverlap{0.33}) == std::vector<std::size_t>{0});
}

}  // namespace

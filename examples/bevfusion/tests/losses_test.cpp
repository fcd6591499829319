// SPDX-License-Identifier: Apache-2.0
// The losses by hand.
#include <cmath>
#include <limits>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/losses/focal_loss.hpp"
#include "bevfusion/losses/segmentation_loss.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

const double ln2 = std::log(2.0);

TEST_CASE("focal losses by hand", "[bevfusion][losses]") {
  // p = 1/2 and 3/4: -alpha_t (1 - p_t)^2 ln p_t.
  const torch::Tensor logits = torch::tensor({0.0, 0.0, std::log(3.0), std::log(3.0)}, torch::kDouble);
  const torch::Tensor target = torch::tensor({1.0, 0.0, 1.0, 0.0}, torch::kDouble);
  const torch::Tensor loss = focal_loss(logits, target);
  CHECK(loss[0].item<double>() == Approx(0.25 * 0.25 * ln2));
  CHECK(loss[1].item<double>() == Approx(0.75 * 0.25 * ln2));
  CHECK(loss[2].item<double>() == Approx(0.25 * 0.0625 * std::log(4.0 / 3)));
  CHECK(loss[3].item<double>() == Approx(0.75 * 0.5625 * std::log(4.0)));
  const torch::Tensor unbalanced = focal_loss(logits, target, {-1, 2});
  CHECK(unbalanced[0].item<double>() == Approx(0.25 * ln2));
  CHECK(unbalanced[3].item<double>() == Approx(0.5625 * std::log(4.0)));
}

TEST_CASE("the heat map's loss by hand", "[bevfusion][losses]") {
  // p = 1/2 everywhere: ln 2 / 4 at the centre, (1 - y)^4 ln 2 / 4 elsewhere, over one centre.
  const torch::Tensor target = torch::tensor({1.0, 0.5, 0.0, 0.0}, torch::kDouble);
  const torch::Tensor half = torch::zeros({4}, torch::kDouble);
  CHECK(heat_map_loss(half, target).item<double>() == Approx(ln2 * (1.0 + 1.0 / 16 + 2) / 4));
  CHECK(heat_map_loss(half, 0 * target).item<double>() == Approx(ln2));  // no centre: over 1
  const torch::Tensor two = torch::tensor({1.0, 1.0, 0.0, 0.0}, torch::kDouble);
  CHECK(heat_map_loss(half, two).item<double>() == Approx(ln2 / 2));
  // A miss costs no more than p = 1e-4 does.
  const torch::Tensor missed = torch::tensor({-100.0}, torch::kDouble);
  CHECK(heat_map_loss(missed, torch::ones({1}, torch::kDouble)).item<double>() == Approx(std::pow(1 - 1e-4, 2) * std::log(1e4)));
}

TEST_CASE("the masks' loss is that of labelled layers", "[bevfusion][losses]") {
  torch::Tensor logits = torch::zeros({2, 2, 3, 3});
  logits[0][1].fill_(50);  // not labelled: may be as wrong as it likes
  logits[1][1].fill_(static_cast<float>(std::log(3.0)));
  logits.requires_grad_();
  torch::Tensor masks = torch::zeros({2, 2, 3, 3});
  masks[1][0].fill_(1);
  const torch::Tensor labelled = torch::tensor({1, 0, 1, 1}, torch::kLong).view({2, 2});
  const double a = 0.75 * 0.25 * ln2;
  const double b = 0.25 * 0.25 * ln2;
  const double c = 0.75 * 0.5625 * std::log(4.0);
  const torch::Tensor mean = segmentation_loss(logits, masks, labelled);
  CHECK(mean.item<double>() == Approx((a + b + c) / 3).epsilon(1e-5));
  CHECK(segmentation_loss(logits, masks, labelled, {}, MaskReduction::sum_of_class_means).item<double>() ==
        Approx((a + b) / 2 + c).epsilon(1e-5));
  mean.backward();
  CHECK(logits.grad()[0][1].abs().max().item<double>() == 0);
  CHECK(logits.grad()[1][1].abs().min().item<double>() > 0);
  CHECK_FALSE(segmentation_loss(logits, masks, torch::zeros({2, 2})).defined());
}

/// Two queries on a map of 4 x 4 cells of 1 m: the first near the box of box_there(), the second far off.
Detections two_queries() {
  Detections said;
  said.labels = {DetectionClass::car, DetectionClass::pedestrian};
  said.heat_map = torch::zeros({1, 2, 4, 4});
  said.class_logits = torch::zeros({1, 2, 2});
  said.centre = torch::tensor({3.0F, 0.5F, 2.5F, 0.5F}).view({1, 2, 2});
  said.height = torch::tensor({2.0F, -1.0F}).view({1, 1, 2});
  said.size = torch::zeros({1, 3, 2});
  said.heading = torch::tensor({0.0F, 0.0F, 1.0F, 1.0F}).view({1, 2, 2});
  said.velocity = torch::tensor({3.5F, 0.0F, -1.5F, 0.0F}).view({1, 2, 2});
  return said;
}

Box3D box_there() {
  Box3D box;
  box.center = {0.5, 0.5, -1};  // cell (2.5, 2.5)
  box.size = {1, 1, 1};
  box.velocity = {3, -1};
  return box;
}

const BoxCoder coder{BevGrid{-2, -2, 1, 4, 4}};

TEST_CASE("the detection loss by hand", "[bevfusion][losses]") {
  const DetectionLosses found = detection_loss(two_queries(), {{box_there()}}, coder);
  // The first query is matched: off by 0.5 cells, 3 m and twice 0.5 m/s, of weight 0.2; smooth L1 0.125, 2.5, 0.125, 0.125.
  CHECK(found.box.item<double>() == Approx(0.25 * (0.125 + 2.5)).epsilon(1e-5));
  CHECK(found.velocity.item<double>() == Approx(0.25 * 0.2 * (0.125 + 0.125)).epsilon(1e-5));
  // One class of four is right, at p = 1/2 each.
  CHECK(found.classification.item<double>() == Approx(ln2 * (0.25 + 3 * 0.75) / 4).epsilon(1e-5));
  // CornerNet's radius for 1 x 1 cells is below the least, 2: sigma = 5/6, and all of the map lies within the Gaussian's square.
  double heat = 16;
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) {
      const double y = std::exp(-((i - 2) * (i - 2) + (j - 2) * (j - 2)) / (2 * 25.0 / 36));
      heat += i == 2 && j == 2 ? 1 : std::pow(1 - y, 4);
    }
  }
  CHECK(found.heat_map.item<double>() == Approx(heat * ln2 / 4).epsilon(1e-5));
  CHECK(found.total.item<double>() ==
        Approx((found.box + found.velocity + found.classification + found.heat_map).item<double>()).epsilon(1e-6));

  Box3D elsewhere = box_there();
  elsewhere.center.x() = 5;  // off the map
  Box3D other = box_there();
  other.label = DetectionClass::bus;  // has no output
  CHECK(detection_loss(two_queries(), {{elsewhere, box_there(), other}}, coder).total.item<double>() ==
        found.total.item<double>());
}

TEST_CASE("an unknown velocity counts nothing, and without boxes nothing is matched", "[bevfusion][losses]") {
  Detections said = two_queries();
  said.velocity.requires_grad_();
  said.centre.requires_grad_();
  Box3D box = box_there();
  box.velocity.setConstant(std::numeric_limits<double>::quiet_NaN());
  const DetectionLosses found = detection_loss(said, {{box}}, coder);
  CHECK(found.velocity.item<double>() == 0);
  found.total.backward();
  CHECK(said.velocity.grad().abs().max().item<double>() == 0);
  CHECK(said.centre.grad().abs().max().item<double>() > 0);
  const DetectionLosses empty = detection_loss(two_queries(), {{}}, coder);
  CHECK(empty.box.item<double>() == 0);
  CHECK(empty.classification.item<double>() == Approx(ln2 * 4 * 0.75 / 4).epsilon(1e-5));  // over 1
}

TEST_CASE("a query that is no number is matched last, and shows in the loss", "[bevfusion][losses]") {
  Detections said = two_queries();
  said.class_logits[0][0][1] = std::numeric_limits<float>::quiet_NaN();
  const Matches matches = match(said, 0, {box_there()}, coder, {});
  CHECK(matches.queries == std::vector<std::int64_t>{0});
  CHECK(std::isnan(detection_loss(said, {{box_there()}}, coder).total.item<double>()));
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// Mean IoU of masks, by hand and against plain counting of every cell at every threshold; epoch summaries by hand.
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <stdexcept>
#include <vector>

#include "bevfusion/metrics/epoch_series.hpp"
#include "bevfusion/metrics/map_iou.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::MapIou;

struct Mask {
  std::vector<float> probability;
  std::vector<std::uint8_t> truth;
  std::vector<std::uint8_t> labelled;
};

Mask random_mask(std::mt19937& random, std::size_t cells) {
  Mask mask;
  for (std::size_t i = 0; i < cells; ++i) {
    // Multiples of 0.05 hit the thresholds themselves.
    mask.probability.push_back(0.05F * static_cast<float>(random() % 21));
    mask.truth.push_back(random() % 3 == 0 ? static_cast<std::uint8_t>(1 + random() % 255) : std::uint8_t{0});
    mask.labelled.push_back(random() % 4 == 0 ? 0 : 1);
  }
  return mask;
}

}  // namespace

TEST_CASE("IoU of a mask by hand", "[bevfusion][map_iou]") {
  MapIou metric(2);
  const std::vector<float> p = {0.9F, 0.6F, 0.5F, 0.4F, 0.1F};
  const std::vector<std::uint8_t> truth = {1, 1, 0, 1, 0};
  metric.add(0, 5, p.data(), truth.data());
  // 0.35, 0.40: three hits, one false. 0.45, 0.50: two hits, one false, one missed. 0.55, 0.60: two hits, one missed. 0.65: one
  // hit, two missed.
  const std::vector<double> expected = {0.75, 0.75, 0.5, 0.5, 2.0 / 3, 2.0 / 3, 1.0 / 3};
  const bevfusion::ClassIou iou = metric.class_iou(0);
  REQUIRE(iou.at_threshold.size() == 7);
  for (std::size_t t = 0; t < 7; ++t) {
    CHECK(iou.at_threshold[t] == Approx(expected[t]).epsilon(1e-6));
  }
  CHECK(iou.best == iou.at_threshold[0]);
  CHECK(iou.best_threshold == 0.35F);
  CHECK(metric.mean_iou() == iou.best);  // the other class was never labelled

  const bevfusion::ClassIou other = metric.class_iou(1);
  CHECK_FALSE(other.labelled);
  CHECK(std::isnan(other.best));
  const std::vector<std::uint8_t> nowhere(5, 0);
  metric.add(1, 5, p.data(), nowhere.data());  // labelled, and wrong wherever predicted
  CHECK(metric.class_iou(1).labelled);
  CHECK(metric.class_iou(1).best == 0);
  CHECK(metric.mean_iou() == iou.best / 2);
}

TEST_CASE("perfect masks have IoU 1, and nothing to find has IoU 0", "[bevfusion][map_iou]") {
  MapIou metric(1);
  const std::vector<float> p = {1, 0, 1};
  const std::vector<std::uint8_t> truth = {1, 0, 1};
  metric.add(0, 3, p.data(), truth.data());
  CHECK(metric.mean_iou() == Approx(1).epsilon(1e-6));

  MapIou empty(1);
  const std::vector<std::uint8_t> nowhere(3, 0);
  const std::vector<float> low(3, 0.1F);
  empty.add(0, 3, low.data(), nowhere.data());
  CHECK(empty.mean_iou() == 0);
  CHECK(std::isnan(MapIou(3).mean_iou()));
}

TEST_CASE("counts equal those of every cell at every threshold", "[bevfusion][map_iou]") {
  std::mt19937 random(7);
  const std::vector<float> thresholds = {0.2F, 0.25F, 0.3F, 0.35F, 0.5F, 0.65F};
  MapIou whole(3, thresholds);
  MapIou first(3, thresholds);
  MapIou second(3, thresholds);
  std::vector<std::vector<bevfusion::CellCounts>> expected(3, std::vector<bevfusion::CellCounts>(thresholds.size()));
  for (int sample = 0; sample < 12; ++sample) {
    for (std::size_t c = 0; c < 3; ++c) {
      const Mask mask = random_mask(random, 100 + random() % 100);
      const std::uint8_t* labelled = sample % 2 == 0 ? mask.labelled.data() : nullptr;
      for (MapIou* metric : {&whole, sample % 3 == 0 ? &first : &second}) {
        metric->add(c, mask.truth.size(), mask.probability.data(), mask.truth.data(), labelled);
      }
      for (std::size_t t = 0; t < thresholds.size(); ++t) {
        for (std::size_t i = 0; i < mask.truth.size(); ++i) {
          if (labelled != nullptr && labelled[i] == 0) {
            continue;
          }
          const bool predicted = mask.probability[i] >= thresholds[t];
          const bool there = mask.truth[i] != 0;
          expected[c][t].true_positives += predicted && there ? 1 : 0;
          expected[c][t].false_positives += predicted && !there ? 1 : 0;
          expected[c][t].false_negatives += !predicted && there ? 1 : 0;
        }
      }
    }
  }
  first.merge(second);
  for (const MapIou* metric : {&whole, &first}) {
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      double best = 0;
      for (std::size_t t = 0; t < thresholds.size(); ++t) {
        const bevfusion::CellCounts counts = metric->counts(c, t);
        CHECK(counts.true_positives == expected[c][t].true_positives);
        CHECK(counts.false_positives == expected[c][t].false_positives);
        CHECK(counts.false_negatives == expected[c][t].false_negatives);
        best = std::max(best, expected[c][t].iou());
      }
      CHECK(metric->class_iou(c).best == best);
      sum += best;
    }
    CHECK(metric->mean_iou() == Approx(sum / 3).epsilon(1e-14));
  }
}

TEST_CASE("masks that cannot be counted are refused and leave the counts alone", "[bevfusion][map_iou]") {
  MapIou metric(2);
  const std::vector<float> p = {0.9F, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::uint8_t> truth = {1, 1};
  CHECK_THROWS_AS(metric.add(0, 2, p.data(), truth.data()), std::invalid_argument);
  CHECK_FALSE(metric.class_iou(0).labelled);
  CHECK_THROWS_AS(metric.add(2, 1, p.data(), truth.data()), std::invalid_argument);
  const std::vector<std::uint8_t> only_first = {1, 0};
  metric.add(0, 2, p.data(), truth.data(), only_first.data());  // where there is no label, NaN does not matter
  CHECK(metric.counts(0, 0).true_positives == 1);
  CHECK_THROWS_AS(metric.merge(MapIou(3)), std::invalid_argument);
  CHECK_THROWS_AS(metric.merge(MapIou(2, {0.5F})), std::invalid_argument);
  CHECK_THROWS_AS(MapIou(0), std::invalid_argument);
  CHECK_THROWS_AS(MapIou(1, {}), std::invalid_argument);
  CHECK_THROWS_AS(MapIou(1, {0.5F, 0.5F}), std::invalid_argument);
  CHECK_THROWS_AS(MapIou(1, {0.6F, 0.5F}), std::invalid_argument);
}

TEST_CASE("per-step figures are summarised by epoch", "[bevfusion][epoch_series]") {
  bevfusion::EpochSeries series;
  for (const double value : {1.0, 2.0, 100.0}) {
    series.add(2, value);
  }
  series.add(1, 4);
  series.add(1, 8);
  series.add(2, 3);
  series.add(2, std::numeric_limits<double>::infinity());
  series.add(1, std::numeric_limits<double>::quiet_NaN());
  series.add(5, std::numeric_limits<double>::quiet_NaN());
  const auto all = series.all();
  REQUIRE(all.size() == 3);
  CHECK(all[0].epoch == 1);
  CHECK(all[0].steps == 2);
  CHECK(all[0].skipped == 1);
  CHECK(all[0].mean == 6);
  CHECK(all[0].median == 6);
  CHECK(all[1].epoch == 2);
  CHECK(all[1].steps == 4);
  CHECK(all[1].skipped == 1);
  CHECK(all[1].mean == 26.5);
  CHECK(all[1].median == 2.5);
  CHECK(all[1].least == 1);
  CHECK(all[1].most == 100);
  CHECK(all[2].steps == 0);
  CHECK(std::isnan(all[2].mean));
  CHECK(std::isnan(series.figures(3).median));
  CHECK(bevfusion::median({3, 1, 2}) == 2);
  CHECK(bevfusion::median({4, 1, 3, 2}) == 2.5);
  CHECK(bevfusion::median({-1}) == -1);
}

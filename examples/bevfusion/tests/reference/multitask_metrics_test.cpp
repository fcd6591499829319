// SPDX-License-Identifier: Apache-2.0
// Delta_MTL, Lambda_MTL and NDS against the tables of the papers. Metrics and results are as printed there; where a table's own
// arithmetic differs from row to row, the test says which divisor gives the printed figure.
#include <cmath>
#include <stdexcept>
#include <vector>

#include "bevfusion/metrics/detection_summary.hpp"
#include "bevfusion/metrics/multitask_metrics.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::ComparedMetric;
using bevfusion::delta_mtl;
using bevfusion::lambda_mtl;

// FULLER's single-task models: mAP, NDS, mIoU, and mIoU of foreground objects, in percent.
constexpr double map_alone = 62.1;
constexpr double nds_alone = 66.6;
constexpr double miou_alone = 62.3;
constexpr double foreground_alone = 63.8;

std::vector<ComparedMetric> against_single_task(double map, double nds, double miou) {
  return {{map, map_alone}, {nds, nds_alone}, {miou, miou_alone}};
}

/// Whether the value rounds to the figure printed with one decimal.
bool prints_as(double value, double printed) { return std::abs(value - printed) <= 0.05; }

}  // namespace

TEST_CASE("Delta_MTL of all twelve rows of FULLER's Table 1: three metrics over two tasks", "[bevfusion][fuller]") {
  struct Row {
    double map, nds, miou, printed;
  };
  const std::vector<Row> rows = {
      {59.1, 65.0, 44.0, 18.3}, {59.5, 65.4, 45.0, 16.9}, {57.1, 63.3, 59.5, 8.8}, {60.5, 65.3, 58.4, 5.4},   // 1:1
      {59.8, 65.5, 55.7, 8.0},  {59.8, 65.3, 56.1, 7.8},  {56.9, 63.3, 59.8, 8.7}, {60.1, 65.6, 58.2, 5.7},   // 1:5
      {59.3, 65.0, 57.9, 7.0},  {60.1, 65.4, 57.3, 6.5},  {58.2, 64.2, 60.1, 6.7}, {59.9, 65.2, 59.2, 5.3}};  // 1:10
  for (const Row& row : rows) {
    INFO(row.map << ' ' << row.nds << ' ' << row.miou);
    CHECK(prints_as(100 * delta_mtl(against_single_task(row.map, row.nds, row.miou), 2), row.printed));
    CHECK_FALSE(prints_as(100 * delta_mtl(against_single_task(row.map, row.nds, row.miou), 3), row.printed));
  }
}

TEST_CASE("Delta_MTL of the supplement's Tables 3 and 5", "[bevfusion][fuller]") {
  CHECK(prints_as(100 * delta_mtl(against_single_task(59.1, 65.0, 44.0), 2), 18.3));       // baseline
  CHECK(prints_as(100 * delta_mtl(against_single_task(58.3, 64.4, 57.2), 2), 8.8));        // GradNorm
  CHECK(prints_as(100 * delta_mtl(against_single_task(59.3, 65.1, 57.7), 2), 7.1));        // DWA
  CHECK(prints_as(100 * delta_mtl(against_single_task(60.5, 65.3, 58.4), 2), 5.4));        // FULLER
  CHECK(prints_as(100 * delta_mtl(against_single_task(59.3, 65.0, 57.9), 1), 14.0));       // Table 3, 1:10: not divided
  CHECK_FALSE(prints_as(100 * delta_mtl(against_single_task(57.1, 63.3, 59.4), 2), 8.9));  // IMTL-G: 8.83 is printed as 8.9
  CHECK(100 * delta_mtl(against_single_task(57.1, 63.3, 59.4), 2) == Approx(8.83).margin(0.005));
}

TEST_CASE("Delta_MTL of Table 6, whose rows have different divisors", "[bevfusion][fuller]") {
  const std::vector<ComparedMetric> baseline = {
      {59.9, map_alone}, {65.8, nds_alone}, {46.9, miou_alone}, {58.1, foreground_alone}};
  const std::vector<ComparedMetric> fuller = {{58.6, map_alone}, {64.6, nds_alone}, {57.1, miou_alone}, {62.0, foreground_alone}};
  CHECK(prints_as(100 * delta_mtl(baseline, 3), 12.8));
  CHECK(prints_as(100 * delta_mtl(fuller, 2), 9.9));
  CHECK(prints_as(100 * delta_mtl(fuller, 3), 6.6));
}

TEST_CASE("Lambda_MTL of the supplement's Table 3: points over three metrics", "[bevfusion][fuller]") {
  CHECK(prints_as(lambda_mtl({{60.5, 59.1}, {65.3, 65.0}, {58.4, 44.0}}, 3), 5.4));
  CHECK(prints_as(lambda_mtl({{60.1, 59.8}, {65.6, 65.5}, {58.2, 55.7}}, 3), 1.0));
  CHECK(prints_as(lambda_mtl({{59.9, 59.3}, {65.2, 65.0}, {59.2, 57.9}}, 3), 0.7));
}

TEST_CASE("metrics that should be low count the other way round", "[bevfusion][fuller]") {
  CHECK(delta_mtl({{0.6, 0.5, true}}, 1) == Approx(0.2));    // an error up by a fifth
  CHECK(delta_mtl({{0.6, 0.5, false}}, 1) == Approx(-0.2));  // a score up by a fifth
  CHECK(delta_mtl({{0.6, 0.5, true}, {80, 100, false}}, 2) == Approx(0.2));
  CHECK(lambda_mtl({{0.6, 0.5, true}}, 1) == Approx(-0.1));
  CHECK(lambda_mtl({{0.6, 0.5, true}, {80, 70, false}}, 2) == Approx((-0.1 + 10) / 2));
  CHECK(delta_mtl(against_single_task(map_alone, nds_alone, miou_alone), 2) == 0);
}

TEST_CASE("comparisons without meaning are refused", "[bevfusion][fuller]") {
  CHECK_THROWS_AS(delta_mtl({}, 2), std::invalid_argument);
  CHECK_THROWS_AS(lambda_mtl({}, 2), std::invalid_argument);
  CHECK_THROWS_AS(delta_mtl({{1, 1}}, 0), std::invalid_argument);
  CHECK_THROWS_AS(delta_mtl({{1, 1}}, -2), std::invalid_argument);
  CHECK_THROWS_AS(delta_mtl({{1, 0}}, 1), std::invalid_argument);
  CHECK_THROWS_AS(delta_mtl({{std::nan(""), 1}}, 1), std::invalid_argument);
  CHECK_THROWS_AS(lambda_mtl({{1, std::nan("")}}, 1), std::invalid_argument);
  CHECK(lambda_mtl({{1, 0}}, 1) == 1);
}

TEST_CASE("NDS of wPCGrad's Tables 2 and 3 follows from their other columns", "[bevfusion][wpcgrad]") {
  struct Row {
    double nds, map, aae, aoe, ase, ate, ave;  // as printed
    double exact;                              // (5 mAP + 5 - the five errors) / 10, by hand
  };
  const std::vector<Row> rows = {
      {0.317, 0.186, 0.215, 0.704, 0.300, 0.895, 0.648, 0.3168}, {0.329, 0.195, 0.212, 0.698, 0.297, 0.898, 0.579, 0.3291},
      {0.341, 0.207, 0.213, 0.667, 0.297, 0.904, 0.549, 0.3405}, {0.339, 0.203, 0.203, 0.690, 0.299, 0.891, 0.544, 0.3388},
      {0.344, 0.209, 0.214, 0.635, 0.302, 0.901, 0.559, 0.3434}, {0.305, 0.181, 0.224, 0.739, 0.315, 0.930, 0.646, 0.3051},
      {0.312, 0.189, 0.218, 0.756, 0.313, 0.910, 0.630, 0.3118}};
  for (const Row& row : rows) {
    const double nds = bevfusion::nd_score(row.map, {row.ate, row.ase, row.aoe, row.ave, row.aae});
    CHECK(nds == Approx(row.exact).epsilon(1e-12));
    // Columns rounded to 0.0005 move NDS by up to 0.0005, and it is rounded again.
    CHECK(std::abs(nds - row.nds) < 0.001);
  }
}

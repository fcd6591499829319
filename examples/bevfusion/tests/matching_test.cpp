// SPDX-License-Identifier: Apache-2.0
// Assignment against two other algorithms, box overlap by hand and by drawing points, costs, targets and codes by hand.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "bevfusion/matching/assignment.hpp"
#include "bevfusion/matching/box_coder.hpp"
#include "bevfusion/matching/foreground_mask.hpp"
#include "bevfusion/matching/gaussian_target.hpp"
#include "bevfusion/matching/matching_cost.hpp"
#include "bevfusion/matching/rotated_iou.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::assign;
using bevfusion::BevGrid;
using bevfusion::Box3D;
using bevfusion::unassigned;

constexpr double half_turn = 3.14159265358979323846;

double uniform(std::mt19937& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

Box3D make_box(double x, double y, double z, double width, double length, double height, double yaw) {
  Box3D box;
  box.center = {x, y, z};
  box.size = {width, length, height};
  box.yaw = yaw;
  return box;
}

Box3D random_box(std::mt19937& random, double reach) {
  return make_box(uniform(random, -reach, reach), uniform(random, -reach, reach), uniform(random, -1, 1), uniform(random, 0.5, 3),
                  uniform(random, 0.5, 5), uniform(random, 0.5, 2), uniform(random, -7, 7));
}

/// Sum of the pairs' costs; fails unless the assignment is one to one and complete.
double total(const std::vector<double>& cost, std::size_t rows, std::size_t columns, const std::vector<std::size_t>& column_of) {
  REQUIRE(column_of.size() == rows);
  std::vector<bool> used(columns, false);
  std::size_t pairs = 0;
  double sum = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    if (column_of[i] != unassigned) {
      REQUIRE(column_of[i] < columns);
      REQUIRE_FALSE(used[column_of[i]]);
      used[column_of[i]] = true;
      sum += cost[i * columns + column_of[i]];
      ++pairs;
    }
  }
  REQUIRE(pairs == std::min(rows, columns));
  return sum;
}

/// Least total over all ways to give the smaller side partners, by trying every permutation of the larger.
double least_by_permutation(const std::vector<double>& cost, std::size_t rows, std::size_t columns) {
  std::vector<std::size_t> order(std::max(rows, columns));
  std::iota(order.begin(), order.end(), std::size_t{0});
  double least = std::numeric_limits<double>::infinity();
  do {
    double sum = 0;
    for (std::size_t k = 0; k < std::min(rows, columns); ++k) {
      sum += rows <= columns ? cost[k * columns + order[k]] : cost[order[k] * columns + k];
    }
    least = std::min(least, sum);
  } while (std::next_permutation(order.begin(), order.end()));
  return least;
}

/// The same by dynamic programming over the sets of columns that the rows so far leave open (or take); few columns, many rows.
double least_by_subsets(const std::vector<double>& cost, std::size_t rows, std::size_t columns) {
  const std::size_t sets = std::size_t{1} << columns;
  std::vector<double> least(sets, std::numeric_limits<double>::infinity());
  least[0] = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t set = sets; set-- > 0;) {
      for (std::size_t j = 0; j < columns; ++j) {
        const std::size_t bit = std::size_t{1} << j;
        if ((set & bit) != 0) {
          least[set] = std::min(least[set], least[set ^ bit] + cost[i * columns + j]);
        }
      }
    }
  }
  return least[sets - 1];
}

}  // namespace

TEST_CASE("assignments by hand", "[bevfusion][assignment]") {
  // Greedy would take 1 and then 9.
  CHECK(assign({1, 2, 3, 9}, 2, 2) == std::vector<std::size_t>{1, 0});
  CHECK(assign({4, 1, 3, 2, 0, 5, 3, 2, 2}, 3, 3) == std::vector<std::size_t>{1, 0, 2});  // 1 + 2 + 2
  CHECK(assign({5, 1, 7}, 1, 3) == std::vector<std::size_t>{1});
  CHECK(assign({5, 1, 7}, 3, 1) == std::vector<std::size_t>{unassigned, 0, unassigned});
  CHECK(assign({}, 0, 5).empty());
  CHECK(assign({}, 3, 0) == std::vector<std::size_t>(3, unassigned));
  CHECK_THROWS_AS(assign({1, 2, 3}, 2, 2), std::invalid_argument);
  CHECK_THROWS_WITH(assign({1, 2, std::nan(""), 4}, 2, 2), "assignment: the cost of row 1, column 0 is not finite");
  CHECK_THROWS_AS(assign({1, std::numeric_limits<double>::infinity(), 3, 4}, 2, 2), std::invalid_argument);
}

TEST_CASE("assignments cost no more than any permutation", "[bevfusion][assignment]") {
  std::mt19937 random(3);
  for (int round = 0; round < 400; ++round) {
    const std::size_t rows = 1 + random() % 6;
    const std::size_t columns = 1 + random() % 6;
    std::vector<double> cost(rows * columns);
    const bool with_ties = round % 2 == 0;
    for (double& value : cost) {
      value = with_ties ? static_cast<double>(random() % 4) - 2 : uniform(random, -10, 10);
    }
    CHECK(total(cost, rows, columns, assign(cost, rows, columns)) ==
          Approx(least_by_permutation(cost, rows, columns)).margin(1e-12));
  }
}

TEST_CASE("assignments of many queries to few boxes are best", "[bevfusion][assignment]") {
  std::mt19937 random(4);
  for (int round = 0; round < 20; ++round) {
    const std::size_t rows = 200;
    const std::size_t columns = 1 + random() % 8;
    std::vector<double> cost(rows * columns);
    for (double& value : cost) {
      value = uniform(random, -1, 1);
    }
    const auto column_of = assign(cost, rows, columns);
    const double least = least_by_subsets(cost, rows, columns);
    CHECK(total(cost, rows, columns, column_of) == Approx(least).margin(1e-12));

    // The transposed problem has the transposed answer.
    std::vector<double> across(cost.size());
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < columns; ++j) {
        across[j * rows + i] = cost[i * columns + j];
      }
    }
    const auto row_of = assign(across, columns, rows);
    for (std::size_t j = 0; j < columns; ++j) {
      CHECK(column_of[row_of[j]] == j);
    }

    // On the side where all are matched, one's costs may all rise alike.
    for (std::size_t j = 0; j < columns; ++j) {
      const double shift = uniform(random, -50, 50);
      for (std::size_t i = 0; i < rows; ++i) {
        cost[i * columns + j] += shift;
      }
    }
    CHECK(assign(cost, rows, columns) == column_of);
  }
}

TEST_CASE("overlap of boxes by hand", "[bevfusion][iou]") {
  const Box3D unit = make_box(0, 0, 0, 1, 1, 1, 0);
  CHECK(bevfusion::iou_3d(unit, unit) == Approx(1));
  CHECK(bevfusion::iou_3d(unit, make_box(0.5, 0, 0, 1, 1, 1, 0)) == Approx(1.0 / 3));
  CHECK(bevfusion::iou_3d(unit, make_box(0.5, 0.5, 0, 1, 1, 1, 0)) == Approx(0.25 / 1.75));
  CHECK(bevfusion::iou_3d(unit, make_box(0, 0, 0.5, 1, 1, 1, 0)) == Approx(1.0 / 3));
  CHECK(bevfusion::iou_3d(unit, make_box(1, 0, 0, 1, 1, 1, 0)) == 0);
  CHECK(bevfusion::iou_3d(unit, make_box(0, 0, 1, 1, 1, 1, 0)) == 0);
  CHECK(bevfusion::iou_3d(unit, make_box(5, 5, 5, 1, 1, 1, 1)) == 0);
  CHECK(bevfusion::iou_3d(unit, make_box(0, 0, 0, 2, 2, 2, 0.7)) == Approx(1.0 / 8));
  // A square and itself turned by an eighth share a regular octagon of area 2 (sqrt 2 - 1).
  const double octagon = 2 * (std::sqrt(2.0) - 1);
  CHECK(bevfusion::footprint_intersection(unit, make_box(0, 0, 0, 1, 1, 1, half_turn / 4)) == Approx(octagon));
  CHECK(bevfusion::iou_3d(unit, make_box(0, 0, 0, 1, 1, 1, half_turn / 4)) == Approx(octagon / (2 - octagon)));
  // Length lies along the heading: 4 x 1 and its quarter turn share a unit square.
  const Box3D bar = make_box(3, -2, 0, 1, 4, 1, 0);
  CHECK(bevfusion::footprint_intersection(bar, make_box(3, -2, 0, 1, 4, 1, half_turn / 2)) == Approx(1));
  CHECK(bevfusion::footprint_intersection(bar, make_box(3, -2, 0, 4, 1, 1, half_turn / 2)) == Approx(4));
  CHECK(bevfusion::footprint_intersection(bar, make_box(6, -2, 0, 1, 4, 1, 0)) == Approx(1));
  CHECK(bevfusion::footprint_intersection(bar, make_box(3, 1, 0, 1, 4, 1, 0)) == 0);

  CHECK(bevfusion::iou_3d(unit, make_box(0, 0, 0, 0, 1, 1, 0)) == 0);
  CHECK(bevfusion::iou_3d(unit, make_box(0, 0, 0, 1, -1, 1, 0)) == 0);
  CHECK(std::isnan(bevfusion::iou_3d(unit, make_box(std::nan(""), 0, 0, 1, 1, 1, 0))));
  CHECK(std::isnan(bevfusion::iou_3d(make_box(0, 0, 0, 1, 1, 1, std::nan("")), unit)));
}

TEST_CASE("overlap of boxes equals the share of random points in both", "[bevfusion][iou]") {
  std::mt19937 random(5);
  int overlapping = 0;
  for (int round = 0; round < 40; ++round) {
    const Box3D a = random_box(random, 0.8);
    const Box3D b = random_box(random, 0.8);
    const bevfusion::BoxInterior in_a(a);
    const bevfusion::BoxInterior in_b(b);
    const double reach = 4.2;
    const int points = 60000;
    int both = 0;
    int either = 0;
    for (int k = 0; k < points; ++k) {
      const double x = uniform(random, -reach, reach);
      const double y = uniform(random, -reach, reach);
      const double z = uniform(random, -2, 2);
      both += in_a.contains(x, y, z) && in_b.contains(x, y, z) ? 1 : 0;
      either += in_a.contains(x, y, z) || in_b.contains(x, y, z) ? 1 : 0;
    }
    const double iou = bevfusion::iou_3d(a, b);
    overlapping += iou > 0.05 ? 1 : 0;
    // Five standard deviations of a share among `either` points.
    CHECK(std::abs(iou - static_cast<double>(both) / either) < 5 * 0.5 / std::sqrt(static_cast<double>(either)));
  }
  CHECK(overlapping > 20);
}

TEST_CASE("overlap is symmetric, at most 1, and moves with the boxes", "[bevfusion][iou]") {
  std::mt19937 random(6);
  for (int round = 0; round < 500; ++round) {
    const Box3D a = random_box(random, 1.5);
    const Box3D b = random_box(random, 1.5);
    const double iou = bevfusion::iou_3d(a, b);
    CHECK(iou >= 0);
    CHECK(iou <= 1);
    CHECK(bevfusion::iou_3d(b, a) == Approx(iou).margin(1e-12));
    CHECK(bevfusion::iou_3d(a, a) == Approx(1).epsilon(1e-12));
    Box3D half_turned = b;
    half_turned.yaw += half_turn;
    CHECK(bevfusion::iou_3d(a, half_turned) == Approx(iou).margin(1e-12));
    const bevfusion::RigidTransform motion{bevfusion::rotation_about_z(1.1), {30, -20, 2}};
    Box3D moved_a = a;
    Box3D moved_b = b;
    for (Box3D* box : {&moved_a, &moved_b}) {
      box->center = motion * box->center;
      box->yaw += 1.1;
    }
    CHECK(bevfusion::iou_3d(moved_a, moved_b) == Approx(iou).margin(1e-12));
  }
}

TEST_CASE("the cost of matching by hand", "[bevfusion][matching_cost]") {
  // p = 1/2: ln 2 (alpha - (1 - alpha)) / 4 = -ln 2 / 8.
  CHECK(bevfusion::focal_cost(0.5) == Approx(-std::log(2.0) / 8));
  CHECK(bevfusion::focal_cost(0) == Approx(-0.25 * std::log(1e-12)));
  CHECK(bevfusion::focal_cost(1) == Approx(0.75 * std::log(1e-12)));
  for (double p = 0; p < 0.995; p += 0.01) {
    CHECK(bevfusion::focal_cost(p + 0.01) < bevfusion::focal_cost(p));
  }

  BevGrid grid;  // 102.4 m
  const std::vector<Box3D> queries = {make_box(0, 0, 0, 1, 1, 1, 0), make_box(10.24, -20.48, 0, 1, 1, 1, 0)};
  const std::vector<Box3D> truth = {make_box(0.5, 0, 0, 1, 1, 1, 0)};
  const std::vector<float> p = {0.5F, 0.25F, 0.75F, 0.5F};
  const auto cost = bevfusion::matching_cost(queries, p, 2, truth, {1}, grid);
  REQUIRE(cost.size() == 2);
  CHECK(cost[0] == Approx(0.15 * bevfusion::focal_cost(0.25) + 0.25 * 0.5 / 102.4 - 0.25 / 3));
  CHECK(cost[1] == Approx(0.15 * bevfusion::focal_cost(0.5) + 0.25 * (9.74 + 20.48) / 102.4));
  const auto only_iou = bevfusion::matching_cost(queries, p, 2, truth, {0}, grid, {0, 0, 1});
  CHECK(only_iou[0] == Approx(-1.0 / 3));
  CHECK(only_iou[1] == 0);
  CHECK(bevfusion::matching_cost(queries, p, 2, {}, {}, grid).empty());
  CHECK_THROWS_AS(bevfusion::matching_cost(queries, p, 2, truth, {2}, grid), std::invalid_argument);
  CHECK_THROWS_AS(bevfusion::matching_cost(queries, p, 3, truth, {1}, grid), std::invalid_argument);
  CHECK_THROWS_AS(bevfusion::matching_cost(queries, p, 2, truth, {}, grid), std::invalid_argument);
}

TEST_CASE("the radius of heat-map targets", "[bevfusion][gaussian]") {
  // 4 x 4 cells, overlap 0.1: a = 0.4, b = -1.6, c = -14.4, so b^2 - 4ac = 25.6; the other two cases are larger (5.7 and 10.5).
  CHECK(bevfusion::gaussian_radius(4, 4, 0.1) == Approx((-1.6 + std::sqrt(25.6)) / 2));
  // Overlap 0.7, 10 x 6: a = 2.8, b = -22.4, c = -18, so 703.36; case one: b = 16, c = 60 * 0.3 / 1.7; case two: a = 4, b = 32, c
  // = 18.
  const double one = (16 + std::sqrt(256 - 4 * 60 * 0.3 / 1.7)) / 2;
  const double two = (32 + std::sqrt(1024.0 - 16 * 18)) / 2;
  const double three = (-22.4 + std::sqrt(703.36)) / 2;
  CHECK(bevfusion::gaussian_radius(10, 6, 0.7) == Approx(std::min({one, two, three})));
  CHECK(bevfusion::gaussian_radius(6, 10, 0.7) == Approx(bevfusion::gaussian_radius(10, 6, 0.7)));
}

TEST_CASE("a target is drawn around its cell and never lowers the map", "[bevfusion][gaussian]") {
  std::vector<float> values(9 * 7, 0.0F);
  const bevfusion::CellView<float> map{values.data(), 9, 7};
  map(5, 3) = 0.9F;
  map(0, 0) = 0.5F;
  bevfusion::draw_gaussian(map, 4, 3, 2);
  const double sigma = 5.0 / 6;
  for (std::size_t i = 0; i < 9; ++i) {
    for (std::size_t j = 0; j < 7; ++j) {
      const double dx = static_cast<double>(i) - 4;
      const double dy = static_cast<double>(j) - 3;
      double expected = std::abs(dx) <= 2 && std::abs(dy) <= 2 ? std::exp(-(dx * dx + dy * dy) / (2 * sigma * sigma)) : 0;
      expected = i == 5 && j == 3 ? 0.9 : expected;
      expected = i == 0 && j == 0 ? 0.5 : expected;
      CHECK(static_cast<double>(map(i, j)) == Approx(expected).epsilon(1e-6));
    }
  }
  CHECK(map(4, 3) == 1.0F);
  std::fill(values.begin(), values.end(), 0.0F);
  bevfusion::draw_gaussian(map, 0, 6, 3);  // a corner
  CHECK(map(0, 6) == 1.0F);
  CHECK(map(3, 3) > 0);
  CHECK(map(4, 6) == 0);
  bevfusion::draw_gaussian(map, 8, 0, 100);
  CHECK(std::count(values.begin(), values.end(), 0.0F) == 0);
}

TEST_CASE("boxes become targets in the cell of their centre, x first", "[bevfusion][gaussian]") {
  BevGrid grid;
  grid.x_min = -8;
  grid.y_min = -4;
  grid.cell = 0.5;
  grid.cells_x = 32;
  grid.cells_y = 16;
  std::vector<float> values(32 * 16, 0.0F);
  const bevfusion::CellView<float> map{values.data(), 32, 16};
  CHECK(bevfusion::draw_target(map, grid, make_box(3.6, -1.3, 0, 0.5, 0.5, 1, 0)));
  CHECK(map(23, 5) == 1.0F);
  CHECK(map(21, 3) > 0);  // the least radius is 2
  CHECK(map(20, 5) == 0);
  CHECK(std::count(values.begin(), values.end(), 1.0F) == 1);
  const std::vector<float> before = values;
  CHECK_FALSE(bevfusion::draw_target(map, grid, make_box(8, 0, 0, 1, 1, 1, 0)));  // the far edge is not on the grid
  CHECK_FALSE(bevfusion::draw_target(map, grid, make_box(-8.01, 0, 0, 1, 1, 1, 0)));
  CHECK_FALSE(bevfusion::draw_target(map, grid, make_box(0, 0, 0, 0, 1, 1, 0)));
  CHECK_FALSE(bevfusion::draw_target(map, grid, make_box(std::nan(""), 0, 0, 1, 1, 1, 0)));
  CHECK(values == before);
  CHECK(bevfusion::draw_target(map, grid, make_box(-8, 3.999, 0, 6, 12, 1, 0)));
  CHECK(map(0, 15) == 1.0F);
  // 24 x 12 cells, overlap 0.1: (-7.2 + sqrt(51.84 + 414.72)) / 2 = 7.2: seven cells away is drawn, eight is not.
  CHECK(map(7, 15) > 0);
  CHECK(map(8, 15) == 0);
}

TEST_CASE("box codes by hand and there and back", "[bevfusion][box_coder]") {
  const bevfusion::BoxCoder coder;
  Box3D box = make_box(-51.2, 0, -1.5, 1, std::exp(1.0), std::exp(-1.0), half_turn / 6);
  box.velocity = {3, -4};
  const auto target = coder.encode(box);
  const bevfusion::BoxCode expected = {0, 64, -1.5, 0, 1, -1, 0.5, std::sqrt(0.75), 3, -4};
  for (std::size_t k = 0; k < 10; ++k) {
    CHECK(target.code[k] == Approx(expected[k]).margin(1e-12));
    CHECK(target.weights[k] == (k < 8 ? 1 : 0.2));
  }

  box.velocity.y() = std::nan("");
  CHECK(coder.encode(box).weights[8] == 0.2);
  CHECK(coder.encode(box).weights[9] == 0);
  CHECK(coder.encode(box).code[9] == 0);
  box.size.y() = 0;
  CHECK_THROWS_AS(coder.encode(box), std::invalid_argument);

  std::mt19937 random(8);
  for (int round = 0; round < 100; ++round) {
    Box3D from = random_box(random, 51);
    from.yaw = uniform(random, -half_turn, half_turn);
    from.velocity = {uniform(random, -9, 9), uniform(random, -9, 9)};
    bevfusion::BoxCode code = coder.encode(from).code;
    const double stretch = uniform(random, 0.1, 5);  // heads do not keep sine and cosine on the circle
    code[6] *= stretch;
    code[7] *= stretch;
    const Box3D to = coder.decode(code);
    CHECK((to.center - from.center).norm() < 1e-12);
    CHECK((to.size - from.size).norm() < 1e-12);
    CHECK(to.yaw == Approx(from.yaw).margin(1e-12));
    CHECK(to.velocity == from.velocity);
  }
  const bevfusion::CentreLimits limits;
  CHECK(limits.contains(make_box(61.2, -61.2, 10, 1, 1, 1, 0)));
  CHECK_FALSE(limits.contains(make_box(61.3, 0, 0, 1, 1, 1, 0)));
  CHECK_FALSE(limits.contains(make_box(0, 0, -10.1, 1, 1, 1, 0)));
}

TEST_CASE("foreground masks hold the cells whose middle a footprint covers", "[bevfusion][foreground]") {
  BevGrid grid;
  grid.x_min = -10;
  grid.y_min = -6;
  grid.cell = 0.5;
  grid.cells_x = 40;
  grid.cells_y = 24;
  std::mt19937 random(9);
  for (int round = 0; round < 60; ++round) {
    const Box3D box = random_box(random, 11);
    std::vector<std::uint8_t> values(40 * 24, 0);
    const bevfusion::CellView<std::uint8_t> mask{values.data(), 40, 24};
    bevfusion::draw_footprint(mask, grid, box);
    const bevfusion::BoxInterior interior(box);
    for (std::size_t i = 0; i < 40; ++i) {
      for (std::size_t j = 0; j < 24; ++j) {
        const double x = grid.centre_x(i);
        const double y = grid.centre_y(j);
        const bool has_centre = std::abs(box.center.x() - x) < 0.25 && std::abs(box.center.y() - y) < 0.25;
        CHECK((mask(i, j) != 0) == (has_centre || interior.contains(x, y, box.center.z())));
      }
    }
  }
  std::vector<std::uint8_t> values(40 * 24, 0);
  const bevfusion::CellView<std::uint8_t> mask{values.data(), 40, 24};
  bevfusion::draw_footprint(mask, grid, make_box(0.99, 0.01, 0, 0.3, 0.3, 1, 0));  // a cone between middles
  CHECK(std::count(values.begin(), values.end(), 1) == 1);
  CHECK(mask(21, 12) == 1);
  bevfusion::draw_footprint(mask, grid, make_box(std::nan(""), 0, 0, 1, 1, 1, 0));
  bevfusion::draw_footprint(mask, grid, make_box(0, 0, 0, std::numeric_limits<double>::infinity(), 1, 1, 0));
  bevfusion::draw_footprint(mask, grid, make_box(1e300, 0, 0, 1, 1, 1, 0));
  CHECK(std::count(values.begin(), values.end(), 1) == 1);
}

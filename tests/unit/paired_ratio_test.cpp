// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <fuller/measure/clock.hpp>
#include <fuller/measure/paired_ratio.hpp>

#include "support/catch.hpp"

namespace {

std::vector<double> one_to(int n) {
  std::vector<double> values;
  for (int k = n; k >= 1; --k) {  // downwards: order must not matter
    values.push_back(k);
  }
  return values;
}

}  // namespace

TEST_CASE("the median is the middle value, or the mean of the two in the middle", "[measure]") {
  CHECK(fuller::median({3, 1, 2}) == 2);
  CHECK(fuller::median({4, 1, 3, 2}) == 2.5);
  CHECK(fuller::median({7}) == 7);
  CHECK_THROWS_AS(fuller::median({}), fuller::Error);
}

TEST_CASE("the interval's ranks are those of the sign test's tables", "[measure]") {
  // Two-sided critical values of the sign test at 5 %: n = 6: 0, n = 10: 1, n = 20: 5, n = 50: 17; the interval reaches from
  // the next smallest to the next largest. For n = 10 by hand: 2 (1 + 10) / 1024 = 0.021, 2 (1 + 10 + 45) / 1024 = 0.109.
  const struct { int n, critical; } table[] = {{6, 0}, {10, 1}, {20, 5}, {50, 17}};
  for (const auto& row : table) {
    const fuller::RatioInterval interval = fuller::median_interval(one_to(row.n));
    CAPTURE(row.n);
    CHECK(interval.low == row.critical + 1);
    CHECK(interval.high == row.n - row.critical);
    CHECK(interval.ratio == (row.n + 1) / 2.0);
  }
  // 1 % at n = 10: 2 (1 + 10) / 1024 = 0.021 is too much, 2 / 1024 is not.
  CHECK(fuller::median_interval(one_to(10), 0.99).low == 1);
  CHECK(fuller::median_interval(one_to(10), 0.99).high == 10);
}

TEST_CASE("too few values, odd confidences and values that are no numbers are refused", "[measure]") {
  CHECK_THROWS_AS(fuller::median_interval(one_to(5)), fuller::Error);  // 2 / 32 > 5 %
  CHECK_NOTHROW(fuller::median_interval(one_to(5), 0.9));
  CHECK_THROWS_AS(fuller::median_interval(one_to(10), 0.0), fuller::Error);
  CHECK_THROWS_AS(fuller::median_interval(one_to(10), 1.0), fuller::Error);
  CHECK_THROWS_AS(fuller::median_interval(one_to(10), std::nan("")), fuller::Error);
  std::vector<double> values = one_to(10);
  values[3] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(fuller::median_interval(values), fuller::Error);
  CHECK_THROWS_AS(fuller::paired_ratio({1, 2}, {1}), fuller::Error);
}

TEST_CASE("how many values an interval needs is said where they are too few", "[measure]") {
  // 2 (1/2)^n <= 1 - confidence.
  CHECK(fuller::detail::fewest_values(.95) == 6);
  CHECK(fuller::detail::fewest_values(.99) == 8);
  CHECK(fuller::detail::fewest_values(.5) == 2);
  try {
    fuller::median_interval({1, 2, 3}, .95);
    FAIL("three values were enough");
  } catch (const fuller::Error& error) {
    CHECK(std::string(error.what()).find("which needs 6") != std::string::npos);
  }
}

TEST_CASE("the interval covers the median as often as it says", "[measure]") {
  // Exponential deviates, whose median is log 2. At n = 20 the coverage is 1 - 2 P(B <= 5) = 0.9586: of 2000 intervals 83
  // miss, with a standard deviation of 9.
  std::mt19937 generator(7);
  std::exponential_distribution<double> exponential;
  int missed = 0;
  for (int sample = 0; sample < 2000; ++sample) {
    std::vector<double> values(20);
    for (double& value : values) {
      value = exponential(generator);
    }
    const fuller::RatioInterval interval = fuller::median_interval(values);
    missed += interval.low > std::log(2.0) || interval.high < std::log(2.0) ? 1 : 0;
  }
  CHECK(missed > 83 - 5 * 9);
  CHECK(missed < 83 + 5 * 9);
}

TEST_CASE("beyond a thousand values the interval is wider than need be, never narrower", "[measure]") {
  // The exact rank at n = 4000 is 2000 - 1.96 sqrt(1000) = 1938.
  const fuller::RatioInterval interval = fuller::median_interval(one_to(4000));
  CHECK(interval.ratio == 2000.5);
  CHECK(interval.low <= 1939);
  CHECK(interval.low >= 1800);
  CHECK(interval.low + interval.high == 4001);
}

TEST_CASE("what disturbs both of a pair cancels", "[measure]") {
  std::vector<double> plain, calibrated;
  for (int k = 0; k < 30; ++k) {
    const double disturbance = 1 + k % 7;
    plain.push_back(disturbance);
    calibrated.push_back(disturbance * (k % 2 == 0 ? 1.25 : 1.5));
  }
  const fuller::RatioInterval interval = fuller::paired_ratio(calibrated, plain);
  CHECK(interval.ratio == Approx(1.375).margin(0.126));
  CHECK(interval.low == Approx(1.25));
  CHECK(interval.high == Approx(1.5));
}

TEST_CASE("both clocks go forward while one works", "[measure]") {
  for (const fuller::Clock clock : {fuller::Clock::wall, fuller::Clock::thread}) {
    const double begin = fuller::seconds(clock);
    volatile double sum = 0;
    while (fuller::seconds(clock) - begin < 0.01) {
      sum = sum + 1;
    }
    CHECK(sum > 1);
  }
}

// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include <fuller/cpu/norms.hpp>

#include "support/catch.hpp"
#include "support/cpu_kernels.hpp"

namespace {

using fuller::cpu::add_slice_squared_norms;
using fuller::cpu::BFloat16;
using fuller::cpu::Half;
using fuller::cpu::Isa;
using fuller::testing::available_isas;
using fuller::testing::normal_elements;
using fuller::testing::ThreadedFor;

struct Geometry {
  std::int64_t outer;
  std::vector<std::int64_t> widths;
  std::int64_t inner;

  std::int64_t channels() const { return std::accumulate(widths.begin(), widths.end(), std::int64_t{0}); }
  std::int64_t size() const { return outer * channels() * inner; }
};

const std::vector<Geometry>& geometries() {
  static const std::vector<Geometry> all{
      {1, {1}, 1},           {3, {2, 1}, 9},           {7, {5, 0, 3}, 1},  {4, {0, 3, 0}, 5},
      {16, {33, 31}, 9},     {1, {700, 1300}, 7},      {64, {80, 256}, 9}, {5000, {1, 1, 1}, 1},
      {40000, {3, 2}, 1},    {1, {4095, 1, 4097}, 16}, {2, {8191, 9}, 5},  {300, {16, 16, 16, 3}, 27},
      {33, {1, 2000, 7}, 4},
  };
  return all;
}

template <class T>
std::vector<double> norms_of(const std::vector<T>& weight, const Geometry& g, Isa isa, int threads = 1) {
  std::vector<double> norms(g.widths.size(), 0.0);
  add_slice_squared_norms(weight.data(), g.outer, g.widths.data(), static_cast<int>(g.widths.size()), g.inner, norms.data(),
                          ThreadedFor{threads}, isa);
  return norms;
}

// The oracle asks for each element which slice its channel belongs to, and sums in long double.
template <class T>
std::vector<long double> norms_in_long_double(const std::vector<T>& weight, const Geometry& g) {
  std::vector<long double> norms(g.widths.size(), 0.0L);
  for (std::int64_t e = 0; e < g.size(); ++e) {
    std::int64_t channel = e / g.inner % g.channels();
    std::size_t m = 0;
    while (channel >= g.widths[m]) {
      channel -= g.widths[m++];
    }
    const long double value = static_cast<long double>(fuller::cpu::to_double(weight[static_cast<std::size_t>(e)]));
    norms[m] += value * value;
  }
  return norms;
}

TEMPLATE_TEST_CASE("the norms of channel slices", "[cpu][norms]", float, double, Half, BFloat16) {
  for (const Geometry& g : geometries()) {
    const std::vector<TestType> weight = normal_elements<TestType>(g.size(), 5);
    const std::vector<long double> exact = norms_in_long_double(weight, g);
    for (const Isa isa : available_isas()) {
      const std::vector<double> norms = norms_of(weight, g, isa);
      for (std::size_t m = 0; m < norms.size(); ++m) {
        INFO("outer " << g.outer << ", inner " << g.inner << ", slice " << m << ", isa " << static_cast<int>(isa));
        REQUIRE(std::abs(static_cast<long double>(norms[m]) - exact[m]) <= 1e-12L * exact[m]);
      }
      REQUIRE(norms_of(weight, g, isa, 3) == norms);
      REQUIRE(norms_of(weight, g, isa, 7) == norms);
    }
  }
}

TEST_CASE("float slices at 1e-18 and 1e18", "[cpu][norms]") {
  const Geometry g{50, {30, 40}, 9};
  for (const double scale : {1e-18, 1e18}) {
    const std::vector<float> weight = normal_elements<float>(g.size(), 6, 0.3, scale);
    const std::vector<long double> exact = norms_in_long_double(weight, g);
    for (const Isa isa : available_isas()) {
      const std::vector<double> norms = norms_of(weight, g, isa);
      REQUIRE(std::abs(static_cast<long double>(norms[0]) - exact[0]) <= 1e-12L * exact[0]);
      REQUIRE(std::abs(static_cast<long double>(norms[1]) - exact[1]) <= 1e-12L * exact[1]);
    }
  }
}

TEST_CASE("thirty million equal elements", "[cpu][norms]") {
  const Geometry g{1000, {10000, 20000}, 1};
  const float value = 0.3F;
  const std::vector<float> weight(static_cast<std::size_t>(g.size()), value);
  const double square = static_cast<double>(value) * static_cast<double>(value);  // exact: 48 bits
  const std::vector<double> norms = norms_of(weight, g, fuller::cpu::best_isa(), 2);
  REQUIRE(std::abs(norms[0] - 1e7 * square) <= 1e-12 * 1e7 * square);
  REQUIRE(std::abs(norms[1] - 2e7 * square) <= 1e-12 * 2e7 * square);
}

TEST_CASE("slice norms add to what they find, and scale by powers of two bit for bit", "[cpu][norms]") {
  const std::vector<float> weight{3, 4, 12, 1, 2, 2};  // two rows of channels {3 | 4, 12} and {1 | 2, 2}
  const std::int64_t widths[] = {1, 2};
  double norms[] = {1000, 2000};
  add_slice_squared_norms(weight.data(), 2, widths, 2, 1, norms);
  REQUIRE(norms[0] == 1000 + 9 + 1);
  REQUIRE(norms[1] == 2000 + 16 + 144 + 4 + 4);

  const Geometry g{64, {80, 256}, 9};
  const std::vector<float> small = normal_elements<float>(g.size(), 8);
  std::vector<float> large = small;
  for (float& x : large) {
    x *= 0x1p30F;
  }
  for (const Isa isa : available_isas()) {
    REQUIRE(norms_of(large, g, isa)[0] == 0x1p60 * norms_of(small, g, isa)[0]);
    REQUIRE(norms_of(large, g, isa)[1] == 0x1p60 * norms_of(small, g, isa)[1]);
  }
}

}  // namespace

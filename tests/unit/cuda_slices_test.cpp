// SPDX-License-Identifier: Apache-2.0
// Slice norms, slice scaling and weighted sums on emulated blocks, or from PTX.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/kernel_launcher.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class E>
std::vector<double> norms_of(const E* weight, std::int64_t outer, const std::vector<std::int64_t>& widths, std::int64_t inner,
                             const KernelLauncher& launcher = KernelLauncher()) {
  std::int64_t channels = 0;
  for (const std::int64_t width : widths) channels += width;
  std::vector<double> workspace(static_cast<std::size_t>(norm_workspace(outer * channels * inner)), nan);
  workspace[0] = 0;
  std::vector<double> norms(widths.size(), nan);
  NormRequest request;
  request.weight = weight;
  request.element = element_of<E>();
  request.outer = outer;
  request.widths = widths.data();
  request.slices = static_cast<int>(widths.size());
  request.inner = inner;
  request.squared_norms = norms.data();
  request.workspace = workspace.data();
  REQUIRE(submit(request, launcher) == Outcome::done);
  REQUIRE(workspace[0] == 0);
  return norms;
}

// Which slice the element [o, c, k] belongs to, by the definition.
std::size_t slice_of(std::int64_t e, const std::vector<std::int64_t>& widths, std::int64_t inner) {
  std::int64_t channels = 0;
  for (const std::int64_t width : widths) channels += width;
  std::int64_t c = e / inner % channels;
  std::size_t m = 0;
  while (c >= widths[m]) c -= widths[m++];
  return m;
}

struct Case {
  std::int64_t outer;
  std::vector<std::int64_t> widths;
  std::int64_t inner;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {5, {3, 7}, 9},                              // a convolution, [O, C, 3 x 3]
      {45, {3, 7}, 1},                             // channels_last, or a linear layer
      {300, {1, 1}, 1},                            // rows shorter than one access
      {1, {2500, 0, 1700}, 1},                     // one row, and a slice of nothing
      {3, {2, 5, 1, 4, 3, 2, 1, 6, 2, 3, 1}, 25},  // more slices than a launch takes
      {1, {64}, 100},                              // one slice is a norm
      {0, {2, 3}, 4},                              // nothing at all
  };
  return all;
}

TEMPLATE_TEST_CASE("squared norms of slices, right to 1e-12", "[cuda]", float, double, Half, BFloat16) {
  for (const Case& c : cases()) {
    std::int64_t n = c.outer * c.inner;
    std::int64_t channels = 0;
    for (const std::int64_t width : c.widths) channels += width;
    n *= channels;
    std::vector<TestType> weight = normal_numbers<TestType>(n + 3, 7, 0.2);
    std::vector<long double> right(c.widths.size(), 0);
    for (std::int64_t e = 0; e < n; ++e) {
      const auto x = static_cast<long double>(exact(weight[static_cast<std::size_t>(e)]));
      right[slice_of(e, c.widths, c.inner)] += x * x;
    }
    const std::vector<double> norms = norms_of(weight.data(), c.outer, c.widths, c.inner);
    for (std::size_t m = 0; m < right.size(); ++m) {
      REQUIRE(std::abs(static_cast<long double>(norms[m]) - right[m]) <= 1e-12L * right[m]);
    }
    REQUIRE(norms_of(weight.data(), c.outer, c.widths, c.inner, KernelLauncher(Turns::falling, 1)) == norms);
    // Three elements later in memory: no access is aligned, no bit differs.
    std::vector<TestType> later(weight.begin(), weight.begin() + 3);
    later.insert(later.end(), weight.begin(), weight.end());
    REQUIRE(norms_of(later.data() + 3, c.outer, c.widths, c.inner) == norms);
  }
}

TEST_CASE("a NaN shows in its slice alone", "[cuda]") {
  std::vector<float> weight = normal_numbers<float>(450, 1);
  weight[9 * 4] = std::numeric_limits<float>::quiet_NaN();  // channel 4 of the first row: slice 1
  const std::vector<double> norms = norms_of(weight.data(), 5, {3, 7}, 9);
  REQUIRE(norms[0] > 0);
  REQUIRE(std::isnan(norms[1]));
}

TEMPLATE_TEST_CASE("slices are scaled by selection: 0 clears, 1 keeps every bit", "[cuda]", float, double, Half, BFloat16) {
  const bool in_place = GENERATE(true, false);
  for (const Case& c : cases()) {
    std::int64_t channels = 0;
    for (const std::int64_t width : c.widths) channels += width;
    const std::int64_t n = c.outer * channels * c.inner;
    for (const std::int64_t shift : {0, 3}) {
      std::vector<TestType> memory = normal_numbers<TestType>(n + 8, 3);
      for (const std::int64_t e : {std::int64_t{0}, n / 2, n - 1}) {
        if (n > 0) memory[static_cast<std::size_t>(shift + e)] = rounded_to<TestType>(nan);
      }
      const std::vector<TestType> before = memory;
      std::vector<double> scales;
      for (std::size_t m = 0; m < c.widths.size(); ++m)
        scales.push_back(m % 4 == 0 ? 0.3 : m % 4 == 1 ? 0.0 : m % 4 == 2 ? 1.0 : nan);
      ScaleRequest request;
      const std::vector<TestType> input = memory;
      request.in = (in_place ? memory : input).data() + shift;
      request.out = memory.data() + shift;
      request.element = element_of<TestType>();
      request.outer = c.outer;
      request.widths = c.widths.data();
      request.slices = static_cast<int>(c.widths.size());
      request.inner = c.inner;
      request.scales = scales.data();
      REQUIRE(submit(request, KernelLauncher()) == Outcome::done);
      for (std::int64_t e = -shift; e < n + 8 - shift; ++e) {
        const auto at = static_cast<std::size_t>(shift + e);
        const bool inside = e >= 0 && e < n;
        const double scale = inside ? scales[slice_of(e, c.widths, c.inner)] : 1.0;
        if (scale == 1.0) {
          REQUIRE(std::memcmp(&memory[at], &before[at], sizeof(TestType)) == 0);
        } else if (scale == 0.0) {
          REQUIRE(exact(memory[at]) == 0);
        } else if (std::isnan(exact(before[at])) || std::isnan(scale)) {
          REQUIRE(std::isnan(exact(memory[at])));
        } else if constexpr (std::is_same_v<TestType, double>) {
          REQUIRE(memory[at] == scale * before[at]);
        } else {  // one product in float, then one rounding
          const float product = static_cast<float>(scale) * static_cast<float>(exact(before[at]));
          REQUIRE(exact(memory[at]) == exact(rounded_to<TestType>(product)));
        }
      }
    }
  }
}

/// sum_i w_i x_i of `tasks` tensors of one layout; x_i shifted by i elements where `shifted`.
template <class E>
void check_sum(const std::vector<double>& weights, const Layout& layout, const Layout& of_out, bool shifted, Turns turns) {
  const auto T = static_cast<int>(weights.size());
  const std::int64_t n = layout.count();
  const auto extent_of = [](const Layout& of) {
    std::int64_t extent = 1;
    for (std::size_t d = 0; d < of.sizes.size(); ++d) extent += std::max<std::int64_t>(of.sizes[d] - 1, 0) * of.strides[d];
    return of.count() == 0 ? 0 : extent;
  };
  const std::int64_t extent = extent_of(layout);
  std::vector<std::vector<E>> memory;
  std::vector<TensorView> views;
  for (int i = 0; i < T; ++i) {
    memory.push_back(normal_numbers<E>(extent + T, static_cast<unsigned>(i), 0.3));
    if (weights[static_cast<std::size_t>(i)] == 0) {
      for (E& x : memory.back()) x = rounded_to<E>(nan);  // must not show
    }
  }
  for (int i = 0; i < T; ++i) {
    views.push_back(layout.view(i == 3 ? nullptr : memory[static_cast<std::size_t>(i)].data() + (shifted ? i : 0)));
  }
  std::vector<E> out(static_cast<std::size_t>(extent_of(of_out) + 1), rounded_to<E>(-7));
  views.push_back(of_out.view(out.data()));
  SumRequest request;
  request.tensors = {views.data(), 1, T + 1, element_of<E>()};
  request.weights = weights.data();
  REQUIRE(submit(request, KernelLauncher(turns)) == Outcome::done);
  for (std::int64_t e = 0; e < n; ++e) {
    // In the order of the tasks, fused, in float unless the elements are double.
    using Real = std::conditional_t<std::is_same_v<E, double>, double, float>;
    Real sum = 0;
    for (int i = 0; i < T; ++i) {
      const double w = weights[static_cast<std::size_t>(i)];
      if (w == 0 || i == 3) continue;
      const E x = static_cast<const E*>(views[static_cast<std::size_t>(i)].data)[layout.offset(e)];
      sum = std::fma(static_cast<Real>(w), static_cast<Real>(exact(x)), sum);
    }
    const double right = exact(rounded_to<E>(static_cast<double>(sum)));
    const double found = exact(out[static_cast<std::size_t>(of_out.offset(e))]);
    REQUIRE((found == right || (std::isnan(found) && std::isnan(right))));
  }
  REQUIRE(exact(out.back()) == -7);  // nothing after the tensor
}

TEMPLATE_TEST_CASE("weighted sums: tails, addresses, layouts, absent tasks, weights of 0 and NaN", "[cuda]", float, double, Half,
                   BFloat16) {
  std::vector<double> many(64, 0.01);
  many[7] = 0;
  const std::vector<std::vector<double>> weights{{2.5}, {0.3, -1.7}, {0.5, 0, 0.25, 4, 1}, {0, 0}, {1, nan}, many};
  for (const std::vector<double>& w : weights) {
    for (const std::int64_t n : {1, 5, 2048, 5003}) {
      for (const bool shifted : {false, true}) {
        check_sum<TestType>(w, row(n), row(n), shifted, Turns::rising);
      }
    }
    const Layout channels_last{{3, 4, 5}, {20, 1, 4}};
    const Layout row_major{{3, 4, 5}, {20, 5, 1}};
    check_sum<TestType>(w, channels_last, channels_last, false, Turns::falling);
    if (w.size() < 64) {
      check_sum<TestType>(w, channels_last, row_major, false, Turns::falling);
      check_sum<TestType>(w, Layout{{40, 30}, {0, 1}}, Layout{{40, 30}, {30, 1}}, true,
                          Turns::rising);  // one row, again and again
    }
    check_sum<TestType>(w, row(0), row(0), false, Turns::rising);
  }
}

TEMPLATE_TEST_CASE("weighted sums of more tensors than a kernel's table holds", "[cuda]", float, BFloat16) {
  constexpr std::size_t tensors = 180;
  std::vector<std::vector<TestType>> memory;
  std::vector<Layout> layouts;
  for (std::size_t k = 0; k < tensors; ++k) {
    layouts.push_back(row(static_cast<std::int64_t>(k % 19)));
    for (unsigned i = 0; i < 3; ++i)
      memory.push_back(normal_numbers<TestType>(layouts[k].count() + 1, static_cast<unsigned>(3 * k) + i));
  }
  std::vector<TensorView> views;
  for (std::size_t v = 0; v < memory.size(); ++v) views.push_back(layouts[v / 3].view(memory[v].data()));
  const std::vector<std::vector<TestType>> before = memory;
  const double weights[] = {0.25, -3};
  SumRequest request;
  request.tensors = {views.data(), tensors, 3, element_of<TestType>()};
  request.weights = weights;
  REQUIRE(submit(request, KernelLauncher()) == Outcome::done);
  for (std::size_t k = 0; k < tensors; ++k) {
    const auto n = static_cast<std::size_t>(layouts[k].count());
    for (std::size_t e = 0; e < n; ++e) {
      const float scaled = 0.25F * static_cast<float>(exact(before[3 * k][e]));
      const float sum = std::fma(-3.0F, static_cast<float>(exact(before[3 * k + 1][e])), scaled);
      REQUIRE(exact(memory[3 * k + 2][e]) == exact(rounded_to<TestType>(sum)));
    }
    REQUIRE(exact(memory[3 * k + 2][n]) == exact(before[3 * k + 2][n]));  // nothing after the tensor's end
  }
}

/// To nearest of the numbers with so many bits of fraction, least exponent and largest number, ties to even: by the definition.
double nearest(double x, int fraction, int least_exponent, double largest) {
  if (std::isnan(x) || std::isinf(x) || x == 0) return x;
  const int exponent = std::max(std::ilogb(x), least_exponent);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, fraction - exponent)), exponent - fraction);
  return std::abs(rounded) > largest ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
}

TEMPLATE_TEST_CASE("every half and every bfloat16 through a kernel's own conversions", "[cuda]", Half, BFloat16) {
  constexpr bool half = std::is_same_v<TestType, Half>;
  std::vector<TestType> numbers;
  for (unsigned bits = 0; bits < 0x10000; ++bits) numbers.push_back(TestType{static_cast<std::uint16_t>(bits)});
  const std::int64_t widths[] = {1, 1};
  const double scales[] = {0.5, 3};
  std::vector<TestType> out(numbers.size());
  ScaleRequest request;
  request.in = numbers.data();
  request.out = out.data();
  request.element = element_of<TestType>();
  request.outer = 0x8000;
  request.widths = widths;
  request.slices = 2;
  request.scales = scales;
  REQUIRE(submit(request, KernelLauncher()) == Outcome::done);
  for (std::size_t k = 0; k < numbers.size(); ++k) {
    const float product = static_cast<float>(scales[k % 2]) * static_cast<float>(exact(numbers[k]));
    const double right =
        half ? nearest(static_cast<double>(product), 10, -14, 65504) : nearest(static_cast<double>(product), 7, -126, 0x1.FEp127);
    INFO("number " << k);
    REQUIRE((exact(out[k]) == right || (std::isnan(exact(out[k])) && std::isnan(right))));
  }
}

TEST_CASE("halves and bfloat16 round as IEEE 754 says", "[cuda]") {
  // 2049 lies between 2048 and 2050 in binary16: to the even one; 2051 to 2052. 257 lies between 256 and 258 in bfloat16.
  REQUIRE(exact(rounded_to<Half>(2049)) == 2048);
  REQUIRE(exact(rounded_to<Half>(2051)) == 2052);
  REQUIRE(exact(rounded_to<Half>(65519)) == 65504);
  REQUIRE(std::isinf(exact(rounded_to<Half>(65520))));
  REQUIRE(exact(rounded_to<Half>(0x1p-24)) == 0x1p-24);
  REQUIRE(exact(rounded_to<Half>(0x1p-25)) == 0);
  REQUIRE(exact(rounded_to<Half>(-0x1.8p-24)) == -0x1p-23);
  REQUIRE(exact(rounded_to<BFloat16>(257)) == 256);
  REQUIRE(exact(rounded_to<BFloat16>(259)) == 260);
  REQUIRE(std::isnan(exact(rounded_to<BFloat16>(nan))));
  REQUIRE(std::isnan(exact(rounded_to<Half>(nan))));
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {  // there and back
    Half half{static_cast<std::uint16_t>(bits)};
    const double value = exact(half);
    if (!std::isnan(value)) {
      REQUIRE(rounded_to<Half>(value).bits == half.bits);
    }
  }
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// GradDrop element by element: by hand, by its mean, and as a loop over arrays; its options.
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fuller/calibrators/grad_drop.hpp>
#include <fuller/cpu/sign_drop.hpp>

#include "support/catch.hpp"

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

double drawn(const std::vector<double>& v, const std::vector<double>& leaks, double uniform) {
  return fuller::detail::of_drawn_sign(v.data(), leaks.data(), static_cast<int>(v.size()), uniform);
}

/// Calls in one go, in ranges of `grain` backwards, to show that none leans on another.
struct Backwards {
  std::int64_t grain;
  template <class F>
  void operator()(std::int64_t begin, std::int64_t end, std::int64_t /*grain*/, const F& f) const {
    for (std::int64_t to = end; to > begin; to -= grain) {
      f(to - grain > begin ? to - grain : begin, to);
    }
  }
};

std::string objection(const fuller::GradDropOptions& options) {
  try {
    fuller::GradDrop(options).initialise(3, nullptr);
  } catch (const fuller::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("An element of GradDrop by hand") {
  // P = 1/2 (1 + (3 - 1) / (3 + 1)) = 3/4: upwards below it, downwards above.
  CHECK(drawn({3, -1}, {0, 0}, 0.74) == 3);
  CHECK(drawn({3, -1}, {0, 0}, 0.76) == -1);
  CHECK(drawn({3, -1}, {0.5, 0.25}, 0.74) == 3 - 0.25);
  CHECK(drawn({3, -1}, {0.5, 0.25}, 0.76) == 1.5 - 1);
  CHECK(drawn({3, -1}, {1, 1}, 0.76) == 2);
  // Of three: P = 1/2 (1 + (2 + 1 - 1) / 4) = 3/4.
  CHECK(drawn({2, -1, 1}, {0, 0, 0}, 0.5) == 3);
  CHECK(drawn({2, -1, 1}, {0, 0, 0}, 0.9) == -1);
  // Who agrees, is alone or is 0 loses nothing, whatever is drawn.
  for (const double uniform : {0x1p-33, 0.3, 1 - 0x1p-33}) {
    CHECK(drawn({3, 1, 0}, {0, 0, 0}, uniform) == 4);
    CHECK(drawn({-0.1, -0.2, -0.7}, {0, 0, 0}, uniform) == -0.1 - 0.2 - 0.7);
    CHECK(drawn({-5}, {0}, uniform) == -5);
    CHECK(drawn({0, 0}, {0, 0}, uniform) == 0);
    CHECK(std::isnan(drawn({not_a_number, -1}, {0, 0}, uniform)));
    CHECK(drawn({infinity, -1}, {0, 0}, uniform) == infinity);
    CHECK(std::isnan(drawn({infinity, -infinity}, {0, 0}, uniform)));
  }
}

TEST_CASE("Over many elements GradDrop keeps the mean of the plain sum, and each sign as often as its purity says") {
  constexpr std::int64_t n = 200003;  // no multiple of four
  const std::vector<float> a(n, 3.0F);
  const std::vector<float> b(n, -0.5F);
  const float* const arrays[] = {a.data(), b.data()};
  const double weights[] = {1, 2};  // -> 3 and -1
  const double leaks[] = {0, 0};
  std::vector<float> out(n, -7.0F);
  fuller::cpu::sign_dropped(arrays, weights, leaks, 2, n, {17, 5, 1}, out.data());
  std::int64_t up = 0;
  double sum = 0;
  for (const float x : out) {
    REQUIRE((x == 3.0F || x == -1.0F));
    up += x > 0 ? 1 : 0;
    sum += static_cast<double>(x);
  }
  // Five standard errors of a draw with probability 3/4, and of the mean, whose variance is 4^2 3/16.
  const double error = std::sqrt(3.0 / 16 / n);
  CHECK(std::fabs(static_cast<double>(up) / n - 0.75) < 5 * error);
  CHECK(std::fabs(sum / n - 2) < 5 * 4 * error);
}

TEST_CASE("GradDrop's loop is the element's formula with Philox at its place, in any ranges") {
  constexpr std::int64_t n = 1001;
  std::vector<double> a(n);
  std::vector<double> b(n);
  std::vector<double> nothing(n, not_a_number);
  for (std::size_t e = 0; e < static_cast<std::size_t>(n); ++e) {
    a[e] = std::sin(1.0 * static_cast<double>(e));
    b[e] = std::cos(1.7 * static_cast<double>(e));
  }
  const double* const arrays[] = {a.data(), nothing.data(), b.data()};
  const double weights[] = {1, 0, 0.5};
  const double leaks[] = {0, 0.5, 0.25};
  const fuller::detail::ElementDraws draws{99, 12, 3};
  std::vector<double> whole(n);
  std::vector<double> parts(n);
  fuller::cpu::sign_dropped(arrays, weights, leaks, 3, n, draws, whole.data());
  fuller::cpu::sign_dropped(arrays, weights, leaks, 3, n, draws, parts.data(), Backwards{7});
  CHECK(whole == parts);
  bool another = false;
  for (std::size_t e = 0; e < static_cast<std::size_t>(n); ++e) {
    const std::uint32_t word = fuller::random_block(99, 12, 3, static_cast<std::uint32_t>(e / 4)).word[e % 4];
    const double uniform = (word + 0.5) / 4294967296.0;
    const double v = a[e];
    const double w = 0.5 * b[e];
    const double purity = 0.5 * (1 + (v + w) / (std::fabs(v) + std::fabs(w)));
    const double sign = purity > uniform ? 1 : -1;
    const double right = (v * sign > 0 ? v : 0) + (w * sign > 0 ? w : 0.25 * w);
    REQUIRE(whole[e] == Approx(right).epsilon(1e-15));
    another = another || whole[e] != v + w;
  }
  CHECK(another);
  for (const auto& other : {fuller::detail::ElementDraws{98, 12, 3}, {99, 13, 3}, {99, 12, 4}}) {
    fuller::cpu::sign_dropped(arrays, weights, leaks, 3, n, other, parts.data());
    CHECK(whole != parts);
  }
}

TEST_CASE("GradDrop's four numbers of a block are the middles of 2^32 equal parts") {
  const fuller::detail::ElementDraws draws{5, 6, 7};
  for (const std::int64_t b : {0, 1, 90}) {
    double found[4];
    draws.four(b, found);
    const fuller::PhiloxBlock block = fuller::random_block(5, 6, 7, static_cast<std::uint32_t>(b));
    for (int k = 0; k < 4; ++k) {
      CHECK(found[k] * 0x1p33 == 2.0 * block.word[k] + 1);
    }
  }
}

TEST_CASE("GradDrop refuses leaks that are no shares") {
  CHECK(objection({}).empty());
  CHECK(objection({{0, 0.5, 1}, 3}).empty());
  CHECK(objection({{0, 1.5, 1}, 3}).find("[0, 1]") != std::string::npos);
  CHECK(objection({{0, -0.5, 1}, 3}).find("leak[1] is -0.5") != std::string::npos);
  CHECK(objection({{0, 1}, 3}).find("leak has 2 values for 3 tasks") != std::string::npos);
}

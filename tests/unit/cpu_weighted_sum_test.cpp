// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include <fuller/cpu/weighted_sum.hpp>

#include "support/catch.hpp"
#include "support/cpu_kernels.hpp"

namespace {

using fuller::cpu::BFloat16;
using fuller::cpu::Half;
using fuller::cpu::Isa;

using fuller::cpu::to_double;
using fuller::cpu::weighted_sum;
using fuller::testing::available_isas;
using fuller::testing::normal_elements;
using fuller::testing::ThreadedFor;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

template <class T>
std::vector<T> sum_of(const std::vector<const T*>& x, const std::vector<double>& w, std::int64_t n, Isa isa, int threads = 1) {
  std::vector<T> out(static_cast<std::size_t>(n));
  weighted_sum(x.data(), w.data(), static_cast<int>(x.size()), n, out.data(), ThreadedFor{threads}, isa);
  return out;
}

// Half an ulp of the sum's type for each of the 2 T roundings it makes, relative to the sum of magnitudes; the half types round
// once more, at the end, by half an ulp of the result or of their smallest normal number.
template <class T>
long double bound(long double magnitudes, long double exact, std::size_t count) {
  const long double unit = std::is_same_v<T, double> ? 0x1p-53L : 0x1p-24L;
  const long double last = std::is_same_v<T, Half>       ? std::max(0x1p-11L * std::abs(exact), 0x1p-25L)
                           : std::is_same_v<T, BFloat16> ? 0x1p-8L * std::abs(exact)
                                                         : 0.0L;
  return 2 * static_cast<long double>(count + 1) * unit * magnitudes + 1.001L * last;
}

TEMPLATE_TEST_CASE("weighted sums against long double", "[cpu][weighted_sum]", float, double, Half, BFloat16) {
  const std::vector<double> weights{0.75, -1.5, 0.3, 2.0, 1e-3, 1.0, 0.6, 0.1, 5.0};
  for (const Isa isa : available_isas()) {
    for (const std::int64_t n : {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 4097}) {
      for (std::size_t count = 1; count <= weights.size(); ++count) {
        std::vector<std::vector<TestType>> x;
        std::vector<const TestType*> arrays;
        for (std::size_t i = 0; i < count; ++i) {
          x.push_back(normal_elements<TestType>(n + 1, static_cast<unsigned>(i)));
        }
        for (std::size_t i = 0; i < count; ++i) {
          arrays.push_back(x[i].data() + i % 2);  // every other one off alignment
        }
        const std::vector<double> w(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(count));
        const std::vector<TestType> sum = sum_of(arrays, w, n, isa);
        for (std::size_t e = 0; e < sum.size(); ++e) {
          long double exact = 0;
          long double magnitudes = 0;
          for (std::size_t i = 0; i < count; ++i) {
            const long double term = static_cast<long double>(w[i]) * static_cast<long double>(to_double(arrays[i][e]));
            exact += term;
            magnitudes += std::abs(term);
          }
          INFO("n " << n << ", T " << count << ", element " << e << ", isa " << static_cast<int>(isa));
          REQUIRE(std::abs(static_cast<long double>(to_double(sum[e])) - exact) <= bound<TestType>(magnitudes, exact, count));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("weights of one are plain additions in task order", "[cpu][weighted_sum]", float, double) {
  const auto a = normal_elements<TestType>(1003, 1);
  const auto b = normal_elements<TestType>(1003, 2);
  const auto c = normal_elements<TestType>(1003, 3);
  for (const Isa isa : available_isas()) {
    const auto sum = sum_of<TestType>({a.data(), b.data(), c.data()}, {1, 1, 1}, 1003, isa);
    for (std::size_t e = 0; e < sum.size(); ++e) {
      const TestType two = a[e] + b[e];
      REQUIRE(sum[e] == two + c[e]);
    }
  }
}

TEST_CASE("a weight of zero leaves its array out", "[cpu][weighted_sum]") {
  const std::vector<float> x(100, 2.0F);
  const std::vector<float> bad(100, nan);
  for (const Isa isa : available_isas()) {
    REQUIRE(sum_of<float>({x.data(), bad.data(), nullptr, x.data()}, {3, 0, -0.0, 1}, 100, isa) == std::vector<float>(100, 8.0F));
    REQUIRE(sum_of<float>({bad.data(), nullptr}, {0, 0}, 100, isa) == std::vector<float>(100, 0.0F));
    for (const float value : sum_of<float>({x.data(), x.data()}, {1, nan}, 100, isa)) {
      REQUIRE(std::isnan(value));
    }
    for (const float value : sum_of<float>({x.data(), bad.data()}, {1, 1}, 100, isa)) {
      REQUIRE(std::isnan(value));
    }
  }
}

TEMPLATE_TEST_CASE("NaN and infinity come out of every rounding", "[cpu][weighted_sum]", Half, BFloat16) {
  const std::vector<TestType> x(40, fuller::testing::make_element<TestType>(1.0));
  for (const Isa isa : available_isas()) {
    for (const TestType value : sum_of<TestType>({x.data()}, {std::nan("")}, 40, isa)) {
      REQUIRE(std::isnan(to_double(value)));
    }
    for (const TestType value : sum_of<TestType>({x.data()}, {-std::numeric_limits<double>::infinity()}, 40, isa)) {
      REQUIRE(to_double(value) == -std::numeric_limits<double>::infinity());
    }
  }
}

TEMPLATE_TEST_CASE("where the ranges of the threads end does not show", "[cpu][weighted_sum]", float, double, Half, BFloat16) {
  const auto a = normal_elements<TestType>(100003, 1);
  const auto b = normal_elements<TestType>(100003, 2);
  const auto as_numbers = [](const std::vector<TestType>& values) {
    std::vector<double> numbers;
    for (const TestType value : values) {
      numbers.push_back(to_double(value));
    }
    return numbers;
  };
  for (const Isa isa : available_isas()) {
    const auto serial = as_numbers(sum_of<TestType>({a.data(), b.data()}, {0.7, 0.4}, 100003, isa));
    for (const int threads : {2, 3, 5}) {
      REQUIRE(as_numbers(sum_of<TestType>({a.data(), b.data()}, {0.7, 0.4}, 100003, isa, threads)) == serial);
    }
  }
}

TEMPLATE_TEST_CASE("all variants round the half types alike", "[cpu][weighted_sum]", Half, BFloat16) {
  // Weights that are powers of two: the float products are exact, so fused or not, every variant rounds the same sums.
  const auto a = normal_elements<TestType>(20000, 4, 0.0, 1e-4);
  const auto b = normal_elements<TestType>(20000, 5, 0.0, 1.0);
  const auto generic = sum_of<TestType>({a.data(), b.data()}, {0.5, 0.25}, 20000, Isa::generic);
  for (const Isa isa : available_isas()) {
    const auto sum = sum_of<TestType>({a.data(), b.data()}, {0.5, 0.25}, 20000, isa);
    for (std::size_t e = 0; e < sum.size(); ++e) {
      REQUIRE(sum[e].bits == generic[e].bits);
    }
  }
}

}  // namespace

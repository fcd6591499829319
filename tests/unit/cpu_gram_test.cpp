// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fuller/cpu/gram.hpp>

#include "support/catch.hpp"
#include "support/cpu_kernels.hpp"

namespace {

using fuller::cpu::add_gram;
using fuller::cpu::BFloat16;
using fuller::cpu::Half;
using fuller::cpu::Isa;
using fuller::cpu::SerialFor;
using fuller::testing::available_isas;
using fuller::testing::make_element;
using fuller::testing::normal_elements;
using fuller::testing::ThreadedFor;

template <class T>
std::vector<const T*> pointers(const std::vector<std::vector<T>>& arrays) {
  std::vector<const T*> result;
  for (const auto& array : arrays) {
    result.push_back(array.data());
  }
  return result;
}

template <class T, class Parallel = SerialFor>
std::vector<double> gram_of(const std::vector<const T*>& arrays, std::int64_t n, Isa isa, const Parallel& parallel = {}) {
  std::vector<double> gram(arrays.size() * arrays.size(), 0.0);
  add_gram(arrays.data(), static_cast<int>(arrays.size()), n, gram.data(), parallel, isa);
  return gram;
}

// The oracle: products and sums in long double (64 bits of mantissa), one after the other.
template <class T>
long double dot_in_long_double(const T* x, const T* y, std::int64_t n) {
  long double sum = 0;
  for (std::int64_t e = 0; e < n; ++e) {
    sum += static_cast<long double>(fuller::cpu::to_double(x[e])) * static_cast<long double>(fuller::cpu::to_double(y[e]));
  }
  return sum;
}

template <class T>
void check_against_oracle(const std::vector<const T*>& arrays, std::int64_t n, Isa isa) {
  const std::vector<double> gram = gram_of(arrays, n, isa);
  const std::size_t tasks = arrays.size();
  std::vector<long double> norms;
  for (const T* array : arrays) {
    norms.push_back(std::sqrt(dot_in_long_double(array, array, n)));
  }
  for (std::size_t i = 0; i < tasks; ++i) {
    for (std::size_t j = i; j < tasks; ++j) {
      const long double exact = dot_in_long_double(arrays[i], arrays[j], n);
      INFO("n = " << n << ", T = " << tasks << ", i = " << i << ", j = " << j << ", isa " << static_cast<int>(isa));
      REQUIRE(std::abs(static_cast<long double>(gram[i * tasks + j]) - exact) <= 1e-12L * norms[i] * norms[j]);
      REQUIRE(gram[i * tasks + j] == gram[j * tasks + i]);
    }
  }
}

TEMPLATE_TEST_CASE("the Gram matrix is right to 1e-12 of n_i n_j", "[cpu][gram]", float, double, Half, BFloat16) {
  for (const Isa isa : available_isas()) {
    for (const std::int64_t n : {0, 1, 7, 8, 9, 15, 16, 17, 255, 257, 1025, 4095, 4096, 4097, 16385}) {
      for (const int tasks : {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
        std::vector<std::vector<TestType>> arrays;
        for (int i = 0; i < tasks; ++i) {
          arrays.push_back(normal_elements<TestType>(n, static_cast<unsigned>(100 * tasks + i), 0.1 * i));
        }
        check_against_oracle(pointers(arrays), n, isa);
      }
    }
  }
}

TEMPLATE_TEST_CASE("many tasks and many blocks", "[cpu][gram]", float, double, BFloat16) {
  for (const Isa isa : available_isas()) {
    for (const int tasks : {20, 64}) {
      std::vector<std::vector<TestType>> arrays;
      for (int i = 0; i < tasks; ++i) {
        arrays.push_back(normal_elements<TestType>(4133, static_cast<unsigned>(i), 0.01 * i));
      }
      check_against_oracle(pointers(arrays), 4133, isa);
    }
    std::vector<std::vector<TestType>> arrays;
    for (unsigned i = 0; i < 5; ++i) {
      arrays.push_back(normal_elements<TestType>(1000003, i));
    }
    check_against_oracle(pointers(arrays), 1000003, isa);
  }
}

TEST_CASE("float gradients at 1e-18 and 1e18, side by side", "[cpu][gram]") {
  for (const Isa isa : available_isas()) {
    for (const double scale : {1e-18, 1.0, 1e18}) {
      std::vector<std::vector<float>> arrays;
      for (unsigned i = 0; i < 3; ++i) {
        arrays.push_back(normal_elements<float>(70001, i, 0.5, scale));
      }
      arrays.push_back(normal_elements<float>(70001, 9, 0.5, 1.0));
      check_against_oracle(pointers(arrays), 70001, isa);
    }
  }
}

TEST_CASE("a hundred million equal elements", "[cpu][gram]") {
  const std::int64_t n = 100000000;
  const float value = 0.1F;
  const std::vector<float> array(static_cast<std::size_t>(n), value);
  // 24 + 24 bits of mantissa: the product is exact in double, and n times it needs one rounding.
  const double exact = static_cast<double>(n) * (static_cast<double>(value) * static_cast<double>(value));
  const std::vector<double> gram = gram_of<float>({array.data(), array.data()}, n, fuller::cpu::best_isa());
  for (const double entry : gram) {
    REQUIRE(std::abs(entry - exact) <= 1e-12 * exact);
  }
}

TEMPLATE_TEST_CASE("arrays on any address", "[cpu][gram]", float, double, Half, BFloat16) {
  for (const Isa isa : available_isas()) {
    for (const int tasks : {2, 9}) {
      std::vector<std::vector<TestType>> arrays;
      std::vector<const TestType*> shifted;
      for (int i = 0; i < tasks; ++i) {
        arrays.push_back(normal_elements<TestType>(5000, static_cast<unsigned>(i)));
      }
      for (int i = 0; i < tasks; ++i) {
        shifted.push_back(arrays[static_cast<std::size_t>(i)].data() + i + 1);
      }
      check_against_oracle(shifted, 4900, isa);
    }
  }
}

TEMPLATE_TEST_CASE("the number of threads does not show", "[cpu][gram]", float, double, Half) {
  for (const Isa isa : available_isas()) {
    for (const int tasks : {2, 5}) {
      std::vector<std::vector<TestType>> arrays;
      for (int i = 0; i < tasks; ++i) {
        arrays.push_back(normal_elements<TestType>(200003, static_cast<unsigned>(i)));
      }
      const std::vector<double> serial = gram_of(pointers(arrays), 200003, isa);
      for (const int threads : {1, 2, 3, 5, 8}) {
        REQUIRE(gram_of(pointers(arrays), 200003, isa, ThreadedFor{threads}) == serial);
      }
    }
  }
}

TEMPLATE_TEST_CASE("no instruction set shows where products are exact", "[cpu][gram]", float, Half, BFloat16) {
  for (const int tasks : {1, 2, 3, 4, 7, 9}) {
    std::vector<std::vector<TestType>> arrays;
    for (int i = 0; i < tasks; ++i) {
      arrays.push_back(normal_elements<TestType>(30011, static_cast<unsigned>(i)));
    }
    const std::vector<double> generic = gram_of(pointers(arrays), 30011, Isa::generic);
    for (const Isa isa : available_isas()) {
      REQUIRE(gram_of(pointers(arrays), 30011, isa) == generic);
    }
  }
}

TEST_CASE("the Gram matrix of some tasks is a part of that of all", "[cpu][gram]") {
  std::vector<std::vector<float>> arrays;
  for (unsigned i = 0; i < 9; ++i) {
    arrays.push_back(normal_elements<float>(9999, i));
  }
  for (const Isa isa : available_isas()) {
    const std::vector<double> all = gram_of(pointers(arrays), 9999, isa);
    const std::vector<double> some = gram_of<float>({arrays[7].data(), arrays[2].data()}, 9999, isa);
    REQUIRE(some == std::vector<double>{all[7 * 9 + 7], all[7 * 9 + 2], all[2 * 9 + 7], all[2 * 9 + 2]});
  }
}

TEMPLATE_TEST_CASE("a power of two scales the matrix bit for bit", "[cpu][gram]", float, double) {
  const double scale = std::ldexp(1.0, 40);
  for (const Isa isa : available_isas()) {
    for (const int tasks : {2, 3, 6}) {
      std::vector<std::vector<TestType>> arrays;
      std::vector<std::vector<TestType>> scaled;
      for (int i = 0; i < tasks; ++i) {
        arrays.push_back(normal_elements<TestType>(20011, static_cast<unsigned>(i)));
        scaled.push_back(arrays.back());
        for (TestType& value : scaled.back()) {
          value = static_cast<TestType>(static_cast<double>(value) * scale);
        }
      }
      std::vector<double> gram = gram_of(pointers(arrays), 20011, isa);
      for (double& entry : gram) {
        entry *= scale * scale;
      }
      REQUIRE(gram_of(pointers(scaled), 20011, isa) == gram);
    }
  }
}

TEST_CASE("the call adds to what the matrix holds", "[cpu][gram]") {
  const std::vector<float> x{1, 2, 3};
  const std::vector<float> y{-1, 0, 2};
  const float* arrays[] = {x.data(), y.data()};
  double gram[] = {100, 200, 300, 400};
  add_gram(arrays, 2, 3, gram);  // <x,x> = 14, <x,y> = 5, <y,y> = 5
  REQUIRE(gram[0] == 114);
  REQUIRE(gram[1] == 205);
  REQUIRE(gram[2] == 305);
  REQUIRE(gram[3] == 405);
}

TEST_CASE("NaN and infinity stay with their tasks", "[cpu][gram]") {
  for (const Isa isa : available_isas()) {
    std::vector<std::vector<float>> arrays;
    for (unsigned i = 0; i < 6; ++i) {
      arrays.push_back(normal_elements<float>(5003, i));
    }
    arrays[1][5002] = std::numeric_limits<float>::quiet_NaN();
    arrays[4][17] = std::numeric_limits<float>::infinity();
    const std::vector<double> gram = gram_of(pointers(arrays), 5003, isa);
    for (std::size_t i = 0; i < 6; ++i) {
      for (std::size_t j = 0; j < 6; ++j) {
        INFO(i << ", " << j);
        REQUIRE(std::isnan(gram[i * 6 + j]) == (i == 1 || j == 1));
        REQUIRE(std::isfinite(gram[i * 6 + j]) == (i != 1 && j != 1 && i != 4 && j != 4));
      }
    }
  }
}

}  // namespace

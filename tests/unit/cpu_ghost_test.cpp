// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <fuller/cpu/ghost.hpp>

#include "support/catch.hpp"
#include "support/cpu_kernels.hpp"

namespace {

using fuller::cpu::add_ghost_gram;
using fuller::cpu::BFloat16;
using fuller::cpu::Half;
using fuller::cpu::Isa;
using fuller::cpu::to_double;
using fuller::testing::available_isas;
using fuller::testing::normal_elements;
using fuller::testing::ThreadedFor;

template <class X, class D>
struct Layer {
  std::int64_t rows;
  std::int64_t inputs;
  std::int64_t outputs;
  std::vector<X> x;
  std::vector<std::vector<D>> dy;

  Layer(std::int64_t rows_, std::int64_t inputs_, std::int64_t outputs_, int tasks, double scale = 1.0)
      : rows(rows_), inputs(inputs_), outputs(outputs_), x(normal_elements<X>(rows_ * inputs_, 1, 0.3, scale)) {
    for (int i = 0; i < tasks; ++i) {
      dy.push_back(normal_elements<D>(rows * outputs, static_cast<unsigned>(i + 2), 0.1 * i, scale));
    }
  }

  std::vector<double> gram(bool with_bias, Isa isa, int threads = 1) const {
    std::vector<const D*> arrays;
    for (const auto& gradient : dy) {
      arrays.push_back(gradient.data());
    }
    std::vector<double> result(dy.size() * dy.size(), 0.0);
    add_ghost_gram(x.data(), rows, inputs, arrays.data(), static_cast<int>(dy.size()), outputs, with_bias, result.data(),
                   ThreadedFor{threads}, isa);
    return result;
  }

  // The oracle forms each weight gradient dy_i^T x, bias in its last column, in long double.
  std::vector<std::vector<long double>> weight_gradients(bool with_bias) const {
    const std::int64_t columns = inputs + (with_bias ? 1 : 0);
    std::vector<std::vector<long double>> all;
    for (const auto& gradient : dy) {
      std::vector<long double> weight(static_cast<std::size_t>(outputs * columns), 0.0L);
      for (std::int64_t n = 0; n < rows; ++n) {
        for (std::int64_t o = 0; o < outputs; ++o) {
          const long double d = static_cast<long double>(to_double(gradient[static_cast<std::size_t>(n * outputs + o)]));
          for (std::int64_t c = 0; c < columns; ++c) {
            const long double input =
                c < inputs ? static_cast<long double>(to_double(x[static_cast<std::size_t>(n * inputs + c)])) : 1.0L;
            weight[static_cast<std::size_t>(o * columns + c)] += d * input;
          }
        }
      }
      all.push_back(weight);
    }
    return all;
  }
};

long double dot(const std::vector<long double>& a, const std::vector<long double>& b) {
  long double sum = 0;
  for (std::size_t e = 0; e < a.size(); ++e) {
    sum += a[e] * b[e];
  }
  return sum;
}

template <class X, class D>
void check(const Layer<X, D>& layer, bool with_bias, long double tolerance = 1e-12L) {
  const auto gradients = layer.weight_gradients(with_bias);
  const std::size_t tasks = gradients.size();
  for (const Isa isa : available_isas()) {
    const std::vector<double> gram = layer.gram(with_bias, isa);
    for (std::size_t i = 0; i < tasks; ++i) {
      for (std::size_t j = 0; j < tasks; ++j) {
        const long double scale = std::sqrt(dot(gradients[i], gradients[i]) * dot(gradients[j], gradients[j]));
        INFO("rows " << layer.rows << ", inputs " << layer.inputs << ", outputs " << layer.outputs << ", " << i << ", " << j
                     << ", isa " << static_cast<int>(isa));
        REQUIRE(std::abs(static_cast<long double>(gram[i * tasks + j]) - dot(gradients[i], gradients[j])) <= tolerance * scale);
      }
    }
    REQUIRE(layer.gram(with_bias, isa, 3) == gram);
  }
}

TEMPLATE_TEST_CASE("the Gram matrix without weight gradients", "[cpu][ghost]", float, double, Half, BFloat16) {
  for (const bool with_bias : {false, true}) {
    check(Layer<TestType, TestType>(1, 1, 1, 1), with_bias);
    check(Layer<TestType, TestType>(1, 3, 2, 2), with_bias);
    check(Layer<TestType, TestType>(7, 17, 15, 3), with_bias);
    check(Layer<TestType, TestType>(8, 16, 16, 2), with_bias);
    check(Layer<TestType, TestType>(9, 1025, 33, 5), with_bias);
    check(Layer<TestType, TestType>(33, 20, 50, 9), with_bias);
    check(Layer<TestType, TestType>(13, 2100, 3, 2), with_bias);
  }
}

TEST_CASE("inputs and output gradients of unlike types", "[cpu][ghost]") {
  check(Layer<BFloat16, float>(12, 40, 20, 3), true);
  check(Layer<float, double>(12, 40, 20, 3), false);
}

TEST_CASE("ghost Gram matrices at 1e-18 and 1e18", "[cpu][ghost]") {
  check(Layer<float, float>(10, 50, 30, 3, 1e-18), false);
  check(Layer<float, float>(10, 50, 30, 3, 1e18), false);
}

TEST_CASE("samples that cancel cost what the documentation says", "[cpu][ghost]") {
  // Row 2n + 1 repeats the input of row 2n, and its output gradient is the negative but for a 1000th: a_i is some 2000 n_i.
  Layer<float, float> layer(16, 40, 30, 2);
  for (std::int64_t n = 0; n < layer.rows; n += 2) {
    for (std::int64_t c = 0; c < layer.inputs; ++c) {
      layer.x[static_cast<std::size_t>((n + 1) * layer.inputs + c)] = layer.x[static_cast<std::size_t>(n * layer.inputs + c)];
    }
    for (auto& gradient : layer.dy) {
      for (std::int64_t o = 0; o < layer.outputs; ++o) {
        gradient[static_cast<std::size_t>((n + 1) * layer.outputs + o)] =
            -0.999F * gradient[static_cast<std::size_t>(n * layer.outputs + o)];
      }
    }
  }
  const auto gradients = layer.weight_gradients(false);
  std::vector<long double> a;
  for (const auto& gradient : layer.dy) {
    long double sum = 0;
    for (std::int64_t n = 0; n < layer.rows; ++n) {
      long double xx = 0;
      long double dd = 0;
      for (std::int64_t c = 0; c < layer.inputs; ++c) {
        const long double value = static_cast<long double>(layer.x[static_cast<std::size_t>(n * layer.inputs + c)]);
        xx += value * value;
      }
      for (std::int64_t o = 0; o < layer.outputs; ++o) {
        const long double value = static_cast<long double>(gradient[static_cast<std::size_t>(n * layer.outputs + o)]);
        dd += value * value;
      }
      sum += std::sqrt(xx * dd);
    }
    a.push_back(sum);
  }
  REQUIRE(a[0] > 1000 * std::sqrt(dot(gradients[0], gradients[0])));
  for (const Isa isa : available_isas()) {
    const std::vector<double> gram = layer.gram(false, isa);
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 2; ++j) {
        const long double error = std::abs(static_cast<long double>(gram[i * 2 + j]) - dot(gradients[i], gradients[j]));
        REQUIRE(error <= 0x1p-52L * (16 + 64) * a[i] * a[j]);
      }
    }
  }
}

TEST_CASE("a power of two scales the ghost Gram matrix bit for bit", "[cpu][ghost]") {
  const Layer<float, float> layer(20, 100, 40, 3);
  Layer<float, float> scaled = layer;
  for (auto& gradient : scaled.dy) {
    for (float& value : gradient) {
      value *= 0x1p20F;
    }
  }
  for (const Isa isa : available_isas()) {
    std::vector<double> gram = layer.gram(false, isa);
    for (double& entry : gram) {
      entry *= 0x1p40;
    }
    REQUIRE(scaled.gram(false, isa) == gram);
  }
}

TEST_CASE("NaN in one task's output gradient stays with that task", "[cpu][ghost]") {
  Layer<float, float> layer(10, 30, 20, 3);
  layer.dy[1][57] = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : available_isas()) {
    const std::vector<double> gram = layer.gram(true, isa);
    for (std::size_t entry = 0; entry < 9; ++entry) {
      REQUIRE(std::isnan(gram[entry]) == (entry / 3 == 1 || entry % 3 == 1));
    }
  }
}

}  // namespace

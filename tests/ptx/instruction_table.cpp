// SPDX-License-Identifier: Apache-2.0
// What each kernel executes for an element, by type, counted: ptx_machine "[.table]". PTX instructions, not the assembler's; what
// a launch takes whatever its size is left out.

#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "ptx/launcher.hpp"
#include "support/catch.hpp"
#include "support/elements.hpp"
#include "support/kernel_launcher.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;
using fuller::ptx::PtxLauncher;
using fuller::ptx::Unit;

/// Executed by submit(n), for each element of each of `tensors` tensors.
double per_element(int tensors, const std::function<void(std::int64_t)>& submit) {
  const auto executed = [&](std::int64_t n) {
    const std::uint64_t before = Unit::named()->machine.instructions();
    submit(n);
    return static_cast<double>(Unit::named()->machine.instructions() - before);
  };
  constexpr std::int64_t n = 16384;
  return (executed(2 * n) - executed(n)) / static_cast<double>(n * tensors);
}

/// `count` tensors of n elements, one of them to be written; `shift` elements after a multiple of 16 bytes.
template <class E>
struct Tensors {
  Tensors(int count, std::int64_t n, std::int64_t shift) : layout(row(n)) {
    for (int i = 0; i < count; ++i) {
      memory.push_back(normal_numbers<E>(n + shift, static_cast<unsigned>(i)));
      views.push_back(layout.view(memory.back().data() + shift));
    }
  }
  Layout layout;
  std::vector<std::vector<E>> memory;
  std::vector<TensorView> views;
};

const PtxLauncher& launcher() {
  static const PtxLauncher one(*Unit::named(), {});
  return one;
}

template <class E>
double of_gram(int T, std::int64_t shift) {
  return per_element(T, [&](std::int64_t n) {
    const Tensors<E> tensors(T, n, shift);
    const TensorLists lists{tensors.views.data(), 1, T, element_of<E>()};
    std::vector<double> workspace(static_cast<std::size_t>(gram_workspace(T, 1, n)));
    std::vector<double> gram(static_cast<std::size_t>(T * T));
    GramRequest request;
    request.parts = &lists;
    request.part_count = 1;
    request.tasks = T;
    request.gram = gram.data();
    request.workspace = workspace.data();
    REQUIRE(submit(request, launcher()) == Outcome::done);
  });
}

template <class E>
double of_norms(int slices) {
  return per_element(1, [&](std::int64_t n) {
    const Tensors<E> tensors(1, n, 0);
    const std::vector<std::int64_t> widths(static_cast<std::size_t>(slices), 4);
    std::vector<double> workspace(static_cast<std::size_t>(norm_workspace(n)));
    std::vector<double> norms(static_cast<std::size_t>(slices));
    NormRequest request;
    request.weight = tensors.memory[0].data();
    request.element = element_of<E>();
    request.outer = n / (4 * slices);
    request.widths = widths.data();
    request.slices = slices;
    request.squared_norms = norms.data();
    request.workspace = workspace.data();
    REQUIRE(submit(request, launcher()) == Outcome::done);
  });
}

template <class E>
double of_sum(int T) {
  return per_element(T, [&](std::int64_t n) {
    const Tensors<E> tensors(T + 1, n, 0);
    const std::vector<double> weights(static_cast<std::size_t>(T), 0.5);
    SumRequest request;
    request.tensors = {tensors.views.data(), 1, T + 1, element_of<E>()};
    request.weights = weights.data();
    REQUIRE(submit(request, launcher()) == Outcome::done);
  });
}

template <class E>
double of_scale() {
  return per_element(1, [&](std::int64_t n) {
    Tensors<E> tensors(1, n, 0);
    const std::int64_t widths[] = {4, 4};
    const double scales[] = {0.5, 3};
    ScaleRequest request;
    request.in = request.out = tensors.memory[0].data();
    request.element = element_of<E>();
    request.outer = n / 8;
    request.widths = widths;
    request.slices = 2;
    request.scales = scales;
    REQUIRE(submit(request, launcher()) == Outcome::done);
  });
}

template <class F>
void print_line(const std::string& what, const F& f) {
  std::printf("| %s | %.1f | %.1f | %.1f | %.1f |\n", what.c_str(), f(float()), f(double()), f(Half()), f(BFloat16()));
}

TEST_CASE("instructions for an element", "[.table]") {
  if (!from_ptx()) FULLER_SKIP("FULLER_PTX names no unit: there is no CUDA compiler");
  std::puts("| kernel | float | double | half | bfloat16 |\n|---|---|---|---|---|");
  for (const int T : {2, 3, 4, 8, 64}) {
    print_line("Gram matrix, T = " + std::to_string(T), [T](auto e) { return of_gram<decltype(e)>(T, 0); });
  }
  print_line("Gram matrix, T = 2, odd addresses", [](auto e) { return of_gram<decltype(e)>(2, 1); });
  for (const int slices : {2, 8}) {
    print_line("norms of " + std::to_string(slices) + " slices", [slices](auto e) { return of_norms<decltype(e)>(slices); });
  }
  for (const int T : {2, 8}) {
    print_line("weighted sum, T = " + std::to_string(T), [T](auto e) { return of_sum<decltype(e)>(T); });
  }
  print_line("scaling of slices", [](auto e) { return of_scale<decltype(e)>(); });
}

}  // namespace

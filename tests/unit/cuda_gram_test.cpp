// SPDX-License-Identifier: Apache-2.0
// The Gram matrix's kernels on emulated blocks, which is the device's own code but for the instructions, or from PTX, which has
// these too: against a long double oracle.

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/kernel_launcher.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;

/// T lists of tensors of one element type and their memory.
template <class E>
struct Lists {
  int tasks = 0;
  std::vector<std::vector<Layout>> layouts;  ///< [tensor][task]
  std::vector<std::vector<std::vector<E>>> memory;
  std::vector<std::vector<std::int64_t>> shift;  ///< elements by which a view begins later than its memory
  std::vector<std::vector<bool>> absent;

  void add(const Layout& layout, unsigned seed, double mean = 0.1) {
    add(std::vector<Layout>(static_cast<std::size_t>(tasks), layout), seed, mean);
  }
  void add(const std::vector<Layout>& of_tasks, unsigned seed, double mean = 0.1) {
    layouts.push_back(of_tasks);
    memory.emplace_back();
    shift.emplace_back();
    absent.emplace_back();
    for (int i = 0; i < tasks; ++i) {
      std::int64_t extent = 1;
      const Layout& layout = of_tasks[static_cast<std::size_t>(i)];
      for (std::size_t d = 0; d < layout.sizes.size(); ++d)
        extent += std::max<std::int64_t>(layout.sizes[d] - 1, 0) * layout.strides[d];
      memory.back().push_back(
          normal_numbers<E>(extent + 16, 1000 * seed + static_cast<unsigned>(i), mean, std::pow(10.0, i % 3)));
      shift.back().push_back(0);
      absent.back().push_back(false);
    }
  }
  const E* data(std::size_t k, std::size_t i) const { return memory[k][i].data() + shift[k][i]; }

  std::vector<TensorView> views() const {
    std::vector<TensorView> views;
    for (std::size_t k = 0; k < layouts.size(); ++k) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(tasks); ++i) {
        views.push_back(layouts[k][i].view(absent[k][i] ? nullptr : data(k, i)));
      }
    }
    return views;
  }
  std::int64_t total() const {
    std::int64_t n = 0;
    for (const auto& layout : layouts) n += layout.front().count();
    return n;
  }
  // Products and sums in long double, by the definition of a strided tensor.
  long double oracle(std::size_t i, std::size_t j) const {
    long double sum = 0;
    for (std::size_t k = 0; k < layouts.size(); ++k) {
      if (absent[k][i] || absent[k][j]) continue;
      for (std::int64_t e = 0; e < layouts[k][i].count(); ++e) {
        sum += static_cast<long double>(exact(data(k, i)[layouts[k][i].offset(e)])) *
               static_cast<long double>(exact(data(k, j)[layouts[k][j].offset(e)]));
      }
    }
    return sum;
  }
};

template <class E>
std::vector<double> gram_of(const Lists<E>& lists, const KernelLauncher& launcher = KernelLauncher()) {
  const std::vector<TensorView> views = lists.views();
  const TensorLists part{views.data(), static_cast<int>(lists.layouts.size()), lists.tasks, element_of<E>()};
  const double unwritten = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> workspace(static_cast<std::size_t>(gram_workspace(lists.tasks, part.tensors, lists.total())), unwritten);
  workspace[0] = 0;
  std::vector<double> gram(static_cast<std::size_t>(lists.tasks * lists.tasks), unwritten);
  GramRequest request;
  request.parts = &part;
  request.part_count = 1;
  request.tasks = lists.tasks;
  request.gram = gram.data();
  request.workspace = workspace.data();
  REQUIRE(submit(request, launcher) == Outcome::done);
  REQUIRE(workspace[0] == 0);  // the ticket is back for the next launch
  return gram;
}

template <class E>
void check(const Lists<E>& lists, const std::vector<double>& gram) {
  const auto T = static_cast<std::size_t>(lists.tasks);
  std::vector<long double> norms;
  for (std::size_t i = 0; i < T; ++i) norms.push_back(std::sqrt(lists.oracle(i, i)));
  for (std::size_t i = 0; i < T; ++i) {
    for (std::size_t j = i; j < T; ++j) {
      INFO("T = " << T << ", i = " << i << ", j = " << j);
      REQUIRE(std::abs(static_cast<long double>(gram[i * T + j]) - lists.oracle(i, j)) <= 1e-12L * norms[i] * norms[j]);
      REQUIRE(gram[i * T + j] == gram[j * T + i]);
    }
  }
}

template <class E>
Lists<E> ragged(int tasks) {
  Lists<E> lists;
  lists.tasks = tasks;
  unsigned seed = static_cast<unsigned>(tasks);
  for (const std::int64_t n : {5000, 1, 7, 2048, 0, 2051}) lists.add(row(n), seed++);
  return lists;
}

TEMPLATE_TEST_CASE("ragged lists and tails, right to 1e-12 of n_i n_j", "[cuda]", float, double, Half, BFloat16) {
  for (const int tasks : {1, 2, 3, 4, 5, 8, 9}) {
    const Lists<TestType> lists = ragged<TestType>(tasks);
    const std::vector<double> gram = gram_of(lists);
    check(lists, gram);
    // Neither the order of blocks and threads nor the number of blocks shows; a missing barrier would.
    REQUIRE(gram_of(lists, KernelLauncher(Turns::falling, 7)) == gram);
    REQUIRE(gram_of(lists, KernelLauncher(Turns::rising, 1)) == gram);
    REQUIRE(gram_of(lists, KernelLauncher(Turns::falling, 1000)) == gram);
  }
}

TEST_CASE("as many tasks as there can be", "[cuda]") {
  for (const int tasks : {17, 33, 64}) {
    Lists<float> lists;
    lists.tasks = tasks;
    lists.add(row(2100), 1);
    lists.add(row(130), 2);
    check(lists, gram_of(lists));
  }
}

TEST_CASE("64 tasks of halves at odd addresses, in rows and not", "[cuda]") {
  Lists<BFloat16> lists;
  lists.tasks = 64;
  lists.add(row(70), 1);
  for (std::size_t i = 0; i < 64; ++i) lists.shift[0][i] = static_cast<std::int64_t>(i % 9);
  std::vector<Layout> either(64, Layout{{5, 7}, {1, 5}});
  for (std::size_t i = 1; i < 64; i += 2) either[i] = Layout{{5, 7}, {8, 1}};
  lists.add(either, 2);
  check(lists, gram_of(lists));
}

TEST_CASE("thirty blocks give the bits of one", "[cuda]") {
  Lists<float> lists;
  lists.tasks = 2;
  lists.add(row(61000), 1);
  const std::vector<double> gram = gram_of(lists, KernelLauncher(Turns::rising, 1));
  check(lists, gram);
  REQUIRE(gram_of(lists, KernelLauncher(Turns::falling, 30)) == gram);
}

TEST_CASE("tensors of no element, beside others and alone", "[cuda]") {
  for (const int tasks : {1, 2, 9}) {
    Lists<float> lists;
    lists.tasks = tasks;
    lists.add(row(0), 1);
    for (const double entry : gram_of(lists)) REQUIRE(entry == 0);
    lists.add(Layout{{3, 0, 2}, {2, 2, 1}}, 2);
    lists.add(Layout{{}, {}}, 3);  // a scalar
    check(lists, gram_of(lists));
  }
}

TEST_CASE("more tensors than a kernel's table holds", "[cuda]") {
  for (const int tasks : {2, 5}) {
    Lists<float> lists;
    lists.tasks = tasks;
    for (unsigned k = 0; k < 250; ++k) lists.add(row(1 + k % 13), k);
    const KernelLauncher launcher;
    check(lists, gram_of(lists, launcher));
    REQUIRE(launcher.launches() == (tasks == 2 ? 3 : 5));  // 96 of three words, 56 of six
  }
}

TEMPLATE_TEST_CASE("addresses on no multiple of 16 give the same bits", "[cuda]", float, double, Half, BFloat16) {
  for (const int tasks : {2, 4, 6}) {
    Lists<TestType> aligned;
    aligned.tasks = tasks;
    aligned.add(row(4500), 1);
    aligned.add(row(37), 2);
    Lists<TestType> shifted = aligned;
    for (std::size_t k = 0; k < 2; ++k) {
      for (std::size_t i = 0; i < static_cast<std::size_t>(tasks); ++i) {
        auto& memory = shifted.memory[k][i];
        shifted.shift[k][i] = 1 + static_cast<std::int64_t>(i) % 5;
        memory.insert(memory.begin(), static_cast<std::size_t>(shifted.shift[k][i]), rounded_to<TestType>(1e30));
      }
    }
    REQUIRE(gram_of(shifted) == gram_of(aligned));
  }
}

TEMPLATE_TEST_CASE("layouts: any that are equal and dense, gaps, expanded, and different ones", "[cuda]", float, BFloat16) {
  const Layout row_major{{6, 8, 3, 3}, {72, 9, 3, 1}};
  const Layout channels_last{{6, 8, 3, 3}, {72, 1, 24, 8}};
  const Layout transposed{{40, 60}, {1, 40}};
  const Layout gaps{{40, 60}, {70, 1}};
  const Layout every_third{{700}, {3}};
  const Layout expanded{{40, 60}, {0, 1}};
  for (const int tasks : {2, 3, 6}) {
    Lists<TestType> lists;
    lists.tasks = tasks;
    unsigned seed = 0;
    for (const Layout& layout : {row_major, channels_last, transposed, gaps, every_third, expanded}) lists.add(layout, ++seed);
    std::vector<Layout> different(static_cast<std::size_t>(tasks), row_major);
    different[1] = channels_last;
    lists.add(different, ++seed);
    check(lists, gram_of(lists));
  }
}

TEST_CASE("a task that does not reach a tensor counts as zeros", "[cuda]") {
  for (const int tasks : {3, 7}) {
    Lists<float> lists;
    lists.tasks = tasks;
    lists.add(row(300), 1);
    lists.add(Layout{{5, 7}, {8, 1}}, 2);
    lists.add(row(2100), 3);
    lists.absent[0][0] = lists.absent[1][1] = lists.absent[2][0] = lists.absent[2][2] = true;
    for (std::size_t i = 0; i < static_cast<std::size_t>(tasks); ++i) lists.absent[1][i] = true;  // and one nobody reaches
    check(lists, gram_of(lists));
  }
}

TEST_CASE("element types that differ along the lists go into one matrix", "[cuda]") {
  for (const int tasks : {2, 5}) {
    Lists<float> floats;
    Lists<Half> halves;
    floats.tasks = halves.tasks = tasks;
    floats.add(row(2500), 1);
    halves.add(row(1000), 2);
    halves.add(row(2049), 3);
    const auto T = static_cast<std::size_t>(tasks);
    const std::vector<TensorView> of_floats = floats.views();
    const std::vector<TensorView> of_halves = halves.views();
    const TensorLists parts[] = {{of_floats.data(), 1, tasks, Element::float32}, {of_halves.data(), 2, tasks, Element::float16}};
    std::vector<double> workspace(static_cast<std::size_t>(gram_workspace(tasks, 3, floats.total() + halves.total())), 0.0);
    std::vector<double> gram(T * T);
    GramRequest request;
    request.parts = parts;
    request.part_count = 2;
    request.tasks = tasks;
    request.gram = gram.data();
    request.workspace = workspace.data();
    REQUIRE(submit(request, KernelLauncher()) == Outcome::done);
    for (std::size_t i = 0; i < T; ++i) {
      for (std::size_t j = 0; j < T; ++j) {
        const long double right = floats.oracle(i, j) + halves.oracle(i, j);
        const long double size =
            std::sqrt((floats.oracle(i, i) + halves.oracle(i, i)) * (floats.oracle(j, j) + halves.oracle(j, j)));
        REQUIRE(std::abs(static_cast<long double>(gram[i * T + j]) - right) <= 1e-12L * size);
      }
    }
  }
}

TEST_CASE("1e-18 beside 1e18, equal elements, and powers of two bit for bit", "[cuda]") {
  Lists<float> lists;
  lists.tasks = 3;
  lists.add(row(3001), 1);
  for (float& x : lists.memory[0][0]) x *= 1e-18F;
  for (float& x : lists.memory[0][1]) x *= 1e18F;
  for (float& x : lists.memory[0][2]) x = 0.1F;
  const std::vector<double> gram = gram_of(lists);
  check(lists, gram);
  const double tenth = static_cast<double>(0.1F);
  REQUIRE(std::abs(gram[8] - 3001 * tenth * tenth) <= 1e-12 * 3001 * tenth * tenth);
  for (auto& numbers : lists.memory[0]) {
    for (float& x : numbers) x *= 1024;
  }
  std::vector<double> scaled = gram;
  for (double& entry : scaled) entry *= 1048576;
  REQUIRE(gram_of(lists) == scaled);
}

TEST_CASE("NaN stays with its task", "[cuda]") {
  for (const int tasks : {4, 6}) {
    Lists<float> lists;
    lists.tasks = tasks;
    lists.add(row(2500), 1);
    lists.memory[0][1][2499] = std::numeric_limits<float>::quiet_NaN();
    const std::vector<double> gram = gram_of(lists);
    const auto T = static_cast<std::size_t>(tasks);
    for (std::size_t i = 0; i < T; ++i) {
      for (std::size_t j = 0; j < T; ++j) REQUIRE(std::isnan(gram[i * T + j]) == (i == 1 || j == 1));
    }
  }
}

TEST_CASE("nothing at all is a matrix of zeros, and what is too bent is refused before anything runs", "[cuda]") {
  double workspace[64] = {};
  double gram[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  GramRequest request;
  request.tasks = 3;
  request.gram = gram;
  request.workspace = workspace;
  REQUIRE(submit(request, KernelLauncher()) == Outcome::done);
  for (const double entry : gram) REQUIRE(entry == 0);

  const Layout bent{{2, 2, 2, 2, 2, 2}, {1000000, 100000, 10000, 1000, 100, 10}};
  const float x = 1;
  const std::vector<TensorView> views(3, bent.view(&x));
  const TensorLists part{views.data(), 1, 3, Element::float32};
  request.parts = &part;
  request.part_count = 1;
  const KernelLauncher launcher;
  REQUIRE(submit(request, launcher) == Outcome::too_many_dims);
  REQUIRE(launcher.launches() == 0);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// What only the compiled kernels can show, on top of the tests that run both ways: many orders of blocks and threads, addresses
// beyond 2^32, the device's approximate reciprocal; and what each kernel executes for an element. FULLER_PTX names the unit.

#include <sys/mman.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "ptx/launcher.hpp"
#include "support/catch.hpp"
#include "support/rule_steps.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;
using fuller::ptx::Order;
using fuller::ptx::PtxLauncher;
using fuller::ptx::Schedule;
using fuller::ptx::Unit;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

#define FULLER_NEEDS_UNIT() \
  if (!from_ptx()) FULLER_SKIP("FULLER_PTX names no unit: there is no CUDA compiler")

template <class E>
void expect_kernels_of_type(const fuller::ptx::Kernels& kernels) {
  CHECK_NOTHROW(kernels.entry<detail::SliceNorms<2, E>>("norm_kernel"));
  CHECK_NOTHROW(kernels.entry<detail::SliceNorms<8, E>>("norm_kernel"));
  CHECK_NOTHROW(kernels.entry<detail::WeightedSum<E>>("sum_kernel"));
  CHECK_NOTHROW(kernels.entry<detail::SliceScales<E>>("scale_kernel"));
}

TEST_CASE("the unit holds the kernels that requests ask for, and no others", "[ptx]") {
  FULLER_NEEDS_UNIT();
  const fuller::ptx::Kernels& kernels = Unit::named()->kernels;
  CHECK_NOTHROW(kernels.entry<detail::FewTasks<2>>("gram_kernel"));
  CHECK_NOTHROW(kernels.entry<detail::FewTasks<3>>("gram_kernel"));
  CHECK_NOTHROW(kernels.entry<detail::FewTasks<4>>("gram_kernel"));
  CHECK_NOTHROW(kernels.entry<detail::ManyTasks>("gram_kernel"));
  CHECK_NOTHROW(kernels.entry<RuleCall>("call_kernel"));
  CHECK_NOTHROW(kernels.entry<GateCall>("call_kernel"));
  expect_kernels_of_type<float>(kernels);
  expect_kernels_of_type<double>(kernels);
  expect_kernels_of_type<Half>(kernels);
  expect_kernels_of_type<BFloat16>(kernels);
  CHECK(kernels.entries().size() == 22);
}

/// A Gram matrix and IMTL-G in its last block; all that comes out.
std::vector<double> gram_and_rule(int T, std::int64_t n, const PtxLauncher& launcher) {
  const fuller::Weighting<fuller::IMTL_G> weighting;
  const auto count = static_cast<std::size_t>(T);
  std::vector<std::vector<float>> gradients;
  std::vector<TensorView> views;
  const Layout layout = row(n);
  for (unsigned i = 0; i < count; ++i) {
    gradients.push_back(normal_numbers<float>(n, i, 0.1));
    views.push_back(layout.view(gradients.back().data()));
  }
  const TensorLists lists{views.data(), 1, T, Element::float32};
  std::vector<double> workspace(static_cast<std::size_t>(gram_workspace(T, 1, n)), nan);
  workspace[0] = 0;
  std::vector<double> gram(count * count, nan);
  std::vector<double> shared(count, nan);
  std::vector<double> heads(count, nan);
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(T)));
  std::vector<double> scratch(static_cast<std::size_t>(rule_scratch(weighting, T)));
  std::vector<fuller::Condition> conditions(count);
  std::int64_t counters[2] = {};
  weighting.initialise(T, state.data());
  GramRequest request;
  request.parts = &lists;
  request.part_count = 1;
  request.tasks = T;
  request.gram = gram.data();
  request.workspace = workspace.data();
  RuleCall& call = request.rule;
  call.number = rule_number<fuller::IMTL_G>;
  call.tasks = T;
  call.present = (std::uint64_t{1} << static_cast<unsigned>(T)) - 1;
  call.weighting = &weighting;
  call.gram = gram.data();
  call.counters = counters;
  call.state = state.data();
  call.shared = shared.data();
  call.heads = heads.data();
  call.conditions = conditions.data();
  call.scratch = scratch.data();
  REQUIRE(submit(request, launcher) == Outcome::done);
  REQUIRE(workspace[0] == 0);
  REQUIRE(counters[0] == 1);
  gram.insert(gram.end(), shared.begin(), shared.end());
  gram.insert(gram.end(), heads.begin(), heads.end());
  gram.insert(gram.end(), state.begin(), state.end());
  return gram;
}

TEST_CASE("no order of blocks and threads shows in the matrix or in the weights", "[ptx]") {
  FULLER_NEEDS_UNIT();
  const std::pair<int, std::int64_t> cases[] = {{2, 9000}, {6, 4200}};
  for (const auto& [T, n] : cases) {
    const std::vector<double> first = gram_and_rule(T, n, PtxLauncher(*Unit::named(), {}));
    for (const double x : first) REQUIRE(std::isfinite(x));
    for (unsigned seed = 0; seed < 12; ++seed) {
      INFO("T = " << T << ", seed " << seed);
      REQUIRE(gram_and_rule(T, n, PtxLauncher(*Unit::named(), {Order::random, seed, 2 + seed % 5})) == first);
    }
  }
}

TEST_CASE("rules do not rest on the last bits of the device's approximate reciprocal", "[ptx]") {
  FULLER_NEEDS_UNIT();
  struct Restore {
    ~Restore() { Unit::named()->machine.approximation_error = 0; }
  } const restore;
  for (const int error : {-1, 1}) {
    Unit::named()->machine.approximation_error = error;
    check_rule(fuller::DWA(), 3, {{}, {}, {}, {}, {}, {}});
    check_rule(fuller::GradNorm(), 3, {{}, {}, {}});
    check_rule(fuller::WPCGrad(), 3, {{}, {}, {}});
  }
}

// ------------------------------------------------------------------------------------------------------------------ 2^33
// elements

/// Zeros that take no memory until they are touched; null where the machine does not give them.
class Zeros {
 public:
  explicit Zeros(std::int64_t n) : bytes_(static_cast<std::size_t>(n) * sizeof(float)) {
    void* const got = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    data_ = got == MAP_FAILED ? nullptr : static_cast<float*>(got);
  }
  ~Zeros() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  Zeros(const Zeros&) = delete;
  Zeros& operator=(const Zeros&) = delete;
  float* data() const { return data_; }

 private:
  std::size_t bytes_;
  float* data_ = nullptr;
};

constexpr std::int64_t huge = std::int64_t{1} << 33;
constexpr int numbers = 64;

/// The numbers that are not 0, all of them in the last of 4096 units.
std::int64_t place(int k) {
  constexpr std::int64_t unit = huge / 4096;
  return huge - unit + 1 + k * (unit / numbers - 3);
}

/// The ticket as all other blocks have left it, and their partial sums.
std::vector<double> workspace_of_others(std::int64_t doubles) {
  std::vector<double> space(static_cast<std::size_t>(doubles), 0.0);
  const unsigned others = 4095;
  std::memcpy(space.data(), &others, sizeof others);
  return space;
}

/// Runs the block of the last unit alone.
class LastBlock {
 public:
  LastBlock() : launcher_(*Unit::named(), {Order::forward, 0, 1, {-1}}) {}
  template <class Request>
  void run(const Request& request) const {
    REQUIRE(submit(request, launcher_) == Outcome::done);
  }

 private:
  PtxLauncher launcher_;
};

struct Huge {
  Zeros a{huge + (1 << 20)};
  Zeros b{huge + (1 << 20)};
  Zeros out{huge + 8};
  bool is_there() const { return a.data() != nullptr && b.data() != nullptr && out.data() != nullptr; }
};

void check_huge_gram(const Huge& memory, const Layout& layout) {
  const std::vector<float> x = normal_numbers<float>(numbers, 5, 0.5);
  std::vector<long double> right(4);
  for (int k = 0; k < numbers; ++k) {
    const float of_a = x[static_cast<std::size_t>(k)];
    const float of_b = x[static_cast<std::size_t>(numbers - 1 - k)];
    memory.a.data()[layout.offset(place(k))] = of_a;
    memory.b.data()[layout.offset(place(k))] = of_b;
    right[0] += static_cast<long double>(of_a) * of_a;
    right[1] += static_cast<long double>(of_a) * of_b;
    right[3] += static_cast<long double>(of_b) * of_b;
  }
  const TensorView views[] = {layout.view(memory.a.data()), layout.view(memory.b.data())};
  const TensorLists lists{views, 1, 2, Element::float32};
  std::vector<double> space = workspace_of_others(gram_workspace(2, 1, huge));
  std::vector<double> gram(4, nan);
  GramRequest request;
  request.parts = &lists;
  request.part_count = 1;
  request.tasks = 2;
  request.gram = gram.data();
  request.workspace = space.data();
  LastBlock().run(request);
  for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
    REQUIRE(std::abs(static_cast<long double>(gram[k]) - right[k]) <= 1e-12L * std::sqrt(right[0] * right[3]));
  }
  REQUIRE(space[0] == 0);
}

void clear(const Huge& memory, const Layout& layout) {
  for (int k = 0; k < numbers; ++k) memory.a.data()[layout.offset(place(k))] = memory.b.data()[layout.offset(place(k))] = 0;
}

TEST_CASE("the last of 2^33 elements are where they should be", "[ptx]") {
  FULLER_NEEDS_UNIT();
  const Huge memory;
  if (!memory.is_there()) FULLER_SKIP("no address space for 2^33 elements");
  const Layout with_gaps{{std::int64_t{1} << 20, 1 << 13}, {(1 << 13) + 1, 1}};
  check_huge_gram(memory, with_gaps);
  clear(memory, with_gaps);
  const Layout layout = row(huge);
  check_huge_gram(memory, layout);
  const float* const a = memory.a.data();
  const float* const b = memory.b.data();
  float* const out = memory.out.data();

  const double weights[] = {0.5, -3};
  const TensorView views[] = {layout.view(a), layout.view(b), layout.view(out)};
  SumRequest sum;
  sum.tensors = {views, 1, 3, Element::float32};
  sum.weights = weights;
  LastBlock().run(sum);

  const std::int64_t widths[] = {3, 5};
  std::vector<double> norms(2, nan);
  std::vector<double> space = workspace_of_others(norm_workspace(huge));
  NormRequest norm;
  norm.weight = a;
  norm.outer = huge / 8;
  norm.widths = widths;
  norm.slices = 2;
  norm.squared_norms = norms.data();
  norm.workspace = space.data();
  LastBlock().run(norm);

  long double right[2] = {};
  for (int k = 0; k < numbers; ++k) {
    const std::int64_t at = place(k);
    right[at % 8 < 3 ? 0 : 1] += static_cast<long double>(a[at]) * a[at];
    REQUIRE(out[at] == std::fma(-3.0F, b[at], 0.5F * a[at]));
  }
  for (const std::size_t m : {std::size_t{0}, std::size_t{1}}) {
    REQUIRE(std::abs(static_cast<long double>(norms[m]) - right[m]) <= 1e-12L * right[m]);
  }
  memory.a.data()[huge - 1] = 2;  // of slice 1, and of the last block
  memory.a.data()[huge - 1024] = 4;
  ScaleRequest scale;
  scale.in = a;
  scale.out = out;
  scale.outer = huge / 8;
  scale.widths = widths;
  scale.slices = 2;
  scale.scales = weights;
  LastBlock().run(scale);
  REQUIRE(out[huge - 1] == -6);
  REQUIRE(out[huge - 1024] == 2);
}

}  // namespace

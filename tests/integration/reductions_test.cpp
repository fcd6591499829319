// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <fuller/tensor/ghost_gram.hpp>
#include <fuller/tensor/reductions.hpp>

#include "support/catch.hpp"

namespace {

using Lists = std::vector<std::vector<at::Tensor>>;

// The oracle: elements read one by one in logical order, whatever the layout, products and sums in long double.
std::vector<long double> logical_elements(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.is_sparse() ? tensor.to_dense() : tensor;
  const at::Tensor flat = dense.to(at::kDouble).contiguous().view({-1});
  std::vector<long double> values;
  for (std::int64_t e = 0; e < flat.numel(); ++e) {
    values.push_back(static_cast<long double>(flat.data_ptr<double>()[e]));
  }
  return values;
}

long double dot_in_long_double(const at::Tensor& a, const at::Tensor& b) {
  const std::vector<long double> x = logical_elements(a);
  const std::vector<long double> y = logical_elements(b);
  long double sum = 0;
  for (std::size_t e = 0; e < x.size(); ++e) {
    sum += x[e] * y[e];
  }
  return sum;
}

long double dot_of_lists(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  long double sum = 0;
  for (std::size_t k = 0; k < a.size() && !b.empty(); ++k) {
    if (a[k].defined() && b[k].defined()) {
      sum += dot_in_long_double(a[k], b[k]);
    }
  }
  return sum;
}

void check_gram(const Lists& gradients) {
  const std::size_t tasks = gradients.size();
  std::vector<double> gram(tasks * tasks, -1.0);
  fuller::gram_matrix(gradients, gram.data());
  for (std::size_t i = 0; i < tasks; ++i) {
    for (std::size_t j = 0; j < tasks; ++j) {
      const long double bound =
          1e-12L * std::sqrt(dot_of_lists(gradients[i], gradients[i]) * dot_of_lists(gradients[j], gradients[j]));
      INFO(i << ", " << j);
      REQUIRE(std::abs(static_cast<long double>(gram[i * tasks + j]) - dot_of_lists(gradients[i], gradients[j])) <= bound);
    }
  }
}

at::Tensor random(at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  return (at::randn(shape, at::kDouble) + 0.2).to(type);
}

TEST_CASE("the Gram matrix of tensors in any layout", "[reductions]") {
  at::manual_seed(1);
  const auto conv = [] { return random({6, 5, 3, 3}); };
  SECTION("contiguous") { check_gram({{conv()}, {conv()}, {conv()}}); }
  SECTION("all channels_last") {
    const auto last = [&] { return conv().contiguous(at::MemoryFormat::ChannelsLast); };
    check_gram({{last()}, {last()}});
  }
  SECTION("one channels_last, one contiguous") { check_gram({{conv()}, {conv().contiguous(at::MemoryFormat::ChannelsLast)}}); }
  SECTION("all transposed") { check_gram({{random({7, 9}).t()}, {random({7, 9}).t()}}); }
  SECTION("one transposed") { check_gram({{random({9, 7})}, {random({7, 9}).t()}}); }
  SECTION("expanded, as the gradient of a sum is") { check_gram({{random({1}).expand({4, 6})}, {random({4, 6})}}); }
  SECTION("all expanded") { check_gram({{random({1, 6}).expand({4, 6})}, {random({4, 1}).expand({4, 6})}}); }
  SECTION("with gaps") { check_gram({{random({8, 10}).slice(1, 0, 10, 2)}, {random({8, 5})}}); }
  SECTION("overlapping") { check_gram({{random({12}).as_strided({4, 6}, {1, 1})}, {random({4, 6})}}); }
  SECTION("at an odd offset") { check_gram({{random({101}).slice(0, 1)}, {random({100})}}); }
  SECTION("one tensor twice") {
    const at::Tensor same = conv();
    check_gram({{same}, {same}, {conv()}});
  }
  SECTION("dimensions of one element, whose strides mean nothing") {
    check_gram({{random({5, 1, 3}).as_strided({5, 1, 3}, {3, 77, 1})}, {random({5, 1, 3})}});
  }
  SECTION("scalars") { check_gram({{random({})}, {random({})}}); }
  SECTION("empty") { check_gram({{random({0, 3})}, {random({0, 3})}}); }
  SECTION("sparse") { check_gram({{random({4, 3}).to_sparse()}, {random({4, 3})}}); }
}

TEST_CASE("the Gram matrix sums over the list, and knows who is absent", "[reductions]") {
  at::manual_seed(2);
  const auto list = [] {
    return std::vector<at::Tensor>{random({3, 4}), random({5}, at::kDouble), random({2, 2}, at::kBFloat16)};
  };
  SECTION("mixed dtypes along the list") { check_gram({list(), list(), list()}); }
  SECTION("undefined entries count as zeros") {
    auto lists = Lists{list(), list(), list()};
    lists[0][1] = at::Tensor();
    lists[2][1] = at::Tensor();
    lists[1][2] = at::Tensor();
    check_gram(lists);
  }
  SECTION("an absent task has a row of zeros") {
    const Lists lists{list(), {}, list()};
    check_gram(lists);
    std::vector<double> gram(9, std::numeric_limits<double>::quiet_NaN());
    fuller::gram_matrix(lists, gram.data());
    for (const std::size_t entry : {1U, 3U, 4U, 5U, 7U}) {
      REQUIRE(gram[entry] == 0.0);
    }
  }
  SECTION("an entry no task has") { check_gram({{at::Tensor(), random({3})}, {at::Tensor(), random({3})}}); }
  SECTION("nobody present") {
    double gram[4] = {1, 1, 1, 1};
    fuller::gram_matrix({{}, {}}, gram);
    REQUIRE((gram[0] == 0 && gram[1] == 0 && gram[2] == 0 && gram[3] == 0));
  }
  SECTION("tasks of unlike dtypes") { check_gram({{random({300})}, {random({300}, at::kHalf)}, {random({300}, at::kDouble)}}); }
}

TEST_CASE("neither the threads nor requires_grad change the Gram matrix", "[reductions]") {
  at::manual_seed(3);
  const Lists lists{{random({300001})}, {random({300001}).requires_grad_()}};
  double one[4];
  double two[4];
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  fuller::gram_matrix(lists, one);
  at::set_num_threads(2);
  fuller::gram_matrix(lists, two);
  at::set_num_threads(threads);
  for (int k = 0; k < 4; ++k) {
    REQUIRE(one[k] == two[k]);
  }
}

TEST_CASE("gradients that cannot be compared are refused in words", "[reductions]") {
  double gram[4];
  const auto refuses = [&](const Lists& lists, const std::string& words) {
    std::string said;
    try {
      fuller::gram_matrix(lists, gram);
    } catch (const fuller::Error& error) {
      said = error.what();
    }
    INFO(said);
    REQUIRE(said.find(words) != std::string::npos);
  };
  refuses({{random({3})}, {random({3}), random({3})}}, "task 1 has 2 gradients");
  refuses({{random({3})}, {random({4})}}, "gradient 0 of task 1 has the shape [4]");
  refuses({{at::ones({3}, at::kLong)}, {at::ones({3}, at::kLong)}}, "real floating types");
}

void check_slices(const at::Tensor& weight, const std::vector<std::int64_t>& widths, std::int64_t dim) {
  std::vector<double> norms(widths.size(), -1.0);
  fuller::slice_squared_norms(weight, widths, dim, norms.data());
  std::int64_t from = 0;
  for (std::size_t m = 0; m < widths.size(); ++m) {
    const at::Tensor slice = weight.narrow(dim, from, widths[m]);
    const long double exact = dot_in_long_double(slice, slice);
    INFO("slice " << m);
    REQUIRE(std::abs(static_cast<long double>(norms[m]) - exact) <= 1e-12L * exact);
    from += widths[m];
  }
}

TEST_CASE("the norms of channel slices in any layout", "[reductions]") {
  at::manual_seed(4);
  const at::Tensor conv = random({8, 7, 3, 3});
  check_slices(conv, {4, 3}, 1);
  check_slices(conv.contiguous(at::MemoryFormat::ChannelsLast), {4, 3}, 1);
  check_slices(random({7, 8, 3, 3}).transpose(0, 1), {1, 6}, 1);
  check_slices(conv.to(at::kBFloat16), {2, 2, 3}, 1);
  check_slices(random({8, 7, 3, 3, 2}), {4, 3}, 1);
  check_slices(random({8, 7, 3, 3, 2}).contiguous(at::MemoryFormat::ChannelsLast3d), {4, 3}, 1);
  check_slices(random({20, 300}, at::kDouble), {100, 200}, 1);
  check_slices(random({300, 20}).t(), {100, 200}, 1);
  check_slices(random({20, 30}), {12, 8}, 0);
  check_slices(random({5, 1, 3, 3}), {1}, 1);
  check_slices(random({5, 1, 3, 3}).as_strided({5, 1, 3, 3}, {9, 77, 3, 1}), {0, 1}, 1);
  check_slices(random({1, 9}).expand({6, 9}), {4, 5}, 1);
  check_slices(random({6, 18}).slice(1, 0, 18, 2), {4, 5}, 1);
  double norms[2];
  REQUIRE_THROWS_AS(fuller::slice_squared_norms(conv, {4, 4}, 1, norms), fuller::Error);
  REQUIRE_THROWS_AS(fuller::slice_squared_norms(conv, {4, 3}, 4, norms), fuller::Error);
  REQUIRE_THROWS_AS(fuller::slice_squared_norms(conv, {8, -1}, 1, norms), fuller::Error);
}

void check_weighted_sum(const std::vector<at::Tensor>& cotangents, const std::vector<double>& weights, double tolerance) {
  std::vector<at::Tensor> before;
  at::Tensor exact;
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    before.push_back(cotangents[i].defined() ? cotangents[i].clone() : at::Tensor());
    if (cotangents[i].defined() && weights[i] != 0) {
      const at::Tensor term = cotangents[i].to(at::kDouble) * weights[i];
      exact = exact.defined() ? exact + term : term;
    }
  }
  const at::Tensor sum = fuller::weighted_sum(cotangents, weights.data());
  REQUIRE(sum.sizes() == exact.sizes());
  REQUIRE((sum.to(at::kDouble) - exact).abs().max().item<double>() <= tolerance);
  sum.fill_(77);
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    if (cotangents[i].defined()) {
      REQUIRE(cotangents[i].equal(before[i]));
    }
  }
}

TEST_CASE("the weighted sum in any layout aliases nothing and writes nothing", "[reductions]") {
  at::manual_seed(5);
  const at::Tensor a = random({2, 5, 4, 3});
  const at::Tensor b = random({2, 5, 4, 3});
  const at::Tensor b_last = b.contiguous(at::MemoryFormat::ChannelsLast);
  check_weighted_sum({a, b}, {0.7, -1.2}, 1e-5);
  check_weighted_sum({a}, {1.0}, 0.0);
  check_weighted_sum({a, a}, {0.5, 0.25}, 1e-5);  // two heads that add their inputs share one cotangent
  check_weighted_sum({a, b_last}, {0.7, 0.1}, 1e-5);
  check_weighted_sum({random({1}).expand({2, 5, 4, 3}), b}, {0.7, 0.1}, 1e-5);
  check_weighted_sum({random({1}).expand({6}), random({1}).expand({6})}, {0.7, 0.1}, 1e-5);
  check_weighted_sum({a, at::Tensor(), b}, {0.7, 1e9, 0.1}, 1e-5);
  check_weighted_sum({random({40}, at::kDouble), random({40}, at::kDouble)}, {0.7, 0.1}, 1e-14);
  REQUIRE(fuller::weighted_sum({b_last, b_last}, std::vector<double>{1, 2}.data()).is_contiguous(at::MemoryFormat::ChannelsLast));
  REQUIRE(fuller::weighted_sum({a.expand({2, 5, 4, 3}), b}, std::vector<double>{1, 2}.data()).is_contiguous());
}

TEST_CASE("half cotangents stay half and are rounded once", "[reductions]") {
  at::manual_seed(6);
  for (const at::ScalarType type : {at::kHalf, at::kBFloat16}) {
    const at::Tensor a = random({1000}, type);
    const at::Tensor b = random({1000}, type);
    const std::vector<double> weights{0.5, 0.25};  // powers of two, so float sums are exact here but for one rounding
    const at::Tensor sum = fuller::weighted_sum({a, b}, weights.data());
    REQUIRE(sum.scalar_type() == type);
    REQUIRE(sum.equal((a.to(at::kFloat) * 0.5 + b.to(at::kFloat) * 0.25).to(type)));
  }
}

TEST_CASE("weights of zero select, NaN weights propagate", "[reductions]") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor ones = at::ones({3, 4});
  const at::Tensor bad = at::full({3, 4}, nan);
  const auto sum = [](const std::vector<at::Tensor>& cotangents, const std::vector<double>& weights) {
    return fuller::weighted_sum(cotangents, weights.data());
  };
  REQUIRE(sum({ones, bad}, {2, 0}).equal(ones * 2));
  REQUIRE(sum({bad, ones}, {0, 2}).equal(ones * 2));
  REQUIRE(sum({ones, bad}, {0, 0}).equal(at::zeros({3, 4})));
  REQUIRE(sum({at::Tensor(), bad}, {1, 0}).equal(at::zeros({3, 4})));
  REQUIRE_FALSE(sum({at::Tensor(), at::Tensor()}, {1, 1}).defined());
  REQUIRE(sum({ones, ones}, {1, nan}).isnan().all().item<bool>());
  REQUIRE(sum({ones, bad}, {1, 1}).isnan().all().item<bool>());
  REQUIRE_THROWS_AS(sum({ones, at::ones({4, 3})}, {1, 1}), fuller::Error);
}

TEST_CASE("complex cotangents go by way of ATen", "[reductions]") {
  const at::Tensor z = at::complex(at::full({3}, 1.0), at::full({3}, 2.0));
  const std::vector<double> weights{2.0, 0.5};
  const at::Tensor sum = fuller::weighted_sum({z, z}, weights.data());
  REQUIRE(at::real(sum).equal(at::full({3}, 2.5)));
  REQUIRE(at::imag(sum).equal(at::full({3}, 5.0)));
  // A lazily negated view: its memory holds the opposite sign.
  const at::Tensor negated = at::imag(z.conj());
  REQUIRE(negated.is_neg());
  REQUIRE(fuller::weighted_sum({negated, negated}, weights.data()).equal(at::full({3}, -5.0)));
  check_gram({{negated}, {at::full({3}, 1.0)}});
}

TEST_CASE("the Gram matrix of a linear layer without its weight gradients", "[reductions]") {
  at::manual_seed(7);
  const auto check_ghost = [](const at::Tensor& x, const std::vector<at::Tensor>& dy, bool with_bias) {
    std::vector<double> ghost(dy.size() * dy.size(), -1.0);
    fuller::ghost_gram_matrix(x, dy, with_bias, ghost.data());
    Lists formed;
    const at::Tensor input = x.to(at::kDouble).reshape({-1, x.size(-1)});
    for (const at::Tensor& gradient : dy) {
      formed.emplace_back();
      if (gradient.defined()) {
        const at::Tensor rows = gradient.to(at::kDouble).reshape({-1, gradient.size(-1)});
        formed.back().push_back(rows.t().matmul(input));
        formed.back().push_back(with_bias ? rows.sum(0) : at::zeros({rows.size(1)}, at::kDouble));
      }
    }
    for (std::size_t i = 0; i < dy.size(); ++i) {
      for (std::size_t j = 0; j < dy.size(); ++j) {
        const long double bound = 1e-12L * std::sqrt(dot_of_lists(formed[i], formed[i]) * dot_of_lists(formed[j], formed[j]));
        INFO(i << ", " << j);
        REQUIRE(std::abs(static_cast<long double>(ghost[i * dy.size() + j]) - dot_of_lists(formed[i], formed[j])) <= bound);
      }
    }
  };
  for (const bool with_bias : {false, true}) {
    check_ghost(random({12, 30}), {random({12, 20}), random({12, 20}), random({12, 20})}, with_bias);
    check_ghost(random({12, 30}), {random({12, 20}), at::Tensor(), random({12, 20})}, with_bias);
    check_ghost(random({3, 4, 30}), {random({3, 4, 20}), random({3, 4, 20})}, with_bias);
    check_ghost(random({30, 12}).t(), {random({20, 12}).t(), random({1, 20}).expand({12, 20})}, with_bias);
    check_ghost(random({12, 30}, at::kBFloat16), {random({12, 20}), random({12, 20}, at::kBFloat16)}, with_bias);
    check_ghost(random({0, 30}), {random({0, 20}), random({0, 20})}, with_bias);
    // Samples that cancel: whole numbers, so that what is expected is exact, while x x^T is rounded to 2^6 and more.
    const auto whole = [](at::IntArrayRef shape) { return at::randint(-4, 5, shape, at::kDouble); };
    const at::Tensor up = whole({6, 20});
    const at::Tensor down = whole({6, 20});
    check_ghost(whole({12, 30}) + std::ldexp(1.0, 27), {at::cat({up, -up}), at::cat({down, -down})}, with_bias);
  }
  double gram[4];
  REQUIRE_THROWS_AS(fuller::ghost_gram_matrix(random({12, 30}), {random({12, 20}), random({11, 20})}, false, gram),
                    fuller::Error);
  REQUIRE_THROWS_AS(fuller::ghost_gram_matrix(random({12, 30}), {random({12, 20}), random({12, 21})}, false, gram),
                    fuller::Error);
}

TEST_CASE("ghost Gram matrices are for few rows", "[reductions]") {
  REQUIRE(fuller::ghost_pays(64, 1024, 1024, 4));
  REQUIRE(fuller::ghost_pays(16, 256, 256, 2));
  REQUIRE_FALSE(fuller::ghost_pays(1024, 1024, 1024, 4));
  REQUIRE_FALSE(fuller::ghost_pays(2 * 180 * 180, 256, 256, 2));  // the positions of a bird's eye view
  REQUIRE(fuller::ghost_pays(10 * 7 * 7, 2048, 512, 2));          // of the last stage of a ResNet-50, ten pictures and eleven
  REQUIRE_FALSE(fuller::ghost_pays(11 * 7 * 7, 2048, 512, 2));
  for (const int tasks : {2, 8, 64}) {  // never from half the input's channels on
    REQUIRE_FALSE(fuller::ghost_pays(512, 1024, 1 << 20, tasks));
  }
  REQUIRE_FALSE(fuller::ghost_pays(0, 1024, 1024, 4));
}

TEST_CASE("what serves other devices gives the same numbers", "[reductions]") {
  at::manual_seed(8);
  const auto agrees = [](const at::Tensor& by_aten, const std::vector<double>& by_kernels) {
    const at::Tensor flat = by_aten.contiguous().view({-1});
    REQUIRE(flat.numel() == static_cast<std::int64_t>(by_kernels.size()));
    for (std::size_t k = 0; k < by_kernels.size(); ++k) {
      REQUIRE(flat[static_cast<std::int64_t>(k)].item<double>() == Approx(by_kernels[k]).epsilon(1e-12));
    }
  };
  // A common offset keeps every entry away from zero, where a relative comparison would mean nothing.
  const auto positive = [](at::IntArrayRef shape) { return (at::rand(shape) + 1.0); };
  const std::vector<at::Tensor> conv{positive({6, 5, 3, 3}), positive({6, 5, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast),
                                     positive({6, 5, 3, 3})};
  std::vector<double> numbers(9);
  fuller::gram_matrix({{conv[0]}, {conv[1]}, {conv[2]}}, numbers.data());
  agrees(fuller::detail::gram_by_aten(conv), numbers);

  const std::vector<at::Tensor> dy{positive({12, 20}), positive({12, 20}), positive({12, 20})};
  const at::Tensor x = positive({12, 30});
  for (const bool with_bias : {false, true}) {
    fuller::ghost_gram_matrix(x, dy, with_bias, numbers.data());
    agrees(fuller::detail::ghost_by_aten(x, dy, with_bias), numbers);
  }

  numbers.resize(2);
  fuller::slice_squared_norms(conv[0], {2, 3}, 1, numbers.data());
  agrees(fuller::detail::slice_norms_by_aten(conv[0], {2, 3}, 1), numbers);

  const std::vector<double> weights{0.7, -0.2, 1.5};
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16}) {
    std::vector<at::Tensor> cotangents;
    for (const at::Tensor& tensor : conv) {
      cotangents.push_back(tensor.to(type));
    }
    const at::Tensor by_aten = fuller::detail::weighted_sum_by_aten(cotangents, weights, type);
    const at::Tensor by_kernels = fuller::weighted_sum(cotangents, weights.data());
    REQUIRE(by_aten.scalar_type() == type);
    // A unit of the last place: the sums may be fused or not.
    REQUIRE(at::allclose(by_aten, by_kernels, type == at::kBFloat16 ? 0x1p-7 : 1e-6, 0.0));
  }
}

}  // namespace

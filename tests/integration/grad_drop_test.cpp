// SPDX-License-Identifier: Apache-2.0
// GradDrop in a whole backward equals the paper's formula on the cotangents of one backward for each task, on the host and by
// LibTorch's operations in a device's order; resumed; under every policy; where it cannot be, it is refused.
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>
#include <fuller/tensor/sign_drop.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::GradDrop;
using fuller::GradDropOptions;

namespace {

const std::vector<std::string> three_tasks{"a", "b", "c"};

/// The paper's Algorithm 1 on cotangents [T, n] in doubles, with leaks l.
Tensor by_the_paper(const Tensor& cotangents, const std::vector<double>& leaks, std::uint64_t seed, std::int64_t step,
                    std::uint32_t sequence) {
  const std::int64_t n = cotangents.size(1);
  Tensor uniform = torch::empty({n}, torch::kDouble);
  for (std::int64_t e = 0; e < n; ++e) {
    const auto block = fuller::random_block(seed, step, sequence, static_cast<std::uint32_t>(e / 4));
    uniform[e] = (block.word[e % 4] + 0.5) / 4294967296.0;
  }
  const Tensor purity = 0.5 * (1 + cotangents.sum(0) / cotangents.abs().sum(0));
  const Tensor up = (purity > uniform).to(torch::kDouble);
  const Tensor down = (purity < uniform).to(torch::kDouble);
  Tensor sum = torch::zeros({n}, torch::kDouble);
  for (std::int64_t i = 0; i < cotangents.size(0); ++i) {
    const Tensor& g = cotangents[i];
    const Tensor mask = up * (g > 0).to(torch::kDouble) + down * (g < 0).to(torch::kDouble);
    const double leak = leaks.empty() ? 0 : leaks[static_cast<std::size_t>(i)];
    sum += (leak + (1 - leak) * mask) * g;
  }
  return sum;
}

/// Cotangents of T tasks at a tensor: losses are linear in it, so these are what arrives.
std::vector<Tensor> cotangents_like(const Tensor& z, int seed) {
  std::vector<Tensor> all;
  for (std::size_t i = 0; i < three_tasks.size(); ++i) {
    torch::manual_seed(static_cast<std::uint64_t>(100 * seed) + i);
    all.push_back(torch::randn(z.sizes(), torch::kDouble).to(z.scalar_type()) * (1.0 + static_cast<double>(i)));
  }
  return all;
}

Tensor rows(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> flat;
  for (const Tensor& tensor : tensors) {
    flat.push_back(tensor.to(torch::kDouble).reshape({-1}));
  }
  return torch::stack(flat);
}

/// What a backward leaves at z, whose T losses have these cotangents; undefined ones are absent.
Tensor at_z(Calibration& calibration, const Tensor& z, const std::vector<Tensor>& cotangents, double scale = 1) {
  const Tensor leaf = z.detach().requires_grad_();
  const auto outputs = calibration.fork(leaf * 1.0);
  std::vector<Tensor> losses;
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    losses.push_back(cotangents[i].defined() ? (outputs[i] * cotangents[i]).sum() : Tensor());
  }
  (calibration.sum(losses) * scale).backward();
  return leaf.grad();
}

bool equal_bits(const Tensor& a, const Tensor& b) { return at::equal(a, b); }

}  // namespace

TEST_CASE("GradDrop at the representation is the paper's formula, on the host and in a device's order", "[cuda]") {
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    for (const bool channels_last : {false, true}) {
      INFO(torch::toString(type) << (channels_last ? ", channels last" : ""));
      const std::vector<double> leaks{0, 0.5, 0.25};
      const GradDropOptions rule{leaks, 41};
      CalibrationOptions options;
      options.before = {1, 2, 0.5};
      Calibration host(GradDrop(rule), three_tasks, options);
      Calibration stream(GradDrop(rule), three_tasks, options);
      stream.use(steps_by(Way::host_rule));
      Tensor z = torch::zeros({2, 5, 3, 3}, type);
      z = channels_last ? z.contiguous(at::MemoryFormat::ChannelsLast) : z;
      for (int step = 0; step < 3; ++step) {
        std::vector<Tensor> given = cotangents_like(z, step);
        if (channels_last) {
          given[1] = given[1].contiguous(at::MemoryFormat::ChannelsLast);
        }
        const Tensor static_weights = torch::tensor({1.0, 2.0, 0.5}, torch::kDouble).view({3, 1});
        const Tensor right = by_the_paper(rows(given) * static_weights, leaks, 41, step, 0).view(z.sizes());
        const Tensor found = at_z(host, z, given);
        CHECK((found.to(torch::kDouble) - right).abs().max().item<double>() < (type == torch::kFloat ? 1e-6 : 1e-14));
        CHECK_FALSE(at::allclose(right, (rows(given) * static_weights).sum(0).view(z.sizes())));
        CHECK(equal_bits(at_z(stream, z, given), found));
      }
      CHECK(host.diagnostics().weights == std::vector<double>{1, 2, 0.5});
      CHECK(stream.diagnostics().weights == host.diagnostics().weights);
    }
  }
}

TEST_CASE("The draws by LibTorch's operations are those of the host, bit for bit", "[cuda]") {
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{7}, (std::int64_t{5} << 32) + 3}) {
    const std::uint64_t seed = 0xFEDCBA9876543210u + static_cast<std::uint64_t>(step);
    const fuller::detail::ElementDraws draws{seed, step, 6};
    const Tensor found = fuller::detail::draws_by_aten(1001, seed, torch::tensor(step, torch::kLong), 6);
    const Tensor right = torch::empty({1004}, torch::kDouble);
    for (std::int64_t b = 0; b < 251; ++b) {
      draws.four(b, right.data_ptr<double>() + 4 * b);
    }
    CHECK(equal_bits(found, right.narrow(0, 0, 1001)));
  }
}

TEST_CASE("Levels, steps, seeds and ranks have draws of their own; a power of two of the losses changes none", "[cuda]") {
  const Tensor z = torch::zeros({4, 30}, torch::kFloat);
  const std::vector<Tensor> given = cotangents_like(z, 3);
  Calibration once(GradDrop(), three_tasks);
  const Tensor first = at_z(once, z, given);
  CHECK_FALSE(equal_bits(at_z(once, z, given), first));
  Calibration again(GradDrop(), three_tasks);
  CHECK(equal_bits(at_z(again, z, given, 1024) / 1024, first));
  Calibration other(GradDrop({{}, 1}), three_tasks);
  CHECK_FALSE(equal_bits(at_z(other, z, given), first));

  Calibration levelled(GradDrop(), three_tasks);
  const Tensor one = z.detach().requires_grad_();
  const Tensor two = z.detach().requires_grad_();
  const auto outputs = levelled.fork_levels({one * 1.0, two * 1.0});
  std::vector<Tensor> losses;
  for (std::size_t i = 0; i < three_tasks.size(); ++i) {
    losses.push_back((outputs[i][0] * given[i]).sum() + (outputs[i][1] * given[i]).sum());
  }
  levelled.sum(losses).backward();
  CHECK(equal_bits(one.grad(), first));
  const Tensor right = by_the_paper(rows(given), {}, 0, 0, 1).view(z.sizes());
  CHECK((two.grad().to(torch::kDouble) - right).abs().max().item<double>() < 1e-6);

  for (const int rank : {0, 1}) {
    CalibrationOptions options;
    options.ranks.count = 2;
    options.ranks.rank = rank;
    options.ranks.alike = true;
    options.ranks.average = [](std::vector<Tensor>&) {};
    Calibration ranked(GradDrop(), three_tasks, options);
    const Tensor of_rank = by_the_paper(rows(given), {}, 0, 0, static_cast<std::uint32_t>(rank)).view(z.sizes());
    CHECK((at_z(ranked, z, given).to(torch::kDouble) - of_rank).abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("Heads keep their own gradients under GradDrop, absent tasks and NaN go by the policies", "[cuda]") {
  const Tensor z = torch::ones({2, 3}, torch::kDouble);
  Calibration calibration(GradDrop(), {"a", "b"});
  const Tensor leaf = z.detach().requires_grad_();
  const Tensor head = torch::full({3}, 2.0, torch::kDouble).requires_grad_();
  const auto outputs = calibration.fork<2>(leaf * 1.0);
  calibration.sum({(outputs[0] * head).sum(), -(outputs[1] * 5).sum()}).backward();
  CHECK(equal_bits(head.grad(), torch::full({3}, 2.0, torch::kDouble)));
  CHECK(leaf.grad().eq(2).logical_or(leaf.grad().eq(-5)).all().item<bool>());

  std::vector<Tensor> given = cotangents_like(z, 8);
  given[2] = Tensor();
  Calibration two(GradDrop(), three_tasks);
  const Tensor right = by_the_paper(rows({given[0], given[1]}), {}, 0, 0, 0).view(z.sizes());
  CHECK(at::allclose(at_z(two, z, given), right, 1e-14, 0));
  given[1] = Tensor();
  CHECK(equal_bits(at_z(two, z, given), given[0]));

  given = cotangents_like(z, 9);
  given[1][0][1] = std::nan("");
  for (const bool on_host : {true, false}) {
    INFO((on_host ? "host" : "stream"));
    Calibration propagates(GradDrop(), three_tasks);
    CalibrationOptions options;
    options.non_finite = fuller::NonFinite::skip;
    Calibration skips(GradDrop(), three_tasks, options);
    if (!on_host) {
      propagates.use(steps_by(Way::host_rule));
      skips.use(steps_by(Way::host_rule));
    }
    const Tensor seen = at_z(propagates, z, given);
    CHECK(seen.isnan().sum().item<std::int64_t>() == 1);
    CHECK(std::isnan(seen[0][1].item<double>()));
    const Tensor without = by_the_paper(rows({given[0], given[2]}), {}, 0, 0, 0).view(z.sizes());
    CHECK(at::allclose(at_z(skips, z, given), without, 1e-14, 0));
    CHECK(skips.diagnostics().conditions[1] == fuller::Condition::non_finite);
  }
}

TEST_CASE("GradDrop goes on after a resume as if it had never stopped, from the host into a device's order too", "[cuda]") {
  const Tensor z = torch::zeros({3, 7}, torch::kFloat);
  const GradDropOptions rule{{0.5, 0, 0}, 5};
  Calibration half(GradDrop(rule), three_tasks);
  for (int step = 0; step < 3; ++step) {
    at_z(half, z, cotangents_like(z, step));
  }
  std::stringstream stream;
  torch::save(half, stream);
  for (const bool on_device : {false, true}) {
    stream.seekg(0);
    Calibration resumed(GradDrop(rule), three_tasks);
    if (on_device) {
      resumed.use(steps_by(Way::host_rule));
    }
    torch::load(resumed, stream);
    for (int step = 3; step < 5; ++step) {
      const Tensor found = at_z(resumed, z, cotangents_like(z, step));
      const Tensor right = by_the_paper(rows(cotangents_like(z, step)), {0.5, 0, 0}, 5, step, 0).view(z.sizes());
      CHECK((found.to(torch::kDouble) - right).abs().max().item<double>() < 1e-6);
    }
  }
}

TEST_CASE("GradDrop is refused where it cannot be, with the way out", "[cuda]") {
  for (const auto surface : {fuller::Surface::last_shared, fuller::Surface::all_shared}) {
    CalibrationOptions options;
    options.surface = surface;
    const std::string said = thrown_by([&] { Calibration(GradDrop(), three_tasks, options); });
    CHECK(contains(said, "Surface::representation"));
    CHECK(contains(said, "leave options.surface out"));
  }
  Calibration calibration(GradDrop(), three_tasks);
  const std::string said = thrown_by([&] { calibration.use(steps_by(Way::kernels)); });
  CHECK(contains(said, "do not know the rule 'GradDrop'"));
  CHECK(contains(said, "host_rules_on(device)"));
}

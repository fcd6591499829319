// SPDX-License-Identifier: Apache-2.0
// UnimodalAssist in a whole backward, with task weights and gates, equals the law on two backwards apart; on ranks it decides as
// on all samples together.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/fusion.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Pareto;
using fuller::UnimodalAssist;

namespace {

const std::vector<std::string> tasks{"near", "far"};
const std::vector<std::string> modalities{"lidar", "camera"};

/// Weights of small linear heads of the branches, one for each, so that their losses pull another way than the fused ones.
struct Assisted {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  Tensors own;  ///< targets of the branches' own losses

  Assisted() {
    for (const Tensor& feature : net.features()) {
      torch::manual_seed(static_cast<std::uint64_t>(feature.size(1)));
      own.push_back(torch::randn(feature.sizes(), torch::kDouble));
    }
  }

  Tensor own_loss(std::size_t m, const Tensor& feature) const { return 0.05 * (feature * own[m]).sum(); }
};

/// The gradients of all parameters after a step with the assistance.
Tensors assisted_gradients(Assisted& all, Calibration& calibration, UnimodalAssist& assist, bool gates) {
  clear(all.net.parameters());
  Tensors features = all.net.features();
  Tensor own = torch::zeros({}, torch::kDouble);
  for (std::size_t m = 0; m < features.size(); ++m) {
    const auto branch = assist(modalities[m], features[m]);
    features[m] = branch.fused;
    own = own + all.own_loss(m, branch.unimodal);
  }
  if (gates) {
    features = calibration.gate(features, all.net.weights().front());
  }
  const auto z = calibration.fork(all.net.shared(all.net.fuse(features)));
  (calibration.sum({all.net.loss(0, z[0]), all.net.loss(1, z[1])}) + own).backward();
  return gradients_of(all.net.parameters());
}

/// The same without: what the fused losses give at the features, by a calibration of its own, then the law by hand.
Tensors by_two_backwards(Assisted& all, Calibration& calibration, bool gates) {
  clear(all.net.parameters());
  Tensors features;
  Tensors leaves;
  for (const Tensor& feature : all.net.features()) {
    leaves.push_back(feature.detach().requires_grad_());
    features.push_back(leaves.back() * 1.0);
  }
  if (gates) {
    features = calibration.gate(features, all.net.weights().front());
  }
  const auto z = calibration.fork(all.net.shared(all.net.fuse(features)));
  calibration.sum({all.net.loss(0, z[0]), all.net.loss(1, z[1])}).backward();
  const Tensors again = all.net.features();
  for (std::size_t m = 0; m < again.size(); ++m) {
    const Tensor fused = leaves[m].grad();
    const Tensor own = 0.05 * all.own[m];
    const auto scales =
        Pareto()((fused * fused).sum().item<double>(), (fused * own).sum().item<double>(), (own * own).sum().item<double>());
    again[m].backward(scales.fused * fused + scales.unimodal * own);
  }
  return gradients_of(all.net.parameters());
}

}  // namespace

TEST_CASE("UnimodalAssist in one backward is two backwards and the law, under any surface, with gates or without") {
  for (const auto surface : {fuller::Surface::last_shared, fuller::Surface::representation, fuller::Surface::all_shared}) {
    for (const bool gates : {false, true}) {
      INFO("surface " << static_cast<int>(surface) << (gates ? ", gates" : ""));
      Assisted all;
      CalibrationOptions options;
      options.surface = surface;
      const bool shared = surface == fuller::Surface::all_shared;
      // What all parameters compare reaches beyond the features, which the oracle cuts: equal weights by hand there.
      const auto made = [&] {
        Calibration one =
            shared ? Calibration(fuller::Constant({0.3, 0.9}), tasks, options) : Calibration(fuller::IMTL_G(), tasks, options);
        if (gates) {
          one.modalities(fuller::MLB(), modalities);
        }
        return one;
      };
      Calibration with = made();
      Calibration without = made();
      UnimodalAssist assist(Pareto(), modalities);
      const Tensors found = assisted_gradients(all, with, assist, gates);
      const Tensors right = by_two_backwards(all, without, gates);
      CHECK(difference(found, right) < 1e-9);
      CHECK(assist.shown("lidar").backwards == 1);
      CHECK(assist.shown("camera").scales.fused > 0);
      CHECK(assist.shown("lidar").cosine == Approx(assist.shown("lidar").cosine));  // a number
    }
  }
}

TEST_CASE("Passes that compare task gradients go through UnimodalAssist as if it were not there") {
  Assisted all;
  CalibrationOptions options;
  options.surface = fuller::Surface::all_shared;
  Calibration with(fuller::IMTL_G(), tasks, options);
  Calibration without(fuller::IMTL_G(), tasks, options);
  UnimodalAssist assist(Pareto(), modalities);
  assisted_gradients(all, with, assist, false);
  clear(all.net.parameters());
  const auto z = without.fork(all.net.shared(all.net.fuse(all.net.features())));
  without.sum({all.net.loss(0, z[0]), all.net.loss(1, z[1])}).backward();
  CHECK(with.diagnostics().weights[0] == Approx(without.diagnostics().weights[0]).epsilon(1e-9));
  CHECK_FALSE(with.diagnostics().one_more.empty());
  CHECK(assist.shown("camera").backwards == 1);
}

TEST_CASE("A branch that one loss alone reaches gets its gradient as it is; conflicts are counted", "[gates]") {
  UnimodalAssist assist(Pareto(), {"a"});
  const auto step = [&](const std::vector<double>& fused, const std::vector<double>& own) {
    const Tensor leaf = torch::ones({2}, torch::kDouble).requires_grad_();
    const auto branch = assist("a", leaf * 1.0);
    Tensor loss = torch::zeros({}, torch::kDouble);
    loss = fused.empty() ? loss : loss + (branch.fused * torch::tensor(fused, torch::kDouble)).sum();
    loss = own.empty() ? loss : loss + (branch.unimodal * torch::tensor(own, torch::kDouble)).sum();
    loss.backward();
    return leaf.grad();
  };
  CHECK(at::equal(step({1, 2}, {}), torch::tensor({1.0, 2.0}, torch::kDouble)));
  CHECK(at::equal(step({}, {1, 2}), torch::tensor({1.0, 2.0}, torch::kDouble)));
  CHECK(assist.shown("a").backwards == 0);
  CHECK(at::equal(step({1, 0}, {2, 1}), torch::tensor({4.5, 1.5}, torch::kDouble)));
  // By hand in pareto_test.cpp: (1/5, 2/5) brought to the length 1 of the sum, times 1.5.
  const Tensor right = torch::tensor({1.5 / std::sqrt(5.0), 3 / std::sqrt(5.0)}, torch::kDouble);
  CHECK(at::allclose(step({1, 0}, {-1, 1}), right, 1e-12, 0));
  CHECK(assist.shown("a").backwards == 2);
  CHECK(assist.shown("a").conflicts == 1);
  CHECK(assist.shown("a").cosine == Approx(-1 / std::sqrt(2.0)));
  CHECK(std::isnan(step({1, 0}, {std::nan(""), 1})[0].item<double>()));

  const torch::NoGradGuard off;
  const Tensor leaf = torch::ones({2}, torch::kDouble).requires_grad_();
  CHECK(assist("a", leaf).fused.is_same(leaf));
}

TEST_CASE("Ranks of UnimodalAssist decide by all samples", "[gates]") {
  // Two ranks, one after the other: what the first would have sent is what the second finds, and the other way round.
  const std::vector<std::vector<double>> fused{{1, 0, 0}, {0, 2, 1}};
  const std::vector<std::vector<double>> own{{-2, 1, 0}, {1, 0, 1}};
  std::vector<double> grams[2];
  for (const std::size_t r : {std::size_t{0}, std::size_t{1}}) {
    double a = 0;
    double b = 0;
    double c = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      a += fused[r][k] * fused[r][k];
      b += fused[r][k] * own[r][k];
      c += own[r][k] * own[r][k];
    }
    grams[r] = {a, b, b, c};
  }
  const auto scales = Pareto()(grams[0][0] + grams[1][0], grams[0][1] + grams[1][1], grams[0][3] + grams[1][3]);
  for (const std::size_t r : {std::size_t{0}, std::size_t{1}}) {
    fuller::Ranks ranks;
    ranks.count = 2;
    ranks.rank = static_cast<int>(r);
    ranks.average = [&](std::vector<Tensor>& tensors) {
      REQUIRE(tensors.size() == 1);
      tensors[0].add_(torch::tensor(grams[1 - r], torch::kDouble)).div_(2);
    };
    UnimodalAssist assist(Pareto(), {"a"}, ranks);
    const Tensor leaf = torch::ones({3}, torch::kDouble).requires_grad_();
    const auto branch = assist("a", leaf * 1.0);
    const Tensor f = torch::tensor(fused[r], torch::kDouble);
    const Tensor u = torch::tensor(own[r], torch::kDouble);
    ((branch.fused * f).sum() + (branch.unimodal * u).sum()).backward();
    CHECK(at::allclose(leaf.grad(), scales.fused * f + scales.unimodal * u, 1e-12, 0));
  }
}

TEST_CASE("UnimodalAssist refuses what it cannot do, with the way out", "[gates]") {
  CHECK(contains(thrown_by([] { UnimodalAssist(Pareto(), {}); }), "at least one branch"));
  CHECK(contains(thrown_by([] { UnimodalAssist(Pareto(), {"a", "a"}); }), "'a' twice"));
  CHECK(contains(thrown_by([] { UnimodalAssist(Pareto({-1}), {"a"}); }), "gamma"));
  fuller::Ranks two;  // without an average each would decide alone
  two.count = 2;
  CHECK(contains(thrown_by([&] { UnimodalAssist(Pareto(), {"a"}, two); }), "UnimodalAssist's ranks.count is 2"));
  UnimodalAssist assist(Pareto(), {"a", "b"});
  CHECK(contains(thrown_by([&] { assist("c", torch::ones({2})); }), "there are 'a', 'b'"));
  CHECK(contains(thrown_by([&] { assist("a", Tensor()); }), "leave the call out"));
  const Tensor leaf = torch::ones({2}, torch::kDouble).requires_grad_();
  const auto branch = assist("a", leaf * 1.0);
  const std::string said = thrown_by([&] {
    torch::autograd::grad({(branch.fused.pow(2) + branch.unimodal).sum()}, {leaf}, {}, /*retain_graph=*/true,
                          /*create_graph=*/true);
  });
  CHECK(contains(said, "create_graph"));
}

// SPDX-License-Identifier: Apache-2.0
// One calibrated backward against T ordinary ones, in float64.
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/eigen.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace {

struct Named {
  const char* name;
  std::function<Network(int)> make;
};

const std::vector<Named> networks{
    {"conv", [](int tasks) { return conv_network(tasks); }},
    {"linear", [](int tasks) { return linear_network(tasks); }},
    {"linear on sequences", [](int tasks) { return sequence_network(tasks); }},
    {"wide linear on a small batch", [](int tasks) { return wide_network(tasks); }},
    {"two levels", [](int tasks) { return pyramid_network(tasks); }},
};

/// The reference's Gram matrix at a surface; the losses come with it.
Eigen::MatrixXd reference_gram(Network& net, const Tensor& x, Surface surface, Tensors& losses) {
  const Tensors z = net.features(x);
  losses.clear();
  for (int i = 0; i < net.tasks(); ++i) {
    losses.push_back(net.loss(i, z));
  }
  return gram_at(losses, surface == Surface::representation ? z
                         : surface == Surface::all_shared   ? net.shared_parameters()
                                                            : net.last);
}

Weights applied(Weights weights, ApplyTo apply_to) {
  if (apply_to == ApplyTo::shared_only) {
    weights.heads.assign(weights.heads.size(), 1.0);
  }
  return weights;
}

}  // namespace

TEST_CASE("IMTL-G in one backward equals T backwards, on every surface and reach") {
  for (const Named& named : networks) {
    for (const int tasks : {1, 2, 3, 5}) {
      for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
        for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
          INFO(named.name << ", " << tasks << " tasks, surface " << static_cast<int>(surface) << ", apply to "
                          << static_cast<int>(apply_to));
          Network net = named.make(tasks);
          const Tensor x = net.input(11);
          Tensors losses;
          const Weights weights = imtl_g(reference_gram(net, x, surface, losses));
          const Tensors expected = expected_gradients(net, x, applied(weights, apply_to));
          CalibrationOptions options;
          options.surface = surface;
          options.apply_to = apply_to;
          Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
          CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
          CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
          CHECK(calibration.steps() == 1);
        }
      }
    }
  }
}

TEST_CASE("GradNorm over several steps equals its formula on the gradients of T backwards") {
  // w <- w - lr sign(w n - mean(w n) r^alpha) n, then scaled to add up to T; r = (L / L0) / mean(L / L0).
  for (int run = 0; run < 2 * static_cast<int>(networks.size()); ++run) {
    const Named& named = networks[static_cast<std::size_t>(run / 2)];
    constexpr int tasks = 3;
    using Array = Eigen::Array<double, tasks, 1>;
    Network net = named.make(tasks);
    fuller::GradNormOptions chosen;
    chosen.learning_rate = 5e-3;
    chosen.use = run % 2 == 0 ? fuller::GradNormOptions::Use::before_update : fuller::GradNormOptions::Use::updated;
    Calibration calibration(fuller::GradNorm(chosen), task_names(tasks));
    Array w = Array::Ones();
    Array initial = Array::Zero();
    for (int step = 0; step < 4; ++step) {
      INFO(named.name << ", step " << step);
      const Tensor x = net.input(20 + step);
      Tensors losses;
      const Array n = reference_gram(net, x, Surface::last_shared, losses).diagonal().array().sqrt();
      const std::vector<double> values = values_of(losses);
      const Array L = Eigen::Map<const Array>(values.data());
      if (step == 0) {
        initial = L;
      }
      const Array r = (L / initial) / (L / initial).mean();
      const Array old = w;
      const Array excess = w * n - (w * n).mean() * r.pow(1.5);
      w -= 5e-3 * excess.sign() * n;
      w *= tasks / w.sum();
      REQUIRE(w.minCoeff() > 0.01);
      const Array& used = run % 2 == 0 ? old : w;
      const Weights weights{to_list(used), to_list(used)};
      const Tensors expected = expected_gradients(net, x, weights);
      CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
      CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
    }
  }
}

TEST_CASE("DWA follows the epoch means of the losses it was given") {
  for (const Named& named : networks) {
    const int tasks = 3;
    Network net = named.make(tasks);
    Calibration calibration(fuller::DWA(), task_names(tasks));
    std::vector<Eigen::ArrayXd> means;
    for (int epoch = 0; epoch < 4; ++epoch) {
      Eigen::ArrayXd w = Eigen::ArrayXd::Ones(tasks);
      if (epoch >= 2) {
        const Eigen::ArrayXd r = means[static_cast<std::size_t>(epoch) - 1] / means[static_cast<std::size_t>(epoch) - 2];
        w = tasks * (r / 2.0).exp() / (r / 2.0).exp().sum();
      }
      Eigen::ArrayXd sum = Eigen::ArrayXd::Zero(tasks);
      for (int step = 0; step < 2; ++step) {
        INFO(named.name << ", epoch " << epoch << ", step " << step);
        const Tensor x = net.input(40 + 2 * epoch + step) * (1.0 + 0.2 * epoch);
        const std::vector<double> losses = values_of(plain_losses(net, x));
        sum += Eigen::Map<const Eigen::ArrayXd>(losses.data(), tasks);
        const Weights weights{to_list(w), to_list(w)};
        const Tensors expected = expected_gradients(net, x, weights);
        CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
        CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
      }
      means.push_back(sum / 2);
      calibration.end_epoch();
    }
  }
}

TEST_CASE("PCGrad and wPCGrad see the Gram matrix of all shared parameters and leave the heads alone") {
  int conflicts = 0;
  for (const Named& named : networks) {
    for (const int tasks : {1, 2, 3, 5}) {
      Network net = named.make(tasks);
      Calibration pcgrad(fuller::PCGrad(), task_names(tasks));
      Calibration wpcgrad(fuller::WPCGrad<>(), task_names(tasks));
      RuleAlone<fuller::PCGrad> pcgrad_alone(fuller::PCGrad(), tasks);
      RuleAlone<fuller::WPCGrad<>> wpcgrad_alone(fuller::WPCGrad<>(), tasks);
      for (int step = 0; step < 4; ++step) {
        INFO(named.name << ", " << tasks << " tasks, step " << step);
        const Tensor x = net.input(60 + step);
        Tensors losses;
        const Eigen::MatrixXd M = reference_gram(net, x, Surface::all_shared, losses);
        const Weights a = applied(pcgrad_alone(M, values_of(losses)), ApplyTo::shared_only);
        const Weights b = applied(wpcgrad_alone(M, values_of(losses)), ApplyTo::shared_only);
        conflicts += M.minCoeff() < 0 ? 1 : 0;
        if (tasks == 2) {  // both by hand: nothing is left to chance but who goes first
          const double along_1 = std::max(0.0, -M(0, 1) / M(0, 0));
          const double along_2 = std::max(0.0, -M(0, 1) / M(1, 1));
          CHECK(largest_difference(a.shared, {1 + along_1, 1 + along_2}) < 1e-12);
          CHECK(std::min(largest_difference(b.shared, {1 + along_1, 1}), largest_difference(b.shared, {1, 1 + along_2})) < 1e-12);
        }
        CHECK(difference(calibrated_gradients(pcgrad, net, x), expected_gradients(net, x, a)) < 1e-12);
        CHECK(difference(calibrated_gradients(wpcgrad, net, x), expected_gradients(net, x, b)) < 1e-12);
        if (step == 1) {
          pcgrad.end_epoch();
          wpcgrad.end_epoch();
          ++pcgrad_alone.epoch;
          ++wpcgrad_alone.epoch;
        }
      }
    }
  }
  CHECK(conflicts > 10);  // or nothing would have been tested
}

TEST_CASE("Uniform and Constant weights, static weights before and after a rule") {
  for (const Named& named : networks) {
    const int tasks = 3;
    Network net = named.make(tasks);
    const Tensor x = net.input(80);
    INFO(named.name);
    Calibration uniform(fuller::Uniform(), task_names(tasks));
    CHECK(difference(calibrated_gradients(uniform, net, x), expected_gradients(net, x, {{1, 1, 1}, {1, 1, 1}})) < 1e-12);
    Calibration constant(fuller::Constant({1, 0.2, 10}), task_names(tasks));
    CHECK(difference(calibrated_gradients(constant, net, x), expected_gradients(net, x, {{1, 0.2, 10}, {1, 0.2, 10}})) < 1e-12);
    CalibrationOptions only_shared;
    only_shared.apply_to = ApplyTo::shared_only;
    Calibration shared(fuller::Constant({1, 0.2, 10}), task_names(tasks), only_shared);
    CHECK(difference(calibrated_gradients(shared, net, x), expected_gradients(net, x, {{1, 0.2, 10}, {1, 1, 1}})) < 1e-12);
    CHECK(largest_difference(shared.diagnostics().head_weights, {1, 1, 1}) == 0);

    Tensors losses;
    const Eigen::MatrixXd M = reference_gram(net, x, Surface::last_shared, losses);
    const Eigen::Vector3d s(1, 5, 10);
    CalibrationOptions before;
    before.before = {1, 5, 10};
    Calibration early(fuller::IMTL_G(), task_names(tasks), before);
    Weights weights = imtl_g(s.asDiagonal() * M * s.asDiagonal());
    for (std::size_t i = 0; i < 3; ++i) {
      weights.shared[i] *= s[static_cast<Eigen::Index>(i)];
      weights.heads[i] *= s[static_cast<Eigen::Index>(i)];
    }
    CHECK(difference(calibrated_gradients(early, net, x), expected_gradients(net, x, weights)) < 1e-12);
    CalibrationOptions after;
    after.after = {1, 5, 10};
    Calibration late(fuller::IMTL_G(), task_names(tasks), after);
    weights = imtl_g(M);
    for (std::size_t i = 0; i < 3; ++i) {
      weights.shared[i] *= s[static_cast<Eigen::Index>(i)];
      weights.heads[i] *= s[static_cast<Eigen::Index>(i)];
    }
    CHECK(difference(calibrated_gradients(late, net, x), expected_gradients(net, x, weights)) < 1e-12);
  }
}

TEST_CASE("A custom rule in Eigen sees what the reference sees") {
  struct InverseNorms {
    void operator()(const fuller::EigenEvidence& evidence, Eigen::Ref<Eigen::VectorXd> weights) const {
      weights = evidence.gram.diagonal().cwiseSqrt().cwiseInverse().cwiseProduct(evidence.losses);
    }
  };
  Network net = conv_network(3);
  const Tensor x = net.input(81);
  Tensors losses;
  const Eigen::VectorXd n = reference_gram(net, x, Surface::last_shared, losses).diagonal().cwiseSqrt();
  Weights weights;
  for (int i = 0; i < 3; ++i) {
    weights.shared.push_back(losses[static_cast<std::size_t>(i)].item<double>() / n[i]);
  }
  weights.heads = weights.shared;
  Calibration calibration(fuller::EigenRule{InverseNorms{}}, task_names(3));
  CHECK(difference(calibrated_gradients(calibration, net, x), expected_gradients(net, x, weights)) < 1e-12);
}

TEST_CASE("One-pass gradients in float32 are those of float64 to rounding") {
  Network wide = conv_network(3);
  const Tensor x = wide.input(90);
  Calibration exact(fuller::IMTL_G(), task_names(3));
  const Tensors expected = calibrated_gradients(exact, wide, x);
  wide.to(torch::kFloat);
  Calibration single(fuller::IMTL_G(), task_names(3));
  const Tensors gradients = calibrated_gradients(single, wide, x.to(torch::kFloat));
  CHECK(gradients[0].scalar_type() == torch::kFloat);
  CHECK(difference(gradients, expected) < 1e-5);
  CHECK(largest_difference(single.diagnostics().weights, exact.diagnostics().weights) < 1e-5);
}

// SPDX-License-Identifier: Apache-2.0
// Fusion weights of any layout: transposed convolutions, linear layers on sequences, a custom operator. The slices' norms are
// held against sums written out over the features and the gradient that arrives, branches against plain passes.
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/fusion.hpp"
#include "support/host_stream.hpp"
#include "support/multi_backward.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::FusionWeight;

namespace {

/// Two branches of 3 and 5 channels: leaves, times factors that have them far apart. One weight reads them joined, or one each.
struct Fused {
  std::vector<Tensor> inputs;
  std::int64_t channels = 1;  // of the features
  std::vector<FusionWeight> weights;
  /// What a weight makes of features.
  std::function<Tensor(const Tensor& feature, const Tensor& weight)> layer;
  /// The sum over all else of feature channel c times the gradient at the output, for each element that the weight has there.
  std::function<double(const Tensor& feature, const Tensor& gradient, std::int64_t c)> squared_norm_of_channel;

  Tensors features() const { return {inputs[0] * 1.0, inputs[1] * 4.0}; }
  Tensor fuse(const Tensors& branches) const {
    return weights.size() == 1 ? layer(torch::cat(branches, channels), weights[0].weight())
                               : layer(branches[0], weights[0].weight()) + layer(branches[1], weights[1].weight());
  }
};

std::vector<Tensor> two_leaves(const std::function<std::vector<std::int64_t>(std::int64_t)>& shape) {
  return {random_parameter(shape(3)), random_parameter(shape(5))};
}

/// Weights whose input channels are dimension `dim`: of 8 channels, or of 3 and 5.
std::vector<FusionWeight> weights_of(bool separate, const std::function<FusionWeight(std::int64_t channels)>& make) {
  return separate ? std::vector<FusionWeight>{make(3), make(5)} : std::vector<FusionWeight>{make(8)};
}

/// Stride 2, kernel 3: y[n, o, 2 i + a, 2 j + b] += x[n, c, i, j] w[c, o, a, b].
Fused transposed(bool separate) {
  Fused net;
  net.inputs = two_leaves([](std::int64_t c) { return std::vector<std::int64_t>{2, c, 3, 4}; });
  net.weights = weights_of(separate, [](std::int64_t c) { return FusionWeight::transposed(random_parameter({c, 4, 3, 3})); });
  net.layer = [](const Tensor& x, const Tensor& w) { return torch::conv_transpose2d(x, w, {}, 2); };
  net.squared_norm_of_channel = [](const Tensor& feature, const Tensor& gradient, std::int64_t c) {
    const auto x = feature.accessor<double, 4>();
    const auto g = gradient.accessor<double, 4>();
    double sum = 0;
    for (std::int64_t o = 0; o < 4; ++o) {
      for (std::int64_t a = 0; a < 3; ++a) {
        for (std::int64_t b = 0; b < 3; ++b) {
          double element = 0;
          for (std::int64_t n = 0; n < 2; ++n) {
            for (std::int64_t i = 0; i < 3; ++i) {
              for (std::int64_t j = 0; j < 4; ++j) {
                element += x[n][c][i][j] * g[n][o][2 * i + a][2 * j + b];
              }
            }
          }
          sum += element * element;
        }
      }
    }
    return sum;
  };
  return net;
}

/// y[n, l, o] = sum_c x[n, l, c] w[o, c].
double of_linear(const Tensor& feature, const Tensor& gradient, std::int64_t c) {
  const auto x = feature.accessor<double, 3>();
  const auto g = gradient.accessor<double, 3>();
  double sum = 0;
  for (std::int64_t o = 0; o < g.size(2); ++o) {
    double element = 0;
    for (std::int64_t n = 0; n < g.size(0); ++n) {
      for (std::int64_t l = 0; l < g.size(1); ++l) {
        element += x[n][l][c] * g[n][l][o];
      }
    }
    sum += element * element;
  }
  return sum;
}

Fused linear(bool separate) {
  Fused net;
  net.inputs = two_leaves([](std::int64_t c) { return std::vector<std::int64_t>{2, 6, c}; });
  net.channels = 2;
  net.weights = weights_of(separate, [](std::int64_t c) { return FusionWeight(random_parameter({4, c})); });
  net.layer = [](const Tensor& x, const Tensor& w) { return torch::linear(x, w); };
  net.squared_norm_of_channel = of_linear;
  return net;
}

/// A table per position: y[n, l, o] = sum_c x[n, l, c] w[l, o, c], the channels counted from the end.
Fused tables(bool separate) {
  Fused net = linear(separate);
  net.weights = weights_of(separate, [](std::int64_t c) { return FusionWeight(random_parameter({6, 4, c}), -1, -1); });
  net.layer = [](const Tensor& x, const Tensor& w) { return torch::einsum("nlc,loc->nlo", {x, w}); };
  net.squared_norm_of_channel = [](const Tensor& feature, const Tensor& gradient, std::int64_t c) {
    double sum = 0;
    for (std::int64_t l = 0; l < 6; ++l) {
      sum += of_linear(feature.narrow(1, l, 1), gradient.narrow(1, l, 1), c);
    }
    return sum;
  };
  return net;
}

/// One number a channel, of a weight of one dimension: y[n, o, l] = sum_c x[n, c, l] w[c] for one output channel.
Fused factors(bool separate) {
  Fused net;
  net.inputs = two_leaves([](std::int64_t c) { return std::vector<std::int64_t>{2, c, 6}; });
  net.weights = weights_of(separate, [](std::int64_t c) { return FusionWeight(random_parameter({c}), 0, 1); });
  net.layer = [](const Tensor& x, const Tensor& w) { return torch::einsum("ncl,c->nl", {x, w}).unsqueeze(1); };
  net.squared_norm_of_channel = [](const Tensor& feature, const Tensor& gradient, std::int64_t c) {
    const auto x = feature.accessor<double, 3>();
    const auto g = gradient.accessor<double, 3>();
    double element = 0;
    for (std::int64_t n = 0; n < 2; ++n) {
      for (std::int64_t l = 0; l < 6; ++l) {
        element += x[n][c][l] * g[n][0][l];
      }
    }
    return element * element;
  };
  return net;
}

Tensor loss_of(const Tensor& fused) { return (torch::tanh(fused) - 0.3).pow(2).mean(); }

std::vector<double> norms_by_hand(const Fused& net) {
  const Tensors features = net.features();
  const Tensor fused = net.fuse(features);
  const Tensor gradient = gradient_of(loss_of(fused), {fused}).front().contiguous();
  std::vector<double> norms;
  for (const Tensor& feature : features) {
    double sum = 0;
    for (std::int64_t c = 0; c < feature.size(net.channels); ++c) {
      sum += net.squared_norm_of_channel(feature.detach(), gradient, c);
    }
    norms.push_back(std::sqrt(sum));
  }
  return norms;
}

}  // namespace

TEST_CASE("Fusion weights of any layout: slices by hand, branches by plain passes, wherever the steps run", "[cuda]") {
  HostStream stream;
  struct Kind {
    const char* name;
    Fused (*make)(bool separate);
  };
  for (const Kind& kind : {Kind{"transposed convolution", transposed}, Kind{"linear layer on a sequence", linear},
                           Kind{"table per position", tables}, Kind{"factors", factors}}) {
    for (const bool separate : {false, true}) {
      for (const std::string where : {"host", "kernels", "stream"}) {
        INFO(kind.name << ", separate " << separate << ", " << where);
        torch::manual_seed(3);
        const Fused net = kind.make(separate);
        Calibration calibration(fuller::Uniform(), {"one", "two"});
        calibration.modalities(fuller::ModalityGate(), {"a", "b"});
        if (where == "kernels") {
          calibration.use(fuller::steps_on(at::kCPU, [] { return emulated_kernels; }));
        } else if (where == "stream") {
          calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
        }
        std::vector<double> state{1, 1};
        for (int step = 0; step < 2; ++step) {
          const std::vector<double> norms = norms_by_hand(net);
          const std::vector<double> scales = expected_gates(norms, state);
          REQUIRE(*std::min_element(scales.begin(), scales.end()) < 0.95);
          const Tensors plain = gradient_of(loss_of(net.fuse(net.features())), net.inputs);
          clear(net.inputs);
          const Tensors gated =
              separate ? calibration.gate(net.features(), net.weights) : calibration.gate(net.features(), net.weights.front());
          loss_of(net.fuse(gated)).backward();
          CHECK(difference(gradients_of(net.inputs), {plain[0] * scales[0], plain[1] * scales[1]}) < 1e-12);
          const fuller::Diagnostics seen = calibration.diagnostics();
          CHECK(largest_difference(seen.branch_norms, norms) < 1e-12 * norms[1]);
          CHECK(largest_difference(seen.gates, scales) < 1e-12);
        }
      }
    }
  }
}

TEST_CASE("An absent branch of a transposed convolution has the channels that are left over") {
  torch::manual_seed(4);
  Fused net = transposed(false);
  Calibration calibration(fuller::Uniform(), {"one", "two"});
  calibration.modalities(fuller::ModalityGate(), {"a", "b"});
  const auto [a, b] = calibration.gate<2>({net.features()[0], Tensor()}, net.weights.front());
  CHECK_FALSE(b.defined());
  const Tensor fused = net.fuse({a, torch::zeros({2, 5, 3, 4}, torch::kDouble)});
  loss_of(fused).backward();
  CHECK(calibration.diagnostics().gates == std::vector<double>{1, 1});
  CHECK(std::isnan(calibration.diagnostics().branch_norms[1]));
}

TEST_CASE("Branches that a transposed convolution reads in another order are seen") {
  torch::manual_seed(5);
  Fused net = transposed(false);
  net.inputs = two_leaves([](std::int64_t) { return std::vector<std::int64_t>{2, 4, 3, 4}; });
  Calibration calibration(fuller::Uniform(), {"one", "two"});
  calibration.modalities(fuller::ModalityGate(), {"a", "b"});
  const Tensors gated = calibration.gate(net.features(), net.weights.front());
  CHECK(contains(thrown_by([&] { loss_of(net.fuse({gated[1], gated[0]})).backward(); }), "other way round"));
}

TEST_CASE("A fusion weight that has not the dimensions that are named is refused in words") {
  torch::manual_seed(6);
  const Fused net = transposed(false);
  const Tensor weight = net.weights.front().weight();
  Calibration calibration(fuller::Uniform(), {"one", "two"});
  calibration.modalities(fuller::ModalityGate(), {"a", "b"});
  const auto said = [&](const FusionWeight& fusion) {
    return thrown_by([&] { static_cast<void>(calibration.gate(net.features(), fusion)); });
  };
  CHECK(contains(said(FusionWeight(weight)), "the branches have 8 channels"));  // [in, out, ...] taken for [out, in, ...]
  CHECK(contains(said(FusionWeight(weight)), "reads 4"));
  CHECK(contains(said(FusionWeight(weight)), "FusionWeight"));
  CHECK(contains(said(FusionWeight(weight, 0, 4)), "dimension 4"));
  CHECK_FALSE(said(FusionWeight(weight, 4, 1)).empty());
  CHECK_FALSE(said(FusionWeight(weight, -5, 1)).empty());
  CHECK(contains(said(FusionWeight(Tensor(), 0, 1)), "fusion weight"));
  CHECK(said(FusionWeight(weight, -4, -3)).empty());
}

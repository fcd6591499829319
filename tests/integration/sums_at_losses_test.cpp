// SPDX-License-Identifier: Apache-2.0
// Weights that are chosen at the losses: the gradients of the T passes, weighted, train, and nothing is passed once more; where
// something must see the pass that trains, there is one. See sums_test.cpp.
#include <cmath>
#include <cstddef>
#include <functional>
#include <memory>
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
using namespace torch::nn;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::NonFinite;
using fuller::Route;
using fuller::Surface;

namespace {

/// Two tasks read one decoder, each with a layer of its own after it.
struct Decoded {
  Linear trunk{3, 5}, decoder{5, 4}, a{4, 2}, b{4, 3};
  Tensor x;
  std::function<Tensor(const Tensor&)> between = [](const Tensor& h) { return h.tanh(); };

  Decoded() {
    torch::manual_seed(41);
    trunk = Linear(3, 5);
    decoder = Linear(5, 4);
    a = Linear(4, 2);
    b = Linear(4, 3);
    for (Linear layer : {trunk, decoder, a, b}) {
      layer->to(torch::kDouble);
    }
    x = torch::randn({6, 3}, torch::kDouble);
  }
  Tensors shared() const { return {trunk->weight, trunk->bias, decoder->weight, decoder->bias}; }
  std::vector<Tensors> heads() const { return {a->parameters(), b->parameters()}; }
  Tensors parameters() const {
    Tensors all = shared();
    append(all, a->parameters());
    append(all, b->parameters());
    return all;
  }
  Tensors losses_of(const Tensor& z_a, const Tensor& z_b) {
    return {a(between(decoder(z_a))).pow(2).mean(), 4 * b(between(decoder(z_b))).sin().mean()};
  }
  Tensors losses() {
    const Tensor z = trunk(x).relu();
    return losses_of(z, z);
  }
};

CalibrationOptions all_shared(ApplyTo apply_to) {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  options.apply_to = apply_to;
  return options;
}

Weights expected_weights(Decoded& net, ApplyTo apply_to) {
  Weights weights = imtl_g(gram_at(net.losses(), net.shared()));
  if (apply_to == ApplyTo::shared_only) {
    weights.heads = {1, 1};
  }
  return weights;
}

/// x times itself.
struct Squares : torch::autograd::Function<Squares> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x) {
    context->save_for_backward({x});
    return x * x;
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    return {2 * context->get_saved_variables()[0] * gradients[0]};
  }
};

/// Gives the first task all weight.
struct FirstAlone {
  void operator()(const fuller::EigenEvidence& evidence, Eigen::Ref<Eigen::VectorXd> weights) const {
    weights.setZero();
    weights[0] = evidence.gram(0, 0) > 0 ? 1 : 0;
  }
};

}  // namespace

TEST_CASE("Sums at the losses: T passes, and whatever hangs on a parameter, shared or a head's, sees one gradient") {
  for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
    for (const bool forked : {false, true}) {
      Decoded net;
      const Tensors expected = weighted_gradients(net.losses(), net.shared(), net.heads(), expected_weights(net, apply_to));
      const Tensors parameters = net.parameters();
      std::vector<int> calls(parameters.size(), 0);
      Tensors seen(parameters.size());
      for (std::size_t k = 0; k < parameters.size(); ++k) {
        parameters[k].register_hook([&, k](const Tensor& gradient) {
          ++calls[k];
          seen[k] = gradient.clone();
        });
      }
      Calibration calibration(fuller::IMTL_G(), {"a", "b"}, all_shared(apply_to));
      for (int step = 1; step <= 2; ++step) {  // the second accumulates
        Tensors losses;
        if (forked) {
          const auto z = calibration.fork<2>(net.trunk(net.x).relu());
          losses = net.losses_of(z[0], z[1]);
        } else {
          losses = net.losses();
        }
        calibration.sum(losses).backward();
        const Diagnostics shown = calibration.diagnostics();
        INFO(shown.one_more);
        CHECK((shown.route == Route::sum));
        CHECK(shown.passes == 2);
        CHECK(shown.summed);
        for (std::size_t k = 0; k < parameters.size(); ++k) {
          CHECK(calls[k] == step);
          CHECK(difference({seen[k]}, {expected[k]}) < 1e-12);
          CHECK(difference({parameters[k].grad()}, {step * expected[k]}) < 1e-12);
        }
      }
    }
  }
}

TEST_CASE("Sums at the losses: what must see the pass that trains gets one, and both ways leave the same") {
  Decoded net;
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, all_shared(ApplyTo::all));
  std::string why;
  SECTION("a hook on an activation of a head") {
    why = "a hook or retain_grad() on an activation, at TanhBackward";
    net.between = [](const Tensor& h) {
      const Tensor y = h.tanh();
      y.register_hook([](const Tensor& gradient) { return gradient * 2; });
      return y;
    };
  }
  SECTION("a function of the user's") {
    why = "a function that is not LibTorch's own";
    net.between = [](const Tensor& h) { return Squares::apply(h.tanh()); };
  }
  const Tensors losses = net.losses();
  const Weights weights = imtl_g(gram_at(losses, net.shared()));
  clear(net.parameters());
  calibration.sum(net.losses()).backward();
  CHECK(contains(calibration.diagnostics().one_more, why));
  CHECK_FALSE(calibration.diagnostics().summed);
  CHECK(largest_difference(calibration.diagnostics().weights, weights.shared) < 1e-12);
  CHECK(difference(gradients_of(net.parameters()), weighted_gradients(losses, net.shared(), net.heads(), weights)) < 1e-12);
}

TEST_CASE("Sums at the losses: a task that is left out trains nothing, not even by zeros, as with one pass more") {
  for (const ApplyTo apply_to : {ApplyTo::all, ApplyTo::shared_only}) {
    for (const bool skipped : {false, true}) {
      std::vector<Tensors> left;
      for (const bool one_more : {false, true}) {
        Decoded net;
        if (one_more) {
          net.between = [](const Tensor& h) {
            const Tensor y = h.tanh();
            y.register_hook([](const Tensor& gradient) { return gradient; });
            return y;
          };
        }
        CalibrationOptions options = all_shared(apply_to);
        options.non_finite = NonFinite::skip;
        Calibration calibration = skipped ? Calibration(fuller::IMTL_G(), {"a", "b"}, options)
                                          : Calibration(fuller::EigenRule{FirstAlone{}}, {"a", "b"}, options);
        Tensors losses = net.losses();
        losses[1] = skipped ? losses[1] / torch::zeros({}, torch::kDouble) : losses[1];
        calibration.sum(losses).backward();
        CHECK(calibration.diagnostics().summed == !one_more);
        Tensors& all = left.emplace_back();
        for (const Tensor& parameter : net.parameters()) {
          all.push_back(parameter.grad().defined() ? parameter.grad() : Tensor());
        }
      }
      REQUIRE(left[0].size() == left[1].size());
      for (std::size_t k = 0; k < left[0].size(); ++k) {
        INFO("parameter " << k << ", skipped " << skipped << ", apply to " << static_cast<int>(apply_to));
        REQUIRE(left[0][k].defined() == left[1][k].defined());
        if (left[0][k].defined()) {
          CHECK(difference({left[0][k]}, {left[1][k]}) < 1e-12);
          CHECK(all_finite({left[0][k]}));
        }
      }
      CHECK(left[0][5].defined());
      CHECK(left[0][7].defined() == (!skipped && apply_to == ApplyTo::shared_only));
    }
  }
}

TEST_CASE("Sums at the losses: terms outside the sum that read shared parameters and heads are added") {
  Decoded net;
  const Weights weights = expected_weights(net, ApplyTo::all);
  REQUIRE(weights.shared == weights.heads);
  Tensors expected = weighted_gradients(net.losses(), net.shared(), net.heads(), weights);
  const Tensors parameters = net.parameters();
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    expected[k] = expected[k] + 0.2 * parameters[k].detach();
  }
  Calibration calibration(fuller::IMTL_G(), {"a", "b"}, all_shared(ApplyTo::all));
  Tensor loss = calibration.sum(net.losses());
  for (const Tensor& parameter : parameters) {
    loss = loss + 0.1 * parameter.pow(2).sum();
  }
  loss.backward();
  CHECK(calibration.diagnostics().summed);
  CHECK(difference(gradients_of(parameters), expected) < 1e-12);
}

// SPDX-License-Identifier: Apache-2.0
// Rules that run on the host in the order of a device's stream: what is theirs alone. That steps and gates equal those of the
// host is shown in device_steps_test.cpp, for this way too.
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/eigen.hpp>
#include <fuller/engine/host_rules.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/host_stream.hpp"

using namespace fuller::testing;
using fuller::Calibration;

namespace {

/// What a custom rule was called with.
struct Calls {
  std::vector<std::thread::id> threads;
  std::vector<Eigen::MatrixXd> grams;
  std::string throws;  // in calls to come
};

/// A rule with state that counts its calls, w_i = (1 + calls) / |g_i|.
struct CountingInverse {
  std::shared_ptr<Calls> calls = std::make_shared<Calls>();

  int state_size(int /*tasks*/) const { return 1; }
  void operator()(const fuller::EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> weights, Eigen::Ref<Eigen::VectorXd> state) const {
    calls->threads.push_back(std::this_thread::get_id());
    calls->grams.emplace_back(e.gram);
    state[0] += 1;
    if (calls->throws == "number") {
      throw 5;
    }
    if (!calls->throws.empty()) {
      throw std::runtime_error(calls->throws);
    }
    weights = e.gram.diagonal().cwiseSqrt().cwiseInverse() * (1 + state[0]);
  }
};

Calibration calibration_of(const CountingInverse& rule) { return Calibration(fuller::EigenRule{rule}, task_names(2)); }

bool are_zero(const Tensors& gradients) {
  for (const Tensor& gradient : gradients) {
    if (gradient.count_nonzero().item<std::int64_t>() != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("A custom rule runs in the stream's thread, with the weights that it has on the host", "[cuda]") {
  HostStream stream;
  CountingInverse on_host;
  CountingInverse in_stream;
  Calibration a = calibration_of(on_host);
  Calibration b = calibration_of(in_stream);
  b.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
  Network net_a = conv_network(2);
  Network net_b = conv_network(2);
  for (int step = 0; step < 3; ++step) {
    const Tensors right = calibrated_gradients(a, net_a, net_a.input(step));
    Tensors found;
    CHECK_FALSE(waits(operators_of([&] { found = calibrated_gradients(b, net_b, net_b.input(step)); })));
    CHECK(difference(found, right) < 1e-9);
    CHECK((in_stream.calls->grams.back() - on_host.calls->grams.back()).norm() < 1e-12 * on_host.calls->grams.back().norm());
    CHECK(in_stream.calls->threads.back() == stream.thread());
    const auto weights = a.diagnostics().weights;
    CHECK(std::abs(b.diagnostics().weights[1] / weights[1] - 1) < 1e-9);
  }
  CHECK(b.steps() == 3);
}

TEST_CASE("Half types are weighted in float: one rounding, not two", "[cuda]") {
  HostStream stream;
  for (const auto type : {torch::kHalf, torch::kBFloat16}) {
    const Tensor z = torch::arange(1, 9).to(type).set_requires_grad(true);
    const Tensor head = torch::arange(1, 9).to(type).set_requires_grad(true);
    Calibration calibration(fuller::Constant({1.0 / 3.0, 1.0 / 7.0}), {"a", "b"});
    calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
    const auto v = calibration.fork<2>(z * 1.0);
    calibration.sum({(v[0] * 3.0).sum() + head.square().sum() / 2, (v[1] * 5.0).sum()}).backward();
    CHECK(z.grad().equal(torch::full({8}, 3.0 / 3.0 + 5.0 / 7.0, torch::kFloat).to(type)));
    CHECK(head.grad().equal((torch::arange(1, 9).to(torch::kFloat) / 3.0).to(type)));
  }
}

TEST_CASE("A calibration may be destroyed while its steps run: the rule outlives them, and goes later", "[cuda]") {
  HostStream stream;
  const CountingInverse plain;
  Network net = conv_network(2);
  Calibration on_host = calibration_of(plain);
  calibrated_gradients(on_host, net, net.input(3));

  std::shared_ptr<Calls> calls;
  std::weak_ptr<Calls> of_rule;
  {
    CountingInverse rule;
    calls = rule.calls;
    Calibration calibration = calibration_of(rule);
    calibration.modalities(fuller::ModalityGate(), {"lidar", "camera"});
    calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
    stream.hold();
    calibrated_gradients(calibration, net, net.input(3));
    CHECK(calls->grams.empty());
  }
  const auto owners = calls.use_count();
  CHECK(owners > 1);
  stream.release();
  REQUIRE(calls->grams.size() == 1);
  CHECK((calls->grams[0] - plain.calls->grams[0]).norm() < 1e-12 * plain.calls->grams[0].norm());
  // Not in the driver's thread, which may free no device memory: with the next that is made.
  CHECK(calls.use_count() == owners);
  Calibration next(fuller::Uniform(), task_names(2));
  next.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
  CHECK(calls.use_count() == 1);
}

TEST_CASE("What a rule throws in the stream is thrown by the next call of the host, once", "[cuda]") {
  HostStream stream;
  for (const std::string throws : {"not today", "number"}) {
    for (const std::string next : {"fork", "sum", "diagnostics", "save", "use"}) {
      INFO(throws << ", next call: " << next);
      CountingInverse rule;
      Calibration calibration = calibration_of(rule);
      calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
      Network net = conv_network(2);
      calibrated_gradients(calibration, net, net.input(1));
      rule.calls->throws = throws;
      CHECK(are_zero(calibrated_gradients(calibration, net, net.input(2))));  // and nothing is thrown here
      rule.calls->throws.clear();
      const std::string said = thrown_by([&] {
        if (next == "fork") {
          static_cast<void>(calibration.fork(net.features(net.input(1)).front()));
        } else if (next == "sum") {
          static_cast<void>(calibration.sum({Tensor(), Tensor()}));
        } else if (next == "diagnostics") {
          static_cast<void>(calibration.diagnostics());
        } else if (next == "save") {
          torch::serialize::OutputArchive archive;
          calibration.save(archive);
        } else {
          calibration.use(nullptr);
        }
      });
      CHECK(contains(said, "the rule 'custom rule' threw on the host: "));
      CHECK(contains(said, throws == "number" ? "no std::exception" : throws));
      CHECK(calibration.steps() == 1);  // the step that failed is none, and said once
      const Tensors after = calibrated_gradients(calibration, net, net.input(2));
      // The state counts the two calls that went well.
      CHECK(std::abs(calibration.diagnostics().weights[0] * std::sqrt(rule.calls->grams.back()(0, 0)) - 3) < 1e-9);
      CHECK_FALSE(are_zero(after));
    }
  }
}

TEST_CASE("What the driver refuses is an error of the step", "[cuda]") {
  HostStream stream;
  Calibration calibration(fuller::IMTL_G(), task_names(2));
  calibration.use(fuller::host_rules_on(at::kCPU, stream.launcher()));
  Network net = conv_network(2);
  stream.refuses = true;
  CHECK(contains(thrown_by([&] { calibrated_gradients(calibration, net, net.input(1)); }), "refused a host function"));
}

TEST_CASE("The driver's function is found in its library, or the want of it is said", "[cuda]") {
  const auto launch = fuller::detail::find_host_launch(FULLER_FAKE_DRIVER);
  int called = 0;
  const auto count = [](void* argument) { ++*static_cast<int*>(argument); };
  CHECK(launch(nullptr, count, &called) == 0);
  CHECK(called == 1);
  CHECK(launch(&called, count, &called) != 0);
  CHECK(called == 1);

  const std::string none = thrown_by([] { fuller::cuda_host_launcher("libno_such_driver.so.1"); });
  CHECK(contains(none, "need NVIDIA's driver"));
  CHECK(contains(none, "libno_such_driver.so.1"));
  CHECK(contains(thrown_by([] { fuller::cuda_host_launcher("libc.so.6"); }), "libc.so.6 has no cuLaunchHostFunc"));
}

TEST_CASE("A stream's handle is what LibTorch says, or before it said that, the default stream's", "[cuda]") {
  struct Telling {
    void* native_handle() const { return const_cast<Telling*>(this); }
  };
  struct Silent {
    std::int64_t number;
    std::int64_t id() const { return number; }
  };
  const Telling telling;
  CHECK(fuller::detail::handle_of(telling) == &telling);
  CHECK(fuller::detail::handle_of(Silent{0}) == nullptr);
  CHECK(contains(thrown_by([] { fuller::detail::handle_of(Silent{3}); }), "cudaLaunchHostFunc"));
}

// SPDX-License-Identifier: Apache-2.0
// A run saved and resumed equals the uninterrupted one bit for bit; nothing outlives its step.
#include <cmath>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/fusion.hpp"
#include "support/networks.hpp"
#include "support/pages.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace {

const std::vector<std::string> tasks{"near", "far"};

/// A training of two modalities and two tasks.
struct Run {
  Fusion net = make_fusion(FusionKind::conv2d, 2, true, false);
  Calibration calibration;
  torch::optim::Adam optimizer;

  explicit Run(Calibration made) : calibration(std::move(made)), optimizer(net.parameters(), torch::optim::AdamOptions(5e-3)) {}

  void step(int number) {
    for (std::size_t m = 0; m < net.inputs.size(); ++m) {
      torch::manual_seed(static_cast<std::uint64_t>(50 * number) + m);
      net.inputs[m] = torch::randn_like(net.inputs[m]);
    }
    optimizer.zero_grad();
    const auto z = calibration.fork<2>(net.shared(net.fuse(calibration.gate(net.features(), net.weights().front()))));
    const bool alone = number % 5 == 3;
    calibration.sum({net.loss(0, z[0]), alone ? Tensor() : net.loss(1, z[1])}).backward();
    optimizer.step();
    if (number % 3 == 2) {
      calibration.end_epoch();
    }
  }
};

Calibration gated(Calibration calibration) {
  calibration.modalities(fuller::ModalityGate(), {"lidar", "camera"});
  return calibration;
}

template <class Rule>
std::function<Calibration()> maker(Rule rule) {
  return [rule] { return gated(Calibration(rule, tasks)); };
}

/// A tensor in a graph that counts as long as the graph does.
struct Witness : torch::autograd::Function<Witness> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, std::shared_ptr<double> life) {
    double* const data = life.get();
    context->saved_data["life"] = torch::from_blob(
        data, {1}, [life = std::move(life)](void*) {}, torch::kDouble);
    return x.clone();
  }
  static Tensors backward(torch::autograd::AutogradContext*, const Tensors& gradients) { return {gradients[0], Tensor()}; }
};

}  // namespace

TEST_CASE("Model, optimiser and calibration, saved and loaded mid-way, go on bit for bit") {
  fuller::GradNormOptions sgd;
  sgd.learning_rate = 1e-2;
  fuller::GradNormOptions adam;
  adam.optimizer = fuller::GradNormOptions::Optimizer::adam;
  const std::vector<std::pair<const char*, std::function<Calibration()>>> makers{
      {"IMTL-G", maker(fuller::IMTL_G())},
      {"GradNorm by SGD", maker(fuller::GradNorm(sgd))},
      {"GradNorm by Adam", maker(fuller::GradNorm(adam))},
      {"DWA", maker(fuller::DWA())},
      {"PCGrad", maker(fuller::PCGrad())},
      {"wPCGrad with DTP", maker(fuller::WPCGrad<>())},
      {"GradVac", maker(fuller::GradVac())},
      {"DB-MTL", maker(fuller::DBMTL())},
      {"PCD", maker(fuller::PCD())},
      {"UW", maker(fuller::UW())},
      {"IMTL-L", maker(fuller::IMTL_L())},
      {"FAMO", maker(fuller::FAMO())},
      {"GO4Align", maker(fuller::GO4Align())},
      {"LDC-MTL", maker(fuller::LDC())},
      {"Balancer", maker(fuller::Balancer())},
      {"GradDrop", maker(fuller::GradDrop())},
  };
  const std::string path = (std::filesystem::temp_directory_path() / "fuller_resume_test.pt").string();
  for (const auto& [name, make] : makers) {
    for (const bool by_stream : {false, true}) {
      INFO(name << (by_stream ? " by stream" : " by file"));
      Run whole(make());
      for (int step = 0; step < 14; ++step) {
        whole.step(step);
      }
      Run first(make());
      for (int step = 0; step < 7; ++step) {
        first.step(step);
      }
      Run second(make());
      std::stringstream model;
      std::stringstream optimizer;
      const auto modules = [](const Fusion& net) {
        torch::nn::ModuleList list;
        for (const auto& part : {net.branches, net.readers, {net.trunk}, net.heads}) {
          for (const auto& module : part) {
            list->push_back(module);
          }
        }
        return list;
      };
      torch::save(modules(first.net), model);
      torch::save(first.optimizer, optimizer);
      auto into = modules(second.net);
      torch::load(into, model);
      torch::load(second.optimizer, optimizer);
      if (by_stream) {
        std::stringstream calibration;
        torch::save(first.calibration, calibration);
        torch::load(second.calibration, calibration);
      } else {
        torch::save(first.calibration, path);
        torch::load(second.calibration, path);
      }
      CHECK(second.calibration.steps() == 7);
      for (int step = 7; step < 14; ++step) {
        second.step(step);
      }
      CHECK(equal(copies_of(second.net.parameters()), copies_of(whole.net.parameters())));
      const fuller::Diagnostics a = whole.calibration.diagnostics();
      const fuller::Diagnostics b = second.calibration.diagnostics();
      CHECK(a.weights == b.weights);
      CHECK(a.gates == b.gates);
      CHECK(a.step == b.step);
      CHECK_FALSE(equal(copies_of(first.net.parameters()), copies_of(whole.net.parameters())));
    }
  }
  std::filesystem::remove(path);
}

TEST_CASE("A state that belongs to something else is refused in words, and changes nothing") {
  const auto saved = [](const Calibration& calibration) {
    auto stream = std::make_unique<std::stringstream>();
    torch::save(calibration, *stream);
    return stream;
  };
  Run run(gated(Calibration(fuller::GradNorm(), tasks)));
  for (int step = 0; step < 4; ++step) {
    run.step(step);
  }
  const auto mine = saved(run.calibration);
  const auto expect_refused = [&](Calibration other, const char* word) {
    const auto theirs = saved(other);
    const std::string said = thrown_by([&] { torch::load(run.calibration, *theirs); });
    INFO(said);
    CHECK(contains(said, word));
    CHECK(saved(run.calibration)->str() == mine->str());
  };
  expect_refused(gated(Calibration(fuller::DWA(), tasks)), "rule");
  expect_refused(gated(Calibration(fuller::GradNorm(), {"near", "other"})), "tasks");
  expect_refused(gated(Calibration(fuller::GradNorm(), {"near", "far", "more"})), "tasks");
  expect_refused(gated(Calibration(fuller::GradNorm(), {"far", "near"})),
                 "tasks of the saved calibration: 'far', 'near'; of this");
  expect_refused(Calibration(fuller::GradNorm(), tasks), "modalities");
  Calibration renamed(fuller::GradNorm(), tasks);
  renamed.modalities(fuller::ModalityGate(), {"camera", "lidar"});
  expect_refused(std::move(renamed), "modalities");
  Calibration bare(fuller::GradNorm(), tasks);
  CHECK(contains(thrown_by([&] { torch::load(bare, *saved(run.calibration)); }), "modalities"));
  CHECK(bare.steps() == 0);
  // Counters that cannot be: nothing else has been taken over by then.
  Calibration fresh = gated(Calibration(fuller::GradNorm(), tasks));
  for (const Tensor& counters : {torch::tensor({-1, 0}), torch::tensor({std::nan(""), 0.0}), torch::tensor({1, 2, 3})}) {
    Pages pages;
    fresh.save(pages);
    pages.pages["counters"] = counters;
    CHECK_FALSE(thrown_by([&] { run.calibration.load(pages); }).empty());
    CHECK(saved(run.calibration)->str() == mine->str());
  }
  // Numbers that no step leaves, in each list.
  for (const char* list : {"state", "gate_state", "gates"}) {
    Pages pages;
    fresh.save(pages);
    pages.pages[list] = pages.pages[list].clone();
    pages.pages[list][0] = std::nan("");
    const std::string said = thrown_by([&] { run.calibration.load(pages); });
    INFO(list << ": " << said);
    CHECK(contains(said, "which no step leaves"));
    CHECK(contains(said, "load an earlier one"));
    CHECK(saved(run.calibration)->str() == mine->str());
  }
  // An archive of something else altogether.
  std::stringstream stream;
  torch::save(torch::ones({3}), stream);
  CHECK(contains(thrown_by([&] { torch::load(run.calibration, stream); }), "holds no calibration"));
  CHECK(saved(run.calibration)->str() == mine->str());
}

TEST_CASE("The graph is freed with the step, whatever became of it") {
  Network net = conv_network(2);
  const Tensor x = net.input(1);
  for (const bool all_shared : {false, true}) {
    CalibrationOptions options;
    if (all_shared) {
      options.surface = Surface::all_shared;
    }
    std::optional<Calibration> calibration(Calibration(fuller::IMTL_G(), task_names(2), options));
    /// Runs `use` on the summed loss of a graph with witnesses in trunk and head; whether they are gone when it returns.
    const auto freed = [&](const std::function<void(Tensor&)>& use, bool skip = false) {
      auto in_trunk = std::make_shared<double>(1);
      auto in_head = std::make_shared<double>(1);
      const std::weak_ptr<double> trunk = in_trunk;
      const std::weak_ptr<double> head = in_head;
      {
        const Tensor middle = Witness::apply(net.trunk[0]->as<torch::nn::Conv2d>()->forward(x), std::move(in_trunk));
        const auto v = calibration->fork<2>(net.trunk[2]->as<torch::nn::Conv2d>()->forward(middle.tanh()));
        Tensor first = net.loss(0, {Witness::apply(v[0], std::move(in_head))});
        if (skip) {
          first = first + middle.mean();
        }
        REQUIRE_FALSE(trunk.expired());
        REQUIRE_FALSE(head.expired());
        Tensor loss;
        thrown_by([&] { loss = calibration->sum({first, net.loss(1, {v[1]})}); });
        use(loss);
      }
      return trunk.expired() && head.expired();
    };
    const auto backward = [](Tensor& loss) { loss.backward(); };
    CHECK(freed(backward));
    CHECK(freed([](Tensor&) {}));  // never gone backward from
    CHECK(freed([](Tensor& loss) { loss.backward({}, true); }));
    CHECK(freed([&](Tensor& loss) { torch::autograd::grad({loss}, net.last); }));
    CHECK(freed([&](Tensor& loss) { thrown_by([&] { (loss + net.head_parameters(0)[0].sum()).backward(); }); }));
    CHECK(freed([](Tensor& loss) { thrown_by([&] { Fails::apply(loss).backward(); }); }));
    if (all_shared) {
      CHECK(freed(backward, true));  // the route of the sum, downstream of a fork
    } else {
      CHECK(freed([](Tensor&) {}, true));  // sum() refused it
    }
    CHECK(freed([&](Tensor& loss) {
      calibration.reset();
      loss.backward();
    }));
  }
}

TEST_CASE("Gates keep no graph alive, nor does a calibration keep gates that are gone") {
  Fusion net = make_fusion(FusionKind::linear, 2, true, false);
  Calibration calibration = gated(Calibration(fuller::IMTL_G(), tasks));
  std::weak_ptr<double> witness;
  for (int step = 0; step < 3; ++step) {
    auto life = std::make_shared<double>(1);
    witness = life;
    Tensors features = net.features();
    features[1] = Witness::apply(features[1], std::move(life));
    const auto z = calibration.fork<2>(net.shared(net.fuse(calibration.gate(features, net.weights().front()))));
    Tensor loss = calibration.sum({net.loss(0, z[0]), net.loss(1, z[1])});
    if (step != 1) {
      loss.backward();
    }
    CHECK_FALSE(witness.expired());
  }
  CHECK(witness.expired());
}

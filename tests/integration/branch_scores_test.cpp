// SPDX-License-Identifier: Apache-2.0
// Gate laws that compare scores, and MLB by norms, in a whole backward: on the host, in a stream's order and by kernels; what is
// refused; several ranks.
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/fusion.hpp"
#include "support/gate_steps.hpp"
#include "support/host_stream.hpp"
#include "support/known.hpp"
#include "support/meeting.hpp"
#include "support/multi_backward.hpp"
#include "support/rank_threads.hpp"

using namespace fuller::testing;
using fuller::Calibration;

namespace {

constexpr double no_score = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::string> branches{"a", "b", "c"};

struct ScoredPages {
  std::map<std::string, Tensor> pages;
  void write(const std::string& name, const Tensor& tensor) { pages[name] = tensor.clone(); }
  void read(const std::string& name, Tensor& tensor) { tensor = pages.at(name); }
};

template <class Law>
bool reads_scores(const Law& law) {
  return fuller::detail::gate_evidence(law) == fuller::GateEvidence::scores;
}

template <class F>
void for_every_law(const F& f) {
  for_every_known_gate(f);
  fuller::MLBOptions options;
  options.evidence = fuller::GateEvidence::scores;
  f(fuller::MLB(options));
}

const std::vector<std::vector<double>> scores_of_steps{{.5, .25, .125}, {.5, .375, .5}, {.75, .375, .25}, {.5, .75, no_score}};

/// A network of three branches that are read by one weight each, and a law.
template <class Law>
struct ScoredRun {
  explicit ScoredRun(const Law& chosen) : law(chosen), oracle(chosen, 3) { calibration.modalities(law, branches); }

  Tensor loss(bool gated, int step) {
    Tensors features = net.features();
    if (step == 2) {
      features[1] = Tensor();
    }
    if (gated) {
      features = calibration.gate(features, net.weights());
    }
    const auto z = calibration.fork<2>(net.shared(net.fuse(features)));
    return calibration.sum({net.loss(0, z[0]), net.loss(1, z[1])});
  }

  /// A backward through the gates, without a wait where they are on a device.
  void step(int number, bool may_wait) {
    clear(net.parameters());
    const Tensor sum = loss(true, number);
    const std::vector<double>& given = scores_of_steps[static_cast<std::size_t>(number)];
    if (reads_scores(law)) {
      const auto operators = operators_of([&] { calibration.scores(given); });
      CHECK((may_wait || !waits(operators)));
    }
    const auto operators = operators_of([&] { sum.backward(); });
    CHECK((may_wait || !waits(operators)));
  }

  /// The same against plain backwards, each branch times what the law alone says of its norms and scores.
  void expect_gated(int number, bool may_wait) {
    const Tensor plain = loss(false, number);
    std::vector<Tensors> of_branches;
    for (const Tensors& branch : net.branch_parameters()) {
      of_branches.push_back(gradient_of(plain, branch));
    }
    BranchStep seen = BranchStep::of(branch_norms(net, gradient_of(plain, net.weights())));
    seen.scores = scores_of_steps[static_cast<std::size_t>(number)];
    seen.present[1] = number == 2 ? 0 : 1;
    const std::vector<double> scales = oracle(seen);
    step(number, may_wait);
    for (std::size_t m = 0; m < 3; ++m) {
      Tensors expected;
      for (const Tensor& gradient : of_branches[m]) {
        expected.push_back(gradient * scales[m]);
      }
      if (seen.present[m] != 0) {
        CHECK(difference(gradients_of(net.branches[m]->parameters()), expected) < 1e-11);
      }
    }
    const fuller::Diagnostics shown = calibration.diagnostics();
    CHECK(largest_difference(shown.gates, scales) < 1e-11);
    CHECK(shown.branch_scores.size() == (reads_scores(law) ? 3 : 0));
    for (std::size_t m = 0; m < shown.branch_scores.size(); ++m) {
      const bool none = std::isnan(seen.scores[m]) || seen.present[m] == 0;
      CHECK((none ? std::isnan(shown.branch_scores[m]) : shown.branch_scores[m] == seen.scores[m]));
    }
    CHECK(calibration.snapshot().diagnostics().gates == shown.gates);
  }

  Law law;
  GateRunner<Law> oracle;
  Fusion net = make_fusion(FusionKind::linear, 3, true, true);
  Calibration calibration{fuller::Uniform(), {"one", "two"}};
};

}  // namespace

TEST_CASE("Every known gate law in a backward: on the host, in a stream's order, by kernels, and from one to the other",
          "[cuda]") {
  HostStream stream;
  const auto in_stream = fuller::host_rules_on(at::kCPU, stream.launcher());
  const auto by_kernels = fuller::steps_on(at::kCPU, [] { return emulated_kernels; });
  for_every_law([&](const auto& law) {
    using Law = std::decay_t<decltype(law)>;
    INFO(Law::name);
    for (const auto& engines : {std::shared_ptr<const fuller::Engines>(), in_stream, by_kernels}) {
      ScoredRun<Law> run(law);
      const bool on_host = engines == nullptr;
      run.calibration.use(engines);
      run.expect_gated(0, on_host);
      run.expect_gated(1, on_host);
      run.calibration.use(on_host ? by_kernels : nullptr);
      run.expect_gated(2, !on_host);
      run.expect_gated(3, !on_host);
    }
  });
}

TEST_CASE("Every known gate law, saved and loaded, goes on bit for bit") {
  for_every_law([&](const auto& law) {
    using Law = std::decay_t<decltype(law)>;
    INFO(Law::name);
    ScoredRun<Law> whole(law);
    whole.step(0, true);
    whole.step(1, true);
    ScoredPages saved;
    whole.calibration.save(saved);
    ScoredRun<Law> resumed(law);
    resumed.calibration.load(saved);
    for (const int step : {2, 3}) {
      whole.step(step, true);
      resumed.step(step, true);
      CHECK(resumed.calibration.diagnostics().gates == whole.calibration.diagnostics().gates);
    }
    ScoredPages of_whole;
    ScoredPages of_resumed;
    whole.calibration.save(of_whole);
    resumed.calibration.save(of_resumed);
    CHECK(of_whole.pages.at("gate_state").equal(of_resumed.pages.at("gate_state")));
  });
}

TEST_CASE("Scores that are missing, too many, or no use to the law are refused in words, and nothing has moved") {
  ScoredRun<fuller::OGM> run{fuller::OGM()};
  const auto said = [](const std::function<void()>& f) { return thrown_by(f); };
  run.step(0, true);
  const std::vector<double> before = run.calibration.diagnostics().gates;
  const Tensor loss = run.loss(true, 1);
  const std::string none = said([&] { loss.backward(); });  // those of the step before are spent
  CHECK(contains(none, "'OGM' compares scores, and none were handed in"));
  CHECK(contains(none, "calibration.scores({...})"));
  CHECK(run.calibration.diagnostics().gates == before);
  CHECK(contains(said([&] { run.calibration.scores({.5, .5}); }), "got 2 branches for 3 modalities"));
  CHECK(contains(said([&] { run.calibration.scores({.5, -1.0, .5}); }), "-1 for 'b'"));
  CHECK(contains(said([&] { run.calibration.scores(Tensor()); }), "scores() got an undefined tensor"));
  CHECK(contains(said([&] { run.calibration.scores(torch::tensor(0.5)); }), "a number for each branch, [M]"));
  const Tensor one = torch::tensor(0.5);
  CHECK(contains(said([&] { run.calibration.scores({one, one, torch::ones({2})}); }), "[2]"));
  run.calibration.scores({one, one, Tensor()});
  CHECK(thrown_by([&] { run.loss(true, 1).backward(); }).empty());
  run.calibration.scores(torch::tensor({.5, .25, .125}));
  CHECK(thrown_by([&] { run.loss(true, 1).backward(); }).empty());
  CHECK(run.calibration.diagnostics().branch_scores == std::vector<double>{.5, .25, .125});

  ScoredRun<fuller::ModalityGate> norms{fuller::ModalityGate()};
  const std::string useless = said([&] { norms.calibration.scores({.5, .5, .5}); });
  CHECK(contains(useless, "'FULLER gate', which compares norms"));
  CHECK(contains(useless, "fuller::OGM()"));
  Calibration bare(fuller::Uniform(), {"one", "two"});
  CHECK(contains(said([&] { bare.scores({.5, .5}); }), "name the modalities first"));
  // Log-likelihoods are below 0.
  ScoredRun<fuller::AGM> logs{fuller::AGM()};
  logs.calibration.scores({-.5, -1.0, -2.0});
  CHECK(thrown_by([&] { logs.loss(true, 1).backward(); }).empty());
}

TEST_CASE("Scores are spent by the backward they were for, also where no gate moved in it") {
  fuller::CalibrationOptions options;
  options.non_finite = fuller::NonFinite::skip;
  options.surface = fuller::Surface::all_shared;
  ScoredRun<fuller::OGM> run{fuller::OGM()};
  run.calibration = Calibration(fuller::IMTL_G(), {"one", "two"}, options);
  run.calibration.modalities(run.law, branches);
  const auto backward = [&](double factor) {
    const Tensor z = run.net.shared(run.net.fuse(run.calibration.gate(run.net.features(), run.net.weights())));
    run.calibration.sum({run.net.loss(0, z) * factor, run.net.loss(1, z) * factor}).backward();
  };
  run.calibration.scores({.75, .5, .25});
  backward(NAN);  // every task is left out: nothing comes to the gates
  CHECK(run.calibration.diagnostics().gates == std::vector<double>{1, 1, 1});
  CHECK(contains(thrown_by([&] { backward(1); }), "none were handed in for this step"));
  run.calibration.scores({.75, .5, .25});
  backward(1);
  CHECK(run.calibration.diagnostics().gates[0] < 1);
}

TEST_CASE("Several ranks gate by the mean of the scores of those that have one, also a rank without a batch") {
  // Means .5, .375 of one rank alone, .25.
  const std::vector<std::vector<double>> of_ranks{{.75, .375, .125}, {.25, no_score, .375}};
  for (const bool idles : {false, true}) {
    Meeting meeting(2);
    std::vector<fuller::Diagnostics> shown(2);
    const std::vector<std::string> thrown = in_threads(2, [&](int rank) {
      Fusion net = make_fusion(FusionKind::linear, 3, true, false);
      fuller::CalibrationOptions options;
      options.ranks.count = 2;
      options.ranks.rank = rank;
      options.ranks.average = [&](Tensors& tensors) { meeting.average(tensors); };
      Calibration calibration(fuller::Uniform(), {"one", "two"}, options);
      calibration.modalities(fuller::OGM(), branches);
      if (idles && rank == 1) {
        calibration.idle_step();
      } else {
        const auto z = calibration.fork<2>(net.shared(net.fuse(calibration.gate(net.features(), net.weights().front()))));
        const Tensor loss = calibration.sum({net.loss(0, z[0]), net.loss(1, z[1])});
        calibration.scores(of_ranks[static_cast<std::size_t>(rank)]);
        loss.backward();
      }
      shown[static_cast<std::size_t>(rank)] = calibration.diagnostics();
    });
    CHECK(thrown == std::vector<std::string>{"", ""});
    const std::vector<double> means = idles ? of_ranks[0] : std::vector<double>{.5, .375, .25};
    CHECK(shown[0].branch_scores == means);
    CHECK(shown[1].branch_scores == means);
    CHECK(largest_difference(shown[0].gates, GateRunner<fuller::OGM>(fuller::OGM(), 3)(means)) < 1e-15);
    CHECK(shown[1].gates == shown[0].gates);
  }
}

TEST_CASE("A rank that hands in no scores has all ranks refuse the step") {
  Meeting meeting(2);
  const std::vector<std::string> thrown = in_threads(2, [&](int rank) {
    Fusion net = make_fusion(FusionKind::linear, 3, true, false);
    fuller::CalibrationOptions options;
    options.ranks.count = 2;
    options.ranks.rank = rank;
    options.ranks.average = [&](Tensors& tensors) { meeting.average(tensors); };
    Calibration calibration(fuller::Uniform(), {"one", "two"}, options);
    calibration.modalities(fuller::OGM(), branches);
    const auto z = calibration.fork<2>(net.shared(net.fuse(calibration.gate(net.features(), net.weights().front()))));
    const Tensor loss = calibration.sum({net.loss(0, z[0]), net.loss(1, z[1])});
    if (rank == 0) {
      calibration.scores({.5, .5, .5});
    }
    loss.backward();
  });
  CHECK(contains(thrown[0], "a rank that has refused says why"));
  CHECK(contains(thrown[1], "none were handed in"));
}

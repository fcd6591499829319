// SPDX-License-Identifier: Apache-2.0
// Gates with fusers of other kinds: camera first, a sum, attention. What gates see is checked against .grad of an ungated
// backward.
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/tests/support/random_input.hpp"
#include "bevfusion/training/tower_trainer.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::ChannelSlice;
using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;

Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t kernel) {
  return Conv2d(Conv2dOptions(in, out, kernel).padding(kernel / 2).bias(false));
}

/// One convolution that reads the camera's channels before the LiDAR's; a ReLU for each keeps gate() from seeing the order.
struct CameraFirst final : bevfusion::Fuser {
  CameraFirst(std::vector<std::int64_t> widths, std::int64_t fused) : in(std::move(widths)), out(fused) {
    mix = register_module("mix", conv(in[0] + in[1], out, 3));
  }
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override {
    return mix->forward(torch::cat({maps[1].relu(), maps[0].relu()}, 1));
  }
  std::int64_t channels() const override { return out; }
  torch::Tensor fusion_weight() const override { return mix->weight; }
  std::vector<ChannelSlice> fusion_slices() const override { return {{in[1], in[0]}, {0, in[1]}}; }

  std::vector<std::int64_t> in;
  std::int64_t out;
  Conv2d mix{nullptr};
};

/// A convolution for each branch, and their sum.
struct Sum final : bevfusion::Fuser {
  Sum(const std::vector<std::int64_t>& in, std::int64_t fused) : out(fused) {
    lidar = register_module("lidar", conv(in[0], fused, 3));
    camera = register_module("camera", conv(in[1], fused, 3));
  }
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override {
    return lidar->forward(maps[0]) + camera->forward(maps[1]);
  }
  std::int64_t channels() const override { return out; }
  std::vector<bevfusion::BranchReader> branch_readers() const override {
    return {bevfusion::reads_alone(lidar->weight), bevfusion::reads_alone(camera->weight)};
  }

  std::int64_t out;
  Conv2d lidar{nullptr}, camera{nullptr};
};

/// Cells of the LiDAR's map look at those of the camera's; one convolution gives keys and values.
struct Attention final : bevfusion::Fuser {
  Attention(const std::vector<std::int64_t>& in, std::int64_t fused) : out(fused) {
    query = register_module("query", conv(in[0], fused, 1));
    look_up = register_module("look_up", conv(in[1], 2 * fused, 1));
    mix = register_module("mix", conv(fused, fused, 1));
  }
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override {
    const torch::Tensor q = query->forward(maps[0]);
    const torch::Tensor kv = torch::avg_pool2d(look_up->forward(maps[1]), 8).flatten(2);
    const torch::Tensor scores = torch::bmm(q.flatten(2).transpose(1, 2), kv.slice(1, 0, out)).softmax(2);
    const torch::Tensor found = torch::bmm(kv.slice(1, out), scores.transpose(1, 2)).view_as(q);
    return mix->forward(q + found);
  }
  std::int64_t channels() const override { return out; }
  std::vector<bevfusion::BranchReader> branch_readers() const override {
    return {bevfusion::reads_alone(query->weight), bevfusion::reads_alone(look_up->weight)};
  }

  std::int64_t out;
  Conv2d query{nullptr}, look_up{nullptr}, mix{nullptr};
};

/// Maps joined without a weight, camera first: the BEV backbone's first weight reads them.
struct CameraFirstDirect final : bevfusion::Fuser {
  CameraFirstDirect(std::vector<std::int64_t> widths, std::int64_t /*fused*/) : in(std::move(widths)) {}
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override { return torch::cat({maps[1], maps[0]}, 1).relu(); }
  std::int64_t channels() const override { return in[0] + in[1]; }
  std::vector<ChannelSlice> fusion_slices() const override { return {{in[1], in[0]}, {0, in[1]}}; }

  std::vector<std::int64_t> in;
};

/// A run without data: two tasks on the tiny network with a fuser of this file.
struct Run {
  explicit Run(const std::string& fuser, bool separate_bev = false)
      : config(bevfusion::run_of_size("tiny")), kinds(bevfusion::kinds()) {
    add<CameraFirst>("camera_first");
    add<CameraFirstDirect>("camera_first_direct");
    add<Sum>("sum");
    add<Attention>("attention");
    config.model.fuser = fuser;
    config.model.separate_bev = separate_bev;
    config.model.detection.dropout = config.model.segmentation.dropout = 0;  // one backward is as another
    config.calibration.rule = "none";
    torch::manual_seed(21);
    tower = bevfusion::BevFusion(config.model, kinds);
    input = bevfusion::testing::random_input(config.model, 2);
    bevfusion::Box3D car;
    car.center = {5.0, -8.0, -1.0};
    car.size = {1.9, 4.6, 1.7};
    car.velocity = {3.0, 0.5};
    batch.batch.boxes = {{car}, {}};
    batch.batch.masks = (torch::rand({2, 6, 50, 50}) < 0.2).to(torch::kFloat);
    batch.batch.labelled = torch::ones({2, 6}, torch::kBool);
    batch.boxes_labelled = {true, true};
  }

  template <class Kind>
  void add(const std::string& name) {
    kinds.fusers.add(name, [](const bevfusion::ModelConfig& model, const std::vector<std::int64_t>& in) {
      return std::make_shared<Kind>(in, model.fused);
    });
  }

  /// One backward; the gradients stay in .grad.
  std::optional<fuller::Diagnostics> backward(const std::string& gate) {
    config.calibration.gate = gate;
    tower->zero_grad();
    bevfusion::TowerTrainer trainer(tower, config);
    trainer.backward(input, batch, 1.0);
    return trainer.diagnostics();
  }

  template <class Kind>
  std::shared_ptr<Kind> fuser() {
    return std::dynamic_pointer_cast<Kind>(tower->named_modules()["fuser"]);
  }

  bevfusion::RunConfig config;
  bevfusion::Kinds kinds;
  bevfusion::BevFusion tower{nullptr};
  bevfusion::ModelInput input;
  bevfusion::TrainingBatch batch;
};

double length_of(const torch::Tensor& gradient) { return gradient.to(torch::kDouble).norm().item<double>(); }

/// Norms and gates of lidar and camera, whatever their order is.
struct Seen {
  explicit Seen(const fuller::Diagnostics& of) {
    for (std::size_t m = 0; m < of.modalities.size(); ++m) {
      const bool is_lidar = of.modalities[m] == "lidar";
      (is_lidar ? lidar : camera) = of.branch_norms[m];
      (is_lidar ? lidar_gate : camera_gate) = of.gates[m];
    }
  }
  double lidar = 0, camera = 0, lidar_gate = 0, camera_gate = 0;
};

/// The norms that gates see are the given ones, and each branch's gradient is the ungated one times its gate.
void expect_gates(Run& run, double lidar, double camera) {
  run.backward("none");
  std::vector<std::vector<torch::Tensor>> ungated(2);
  for (std::size_t m = 0; m < 2; ++m) {
    for (const torch::Tensor& parameter : run.tower->branch_parameters(m)) {
      ungated[m].push_back(parameter.grad().clone());
    }
  }
  REQUIRE(std::abs(std::log(lidar / camera)) > 0.01);
  const Seen measured(*run.backward("measure"));
  CHECK(measured.lidar == Approx(lidar).epsilon(1e-5));
  CHECK(measured.camera == Approx(camera).epsilon(1e-5));
  const Seen seen(*run.backward("gradient"));
  // FULLER's Eq. 5 to 7 from gates of 1: the branch that is ahead by r has 0.2 + 0.8 (1 - tanh(0.1 r)).
  const auto gate = [](double r) { return r > 1 ? 0.2 + 0.8 * (1 - std::tanh(0.1 * r)) : 1.0; };
  CHECK(seen.lidar_gate == Approx(gate(lidar / camera)).epsilon(1e-5));
  CHECK(seen.camera_gate == Approx(gate(camera / lidar)).epsilon(1e-5));
  for (std::size_t m = 0; m < 2; ++m) {
    const auto parameters = run.tower->branch_parameters(m);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      INFO("branch " << m << ", parameter " << i);
      const double of_branch = m == 0 ? seen.lidar_gate : seen.camera_gate;
      CHECK(torch::allclose(parameters[i].grad(), ungated[m][i] * of_branch, 1e-3, 1e-5 * length_of(ungated[m][i])));
    }
  }
}

TEST_CASE("a fuser that reads the camera first is gated by its own slices", "[bevfusion][training][fusers]") {
  Run run("camera_first");
  run.backward("none");
  const auto fuser = run.fuser<CameraFirst>();
  const torch::Tensor gradient = fuser->mix->weight.grad();
  const double lidar = length_of(gradient.slice(1, fuser->in[1]));
  const double camera = length_of(gradient.slice(1, 0, fuser->in[1]));
  expect_gates(run, lidar, camera);
}

TEST_CASE("where the fuser has no weight, the BEV backbone's is read in the fuser's order", "[bevfusion][training][fusers]") {
  Run run("camera_first_direct");
  run.backward("none");
  const auto fuser = run.fuser<CameraFirstDirect>();
  const torch::Tensor gradient = run.tower->fusion_weight().grad();
  const double lidar = length_of(gradient.slice(1, fuser->in[1]));
  expect_gates(run, lidar, length_of(gradient.slice(1, 0, fuser->in[1])));
}

TEST_CASE("a fuser that adds what a convolution a branch gives is gated", "[bevfusion][training][fusers]") {
  Run run("sum");
  run.backward("none");
  const auto fuser = run.fuser<Sum>();
  const double lidar = length_of(fuser->lidar->weight.grad());
  expect_gates(run, lidar, length_of(fuser->camera->weight.grad()));
}

TEST_CASE("a fuser of cross attention is gated", "[bevfusion][training][fusers]") {
  Run run("attention");
  run.backward("none");
  const auto fuser = run.fuser<Attention>();
  const double lidar = length_of(fuser->query->weight.grad());
  expect_gates(run, lidar, length_of(fuser->look_up->weight.grad()));
}

TEST_CASE("cross attention at several scales is gated at its entrances", "[bevfusion][training][fusers]") {
  Run run("cross_attention");
  {
    const torch::NoGradGuard no_grad;
    torch::manual_seed(22);
    for (auto& weight : run.tower->named_modules()["fuser"]->named_parameters()) {
      if (weight.key().find("out") != std::string::npos) {
        weight.value().normal_(0, 0.05);  // they start at zero, where nothing that attention hears has a gradient
      }
    }
  }
  run.backward("none");
  const auto readers = run.tower->branch_readers();
  const double lidar = length_of(readers[0].weight.grad());
  expect_gates(run, lidar, length_of(readers[1].weight.grad()));
}

TEST_CASE("joint attention is gated where the streams are mixed after it", "[bevfusion][training][fusers]") {
  Run run("joint_attention");
  run.backward("none");
  const torch::Tensor gradient = run.tower->fusion_weight().grad();
  const auto slices = run.tower->fusion_slices();
  const double lidar = length_of(gradient.slice(1, 0, slices[0].count));
  const double camera = length_of(gradient.slice(1, slices[1].first));
  std::vector<std::vector<torch::Tensor>> ungated(2);
  for (std::size_t m = 0; m < 2; ++m) {
    for (const torch::Tensor& parameter : run.tower->branch_parameters(m)) {
      ungated[m].push_back(parameter.grad().to(torch::kDouble).flatten());
    }
  }
  const Seen seen(*run.backward("gradient"));
  CHECK(seen.lidar == Approx(lidar).epsilon(1e-5));
  CHECK(seen.camera == Approx(camera).epsilon(1e-5));
  REQUIRE(std::abs(seen.lidar_gate - seen.camera_gate) > 0.01);
  for (std::size_t m = 0; m < 2; ++m) {
    // Of the branch as a whole: batch norm of the joined maps leaves single parameters gradients that are sums which cancel.
    std::vector<torch::Tensor> gated;
    for (const torch::Tensor& parameter : run.tower->branch_parameters(m)) {
      gated.push_back(parameter.grad().to(torch::kDouble).flatten());
    }
    const torch::Tensor expected = torch::cat(ungated[m]) * (m == 0 ? seen.lidar_gate : seen.camera_gate);
    CHECK(length_of(torch::cat(gated) - expected) < 1e-3 * length_of(expected));
  }
}

TEST_CASE("gates on updates move each branch by its own gate, in whatever order it is read", "[bevfusion][training][fusers]") {
  Run run("camera_first");
  const auto moved = [&run](const std::string& gate, std::optional<Seen>& seen) {
    run.config.calibration.gate = gate;
    run.tower->zero_grad();
    bevfusion::TowerTrainer trainer(run.tower, run.config);
    trainer.backward(run.input, run.batch, 1.0);
    seen = Seen(*trainer.diagnostics());
    std::vector<torch::Tensor> before;
    for (const torch::Tensor& parameter : run.tower->parameters()) {
      before.push_back(parameter.detach().clone());
    }
    trainer.step({1e-3, 0.9});
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> out;
    std::vector<torch::Tensor> all = run.tower->parameters();
    for (std::size_t m = 0; m < 2; ++m) {
      torch::Tensor sum = torch::zeros({}, torch::kDouble);
      for (const torch::Tensor& parameter : run.tower->branch_parameters(m)) {
        const auto same = [&](const torch::Tensor& other) { return other.is_same(parameter); };
        const auto at = static_cast<std::size_t>(std::find_if(all.begin(), all.end(), same) - all.begin());
        sum = sum + (parameter - before[at]).to(torch::kDouble).square().sum();
      }
      out.push_back(sum.sqrt());
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      all[i].copy_(before[i]);
    }
    return out;
  };
  std::optional<Seen> seen;
  const auto whole = moved("measure", seen);
  const auto gated = moved("update", seen);
  REQUIRE(std::abs(seen->lidar_gate - seen->camera_gate) > 0.01);
  // Positions are kept in single precision, so small steps of them to a part in a thousand or so.
  CHECK((gated[0] / whole[0]).item<double>() == Approx(seen->lidar_gate).epsilon(1e-3));
  CHECK((gated[1] / whole[1]).item<double>() == Approx(seen->camera_gate).epsilon(1e-3));
}

TEST_CASE("tasks with BEV backbones of their own are compared and gated at the fuser", "[bevfusion][training][fusers]") {
  Run run("concat", /*separate_bev=*/true);
  const torch::Tensor weight = run.tower->fusion_weight();
  REQUIRE(run.tower->last_shared().is_same(weight));
  // One task at a time, summed: the gradient that each leaves at the fuser.
  const bevfusion::TrainingBatch whole = run.batch;
  run.batch.batch.labelled = torch::zeros_like(whole.batch.labelled);
  run.backward("none");
  const torch::Tensor detection = weight.grad().to(torch::kDouble).clone();
  run.batch = whole;
  run.batch.boxes_labelled = {false, false};
  run.backward("none");
  const torch::Tensor segmentation = weight.grad().to(torch::kDouble).clone();
  run.batch = whole;
  run.config.calibration.rule = "imtl_g";
  const auto seen = run.backward("measure");
  REQUIRE(seen->norms.size() == 2);
  CHECK(seen->norms[0] == Approx(length_of(detection)).epsilon(1e-4));
  CHECK(seen->norms[1] == Approx(length_of(segmentation)).epsilon(1e-4));
  const torch::Tensor weighted = detection * seen->weights[0] + segmentation * seen->weights[1];
  CHECK(torch::allclose(weight.grad().to(torch::kDouble), weighted, 1e-3, 1e-4 * length_of(weighted)));
  const std::int64_t lidar = run.tower->fusion_slices()[0].count;
  const Seen branches(*seen);
  CHECK(branches.lidar == Approx(length_of(weighted.slice(1, 0, lidar))).epsilon(1e-3));
  CHECK(branches.camera == Approx(length_of(weighted.slice(1, lidar))).epsilon(1e-3));
}

TEST_CASE("without a layer that the tasks share there is nothing to compare or gate at", "[bevfusion][training][fusers]") {
  Run run("direct", /*separate_bev=*/true);
  run.config.calibration.rule = "imtl_g";
  const auto refusal = [&run](const std::string& gate) -> std::string {
    try {
      run.backward(gate);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal("gradient").find("model.separate_bev") != std::string::npos);
  CHECK(refusal("none").find("calibration.surface to representation") != std::string::npos);
  run.config.calibration.surface = "representation";
  CHECK(refusal("none").empty());
}

TEST_CASE("branches that weights cannot tell apart are refused with a way out", "[bevfusion][training][fusers]") {
  const torch::Tensor one = torch::zeros({4, 6, 3, 3});
  const torch::Tensor other = torch::zeros({4, 6, 3, 3});
  const std::vector<std::string> names{"lidar", "camera"};
  const auto refusal = [&](const std::vector<bevfusion::BranchReader>& readers) -> std::string {
    try {
      bevfusion::gate_plan(readers, names);
    } catch (const std::invalid_argument& error) {
      CHECK(std::string(error.what()).find("calibration.gate to none") != std::string::npos);
      return error.what();
    }
    return "";
  };
  CHECK(refusal({{one, {0, 4}}, {one, {4, 2}}}).empty());
  CHECK(refusal({{one, {2, 4}}, {one, {0, 2}}}).empty());
  CHECK(refusal({{one, {0, 6}}, {other, {0, 6}}}).empty());
  CHECK(refusal({}).find("2 branches and 0 readers") != std::string::npos);
  CHECK(refusal({{one, {0, 6}}, {one, {0, 6}}}).find("same input channels") != std::string::npos);
  CHECK(refusal({{one, {0, 4}}, {one, {3, 3}}}).find("same input channels") != std::string::npos);
  CHECK(refusal({{one, {0, 2}}, {one, {4, 2}}}).find("6 input channels") != std::string::npos);
  CHECK(refusal({{one, {0, 4}}, {one, {4, 1}}}).find("6 input channels") != std::string::npos);
  CHECK(refusal({{one, {0, 4}}, {one, {4, 3}}}).find("4 ... 6") != std::string::npos);
  CHECK(refusal({{one, {0, 6}}, {other, {0, 5}}}).find("reads more than 'camera'") != std::string::npos);
  CHECK(refusal({{one, {0, 6}}, {{}, {0, 5}}}).find("'camera'") != std::string::npos);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// One thing at a time, each as docs/how_to.md shows it: the network of two sensors and two tasks, a few steps of each way, and a
// table.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <sstream>

#include <torch/torch.h>
#include <fuller/amp/grad_scaler.hpp>
#include <fuller/engine/host_rules.hpp>
#include <fuller/fuller.hpp>

using torch::Tensor;
using Tensors = std::vector<Tensor>;

struct Trainer {
  torch::nn::Linear lidar{8, 16}, camera{8, 16}, fuse{32, 32}, det{32, 1}, seg{32, 1};
  torch::optim::Adam optimizer{parameters(), torch::optim::AdamOptions(1e-2)};
  Tensor points = torch::randn({64, 8}), image = torch::randn({64, 8});
  Tensor boxes = 10 * points.slice(1, 0, 1), masks = image.slice(1, 0, 1).sin();

  Tensors parameters() const {
    Tensors all;
    for (const auto& layer : {lidar, camera, fuse, det, seg}) {
      all.insert(all.end(), {layer->weight, layer->bias});
    }
    return all;
  }
  Tensor trunk() { return torch::tanh(fuse(torch::cat({torch::tanh(lidar(points)), torch::tanh(camera(image))}, 1))); }
  Tensor det_loss(const Tensor& z) { return torch::mse_loss(det(z), boxes); }
  Tensor seg_loss(const Tensor& z) { return torch::mse_loss(seg(z), masks); }
};

void row(const char* what, const fuller::Calibration& calibration) {
  const fuller::Diagnostics seen = calibration.diagnostics();
  std::printf("%-34s after %2d steps   weights %.3f %.3f\n", what, static_cast<int>(seen.step), seen.weights[0], seen.weights[1]);
}

void absent_labels() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  for (int step = 0; step < 10; ++step) {
    const bool has_boxes = step % 3 != 2;
    const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
    const Tensor det_loss = has_boxes ? net.det_loss(z_det) : Tensor();
    const Tensor loss = calibration.sum({det_loss, net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    loss.backward();
    net.optimizer.step();
  }
  row("absent labels", calibration);
}

void absent_sensors() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  calibration.modalities(fuller::ModalityGate(), {"lidar", "camera"});
  for (int step = 0; step < 10; ++step) {
    const bool has_image = step % 3 != 2;
    const Tensor seen = has_image ? torch::tanh(net.camera(net.image)) : Tensor();
    const auto branches = calibration.gate<2>({torch::tanh(net.lidar(net.points)), seen}, net.fuse->weight);
    const Tensor image = has_image ? branches[1] : torch::zeros_like(branches[0]);
    const auto [z_det, z_seg] = calibration.fork<2>(torch::tanh(net.fuse(torch::cat({branches[0], image}, 1))));
    const Tensor loss = calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    loss.backward();
    net.optimizer.step();
  }
  row("an absent sensor", calibration);
}

void mixed_precision() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  fuller::GradScaler scaler;
  for (int step = 0; step < 10; ++step) {
    const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
    const Tensor loss = calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    scaler.scale(loss).backward();
    scaler.unscale_(net.optimizer);  // only to clip
    torch::nn::utils::clip_grad_norm_(net.parameters(), 10.0);
    scaler.step(net.optimizer);
    scaler.update();
  }
  row("a gradient scaler", calibration);
}

void accumulation() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  constexpr int micro_batches = 2;
  for (int step = 0; step < 10; ++step) {
    net.optimizer.zero_grad();
    for (int part = 0; part < micro_batches; ++part) {
      const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
      (calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)}) / micro_batches).backward();
    }
    net.optimizer.step();
  }
  row("accumulation", calibration);
}

void accumulation_calibrated_once() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  constexpr int micro_batches = 2;
  for (int step = 0; step < 10; ++step) {
    net.optimizer.zero_grad();
    calibration.accumulate(micro_batches);
    for (int part = 0; part < micro_batches; ++part) {
      const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
      (calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)}) / micro_batches).backward();
    }
    net.optimizer.step();
  }
  row("accumulation, calibrated once", calibration);
}

void train(Trainer& net, fuller::Calibration& calibration, int steps) {
  for (int step = 0; step < steps; ++step) {
    const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
    const Tensor loss = calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    loss.backward();
    net.optimizer.step();
  }
}

void save_and_resume() {
  Trainer net;
  fuller::Calibration calibration(fuller::GradNorm(), {"det", "seg"});
  train(net, calibration, 5);
  std::stringstream of_model, of_optimizer, of_calibration;  // or names of files
  torch::save(net.parameters(), of_model);
  torch::save(net.optimizer, of_optimizer);
  torch::save(calibration, of_calibration);
  train(net, calibration, 5);
  row("GradNorm, uninterrupted", calibration);

  torch::manual_seed(1);  // the same data; the network of before is loaded into it
  Trainer resumed_net;
  Tensors saved;
  torch::load(saved, of_model);
  {
    const torch::NoGradGuard no_gradients;
    const Tensors now = resumed_net.parameters();
    for (std::size_t k = 0; k < now.size(); ++k) {
      now[k].copy_(saved[k]);
    }
  }
  torch::load(resumed_net.optimizer, of_optimizer);
  fuller::Calibration resumed(fuller::GradNorm(), {"det", "seg"});  // the same rule, tasks and options
  torch::load(resumed, of_calibration);
  train(resumed_net, resumed, 5);
  row("GradNorm, saved and resumed", resumed);

  bool equal = true;
  for (std::size_t k = 0; k < saved.size(); ++k) {
    equal = equal && torch::equal(net.parameters()[k], resumed_net.parameters()[k]);
  }
  std::printf("%-34s %s\n", "both networks", equal ? "equal, bit for bit" : "differ");
}

void static_weights() {
  Trainer net;
  fuller::CalibrationOptions options;
  options.before = {1, 5};  // the second task's loss counts five times before the rule sees it
  fuller::Calibration calibration(fuller::GradNorm(), {"det", "seg"}, options);
  for (int step = 0; step < 10; ++step) {
    const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
    const Tensor loss = calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    loss.backward();
    net.optimizer.step();
  }
  row("static weights as well", calibration);
}

/// A gate law: every branch as fast as the slowest.
struct Inverse {
  static constexpr const char* name = "inverse";
  int state_size(int) const { return 0; }
  int scratch_size(int) const { return 0; }
  void initialise(int, double*) const {}
  template <class Lanes, int Branches>
  void operator()(Lanes, const fuller::BranchEvidence<Branches>& seen, double*, double* scales, double*) const {
    double least = std::numeric_limits<double>::infinity();
    for (int m = 0; m < seen.branches(); ++m) {
      least = seen.present[m] ? std::min(least, seen.squared_norms[m]) : least;
    }
    for (int m = 0; m < seen.branches(); ++m) {
      scales[m] = seen.present[m] && seen.squared_norms[m] > 0 ? std::sqrt(least / seen.squared_norms[m]) : 1;
    }
  }
};

void custom_law() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  calibration.modalities(Inverse(), {"lidar", "camera"}, fuller::GateTarget::update);
  for (int step = 0; step < 10; ++step) {
    const auto [points, image] =
        calibration.gate<2>({torch::tanh(net.lidar(net.points)), torch::tanh(net.camera(net.image))}, net.fuse->weight);
    const auto [z_det, z_seg] = calibration.fork<2>(torch::tanh(net.fuse(torch::cat({points, image}, 1))));
    const Tensor loss = calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    loss.backward();
    calibration.step(net.optimizer, {net.lidar->parameters(), net.camera->parameters()});
  }
  row("a custom gate law", calibration);
}

void without_a_wait() {
  Trainer net;
  fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
  // On a GPU: calibration.use(fuller::host_rules_on(at::kCUDA)), and the driver is the launcher. Here the stream is always there.
  const auto at_once = [](const c10::Stream&, void (*function)(void*), void* argument) {
    function(argument);
    return true;
  };
  calibration.use(fuller::host_rules_on(at::kCPU, at_once));
  std::vector<std::pair<int, fuller::Snapshot>> underway;
  for (int step = 0; step < 10; ++step) {
    const auto [z_det, z_seg] = calibration.fork<2>(net.trunk());
    const Tensor loss = calibration.sum({net.det_loss(z_det), net.seg_loss(z_seg)});
    net.optimizer.zero_grad();
    loss.backward();
    net.optimizer.step();
    if (step % 5 == 0) {
      underway.emplace_back(step, calibration.snapshot());  // waits for nothing
    }
    if (!underway.empty() && underway.front().second.is_there()) {
      const fuller::Diagnostics seen = underway.front().second.diagnostics();
      std::printf("%-34s step %2d          weights %.3f %.3f\n", "a snapshot", underway.front().first, seen.weights[0],
                  seen.weights[1]);
      underway.erase(underway.begin());
    }
  }
}

int main() {
  at::set_num_threads(1);
  for (const auto way : {absent_labels, absent_sensors, mixed_precision, accumulation, accumulation_calibrated_once,
                         static_weights, save_and_resume, custom_law, without_a_wait}) {
    torch::manual_seed(1);
    way();
  }
}

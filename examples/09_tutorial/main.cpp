// SPDX-License-Identifier: Apache-2.0
// From a summed loss to FULLER: the program of docs/tutorial.md, which shows its parts in this order and what it prints.
#include <cstdio>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

using torch::Tensor;

struct Model : torch::nn::Module {
  torch::nn::Linear lidar{register_module("lidar", torch::nn::Linear(8, 16))};
  torch::nn::Linear camera{register_module("camera", torch::nn::Linear(8, 16))};
  torch::nn::Linear fuse{register_module("fuse", torch::nn::Linear(32, 32))};
  torch::nn::Linear classes{register_module("classes", torch::nn::Linear(32, 4))};
  torch::nn::Linear metres{register_module("metres", torch::nn::Linear(32, 1))};

  Tensor fused(const Tensor& points, const Tensor& image) { return torch::relu(fuse(torch::cat({points, image}, 1))); }
};

/// Four classes, of which each sensor shows a part, and a distance in metres.
struct Samples {
  explicit Samples(std::int64_t count) : points(torch::randn({count, 8})), image(torch::randn({count, 8})) {
    const Tensor seen = points.slice(1, 0, 4) + image.slice(1, 0, 4);
    label = seen.argmax(1);
    distance = 30 + 10 * points.slice(1, 4, 5).sin();
    image = 0.2 * image;  // a sensor with little contrast
  }
  Tensor points, image, label, distance;
};

/// Says how many classes are right, and how far off the distance is, on samples that were not trained on.
void print_scores(const char* way, Model& model, const Samples& unseen) {
  const torch::NoGradGuard no_gradients;
  const Tensor z = model.fused(torch::relu(model.lidar(unseen.points)), torch::relu(model.camera(unseen.image)));
  const auto right = model.classes(z).argmax(1).eq(unseen.label).to(torch::kFloat).mean();
  const auto error = torch::mse_loss(model.metres(z), unseen.distance).sqrt();
  std::printf("%-28s %5.1f %% of the classes right, distance %4.1f m off\n", way, 100 * right.item<double>(),
              error.item<double>());
}

constexpr int steps = 300;

void summed(Model& model, const Samples& data) {
  torch::optim::Adam optimizer(model.parameters(), 3e-3);
  for (int step = 0; step < steps; ++step) {
    const Tensor z = model.fused(torch::relu(model.lidar(data.points)), torch::relu(model.camera(data.image)));
    const Tensor loss = torch::cross_entropy_loss(model.classes(z), data.label) + torch::mse_loss(model.metres(z), data.distance);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
}

void three_lines(Model& model, const Samples& data) {
  torch::optim::Adam optimizer(model.parameters(), 3e-3);
  fuller::Calibration calibration(fuller::IMTL_G(), {"class", "distance"}, {fuller::Surface::all_shared});
  for (int step = 0; step < steps; ++step) {
    const Tensor z = model.fused(torch::relu(model.lidar(data.points)), torch::relu(model.camera(data.image)));
    const Tensor loss = calibration.sum(
        {torch::cross_entropy_loss(model.classes(z), data.label), torch::mse_loss(model.metres(z), data.distance)});
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  }
}

void forked(Model& model, const Samples& data) {
  torch::optim::Adam optimizer(model.parameters(), 3e-3);
  fuller::Calibration calibration(fuller::IMTL_G(), {"class", "distance"});
  calibration.name_parameters(model.named_parameters());
  for (int step = 0; step < steps; ++step) {
    const Tensor z = model.fused(torch::relu(model.lidar(data.points)), torch::relu(model.camera(data.image)));
    const auto [z_class, z_distance] = calibration.fork<2>(z);
    const Tensor loss = calibration.sum({torch::cross_entropy_loss(model.classes(z_class), data.label),
                                         torch::mse_loss(model.metres(z_distance), data.distance)});
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step == 0) {
      std::printf("%s", calibration.describe().c_str());
    }
  }
}

void gated(Model& model, const Samples& data) {
  torch::optim::Adam optimizer(model.parameters(), 3e-3);
  fuller::Calibration calibration(fuller::IMTL_G(), {"class", "distance"});
  fuller::ModalityGateOptions options;
  options.target = fuller::GateTarget::update;  // Adam would divide a factor on gradients out again
  calibration.modalities(fuller::ModalityGate(options), {"lidar", "camera"});
  const std::vector<std::vector<Tensor>> branches = {model.lidar->parameters(), model.camera->parameters()};
  for (int step = 0; step < steps; ++step) {
    const auto [points, image] =
        calibration.gate<2>({torch::relu(model.lidar(data.points)), torch::relu(model.camera(data.image))}, model.fuse->weight);
    const auto [z_class, z_distance] = calibration.fork<2>(model.fused(points, image));
    const Tensor loss = calibration.sum({torch::cross_entropy_loss(model.classes(z_class), data.label),
                                         torch::mse_loss(model.metres(z_distance), data.distance)});
    optimizer.zero_grad();
    loss.backward();
    calibration.step(optimizer, branches);
    if (step % 100 == 0) {
      const fuller::Diagnostics seen = calibration.diagnostics();
      std::printf("step %3d   weights %.3f %.3f   branches %4.1f times apart   gates %.2f %.2f\n", step, seen.weights[0],
                  seen.weights[1], seen.gamma_modal, seen.gates[0], seen.gates[1]);
    }
  }
}

int main() {
  torch::manual_seed(1);
  at::set_num_threads(1);
  const Samples data(512), unseen(2048);
  const std::pair<const char*, void (*)(Model&, const Samples&)> ways[] = {
      {"summed", summed}, {"three lines", three_lines}, {"one line around the trunk", forked}, {"gates as well", gated}};
  for (const auto& [name, train] : ways) {
    torch::manual_seed(2);  // the same network to begin with
    Model model;
    train(model, data);
    print_scores(name, model, unseen);
  }
}

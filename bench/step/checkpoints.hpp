// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "step/measurement.hpp"
#include "support/machine.hpp"

namespace bench {

/// A reentrant activation checkpoint: runs layers without a graph, and again, with one, inside the backward.
struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, torch::nn::SequentialImpl* layers) {
    context->save_for_backward({x});
    context->saved_data["layers"] = reinterpret_cast<std::int64_t>(layers);
    return layers->forward(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    auto* const layers = reinterpret_cast<torch::nn::SequentialImpl*>(context->saved_data["layers"].toInt());
    const Tensor x = context->get_saved_variables()[0].detach().requires_grad_();
    const torch::AutoGradMode on(true);
    torch::autograd::backward({layers->forward(x)}, {gradients[0]});
    return {x.grad(), Tensor()};
  }
};

/// A network whose trunk, heads, or both keep no activations but those at the ends of segments.
class Checkpointed {
 public:
  /// @param segment  convolutions of the trunk that a checkpoint spans
  Checkpointed(Network& net, bool trunk, bool heads, int segment) : net_(net), trunk_(trunk), heads_(heads) {
    // The input needs a gradient for the first checkpoint to have a backward.
    net.inputs[0].requires_grad_(trunk);
    const auto layers = static_cast<std::size_t>(2 * segment);  // each with its ReLU
    for (std::size_t from = 0; from < net.trunk->size(); from += layers) {
      torch::nn::Sequential part;
      for (std::size_t k = from; k < std::min(net.trunk->size(), from + layers); ++k) {
        part->push_back(*(net.trunk->begin() + static_cast<std::ptrdiff_t>(k)));
      }
      segments_.push_back(part);
    }
  }
  Tensor shared() {
    Tensor x = net_.inputs[0];
    if (!trunk_) {
      return net_.shared();
    }
    for (torch::nn::Sequential& segment : segments_) {
      x = Checkpoint::apply(x, segment.get());
    }
    return net_.last.forward(x);
  }
  Tensor loss(std::size_t task, const Tensor& z) {
    const Tensor out = heads_ ? Checkpoint::apply(z, net_.heads[task].get()) : net_.heads[task]->forward(z);
    return (out - net_.targets[task]).pow(2).mean() * net_.loudness[task];
  }
  void plain_step() {
    const Tensor z = shared();
    Tensor total = loss(0, z);
    for (std::size_t i = 1; i < net_.heads.size(); ++i) {
      total = total + loss(i, z);
    }
    total.backward();
  }
  void calibrated_step(fuller::Calibration& calibration) {
    const std::vector<Tensor> z = calibration.fork(shared());
    std::vector<Tensor> losses;
    for (std::size_t i = 0; i < z.size(); ++i) {
      losses.push_back(loss(i, z[i]));
    }
    calibration.sum(losses).backward();
  }

 private:
  Network& net_;
  bool trunk_;
  bool heads_;
  std::vector<torch::nn::Sequential> segments_;
};

/// Peak memory and time of steps whose trunk or heads are checkpointed, plain and calibrated, each over the plain step that keeps
/// its activations: as lines, and as JSON in `file`, which scripts/quote_results quotes.
inline void measure_checkpoints(double seconds, const std::string& file) {
  constexpr int segment = 4;
  struct Kept {
    const char* where;
    bool trunk;
    bool heads;
  };
  constexpr Kept kept[] = {
      {"none", false, false}, {"trunk", true, false}, {"heads", false, true}, {"trunk and heads", true, true}};
  const std::pair<const char*, fuller::Surface> surfaces[] = {{"representation", fuller::Surface::representation},
                                                              {"last_shared", fuller::Surface::last_shared}};
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> json(std::fopen(file.c_str(), "w"), std::fclose);
  if (!json) {
    throw std::runtime_error("cannot write " + file);
  }
  std::fprintf(json.get(), "[\n{\"kind\": \"machine\", \"cpu\": \"%s\", \"libtorch\": \"%s\", \"segment\": %d}",
               cpu_model().c_str(), TORCH_VERSION, segment);
  for (const bool heavy : {false, true}) {
    for (const int tasks : {2, 4}) {
      Network net({"conv", heavy, tasks});
      std::vector<Variant> variants;
      for (const Kept& one : kept) {
        const auto network = std::make_shared<Checkpointed>(net, one.trunk, one.heads, segment);
        // Each says anew whether the input needs a gradient, which only a checkpoint at the beginning asks for.
        const auto input = [&net, needed = one.trunk] { net.inputs[0] = net.inputs[0].detach().requires_grad_(needed); };
        variants.push_back({std::string(one.where) + "/plain", [network, input] {
                              input();
                              network->plain_step();
                            }});
        for (const auto& [name, surface] : surfaces) {
          fuller::CalibrationOptions options;
          options.surface = surface;
          const auto state = std::make_shared<Calibrated>(net, fuller::IMTL_G(), options);
          for (std::size_t i = 0; one.heads && i < net.heads.size(); ++i) {
            state->calibration.head(Calibrated::names(net.heads.size())[i], net.heads[i]->parameters());
          }
          variants.push_back({std::string(one.where) + "/" + name, [network, input, state] {
                                input();
                                network->calibrated_step(state->calibration);
                              }});
        }
      }
      std::vector<Measured> results(variants.size());
      for (std::size_t v = 0; v < variants.size(); ++v) {
        results[v].name = variants[v].name;
        net.drop_gradients();
        variants[v].step();
      }
      measure_memory(net, variants, results);
      measure_time(net, variants, seconds, results);
      for (const Measured& one : results) {
        const std::size_t slash = one.name.find('/');
        std::printf("%s heads, T = %d  checkpointed: %-16s %-15s memory %.3f, time %.3f (%.3f to %.3f) of the plain step\n",
                    heavy ? "heavy" : "light", tasks, one.name.substr(0, slash).c_str(), one.name.substr(slash + 1).c_str(),
                    one.peak_ratio, one.time.ratio, one.time.low, one.time.high);
        std::fprintf(json.get(),
                     ",\n{\"kind\": \"step\", \"heads\": \"%s\", \"tasks\": %d, \"checkpointed\": \"%s\", \"step\": \"%s\", "
                     "\"peak\": %lld, "
                     "\"memory\": %.6g, \"time\": %.6g, \"low\": %.6g, \"high\": %.6g, \"rounds\": %zu}",
                     heavy ? "heavy" : "light", tasks, one.name.substr(0, slash).c_str(), one.name.substr(slash + 1).c_str(),
                     static_cast<long long>(one.peak), one.peak_ratio, one.time.ratio, one.time.low, one.time.high, one.rounds);
      }
    }
  }
  std::fprintf(json.get(), "\n]\n");
}

}  // namespace bench

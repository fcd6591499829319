// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "step/held.hpp"
#include "step/naive.hpp"
#include "step/network.hpp"

namespace bench {

/// What the peak memory of a variant is compared with, beside that of the plain step.
enum class Budget {
  none,
  last_layer,     ///< T cotangents, and T gradients of the last layer's weight
  largest_layer,  ///< T cotangents, and T gradients of the largest shared parameter
};

/// One way to take a step: forward, and backward into `.grad`.
struct Variant {
  std::string name;
  std::function<void()> step;
  bool passes_trunk_per_task = false;  ///< several times as long as the plain step: measured in fewer rounds
  Budget budget = Budget::none;
  bool keeps_losses = false;  ///< a copy of each, for a rule that reads them when a trainer may have written to them
};

/// Steps of one network calibrated by fuller.
struct Calibrated {
  Network& net;
  fuller::Calibration calibration;

  template <class Rule>
  Calibrated(Network& network, const Rule& rule, const fuller::CalibrationOptions& options)
      : net(network), calibration(rule, names(network.heads.size()), options) {}

  static std::vector<std::string> names(std::size_t tasks) {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < tasks; ++i) {
      names.push_back("task " + std::to_string(i));
    }
    return names;
  }

  void step(const Tensor& shared) {
    const std::vector<Tensor> z = calibration.fork(shared);
    std::vector<Tensor> losses;
    for (std::size_t i = 0; i < z.size(); ++i) {
      losses.push_back(net.loss(i, z[i]));
    }
    calibration.sum(losses).backward();
  }
  void plain_trunk() { step(net.shared()); }
  /// @param watched  by a hook on an activation, which has to see the pass that trains
  void gated_trunk(bool watched = false) {
    const auto [a, b] = calibration.gate<2>({net.branches[0]->forward(net.inputs[0]), net.branches[1]->forward(net.inputs[1])},
                                            net.fusion->weight);
    const Tensor features = net.after_branches(a, b);
    if (watched) {
      features.register_hook([](const Tensor& /*gradient*/) {});
    }
    step(net.last.forward(features));
  }
};

template <class Rule>
Variant calibrated(Network& net, const std::string& name, const Rule& rule, const fuller::CalibrationOptions& options) {
  const auto state = std::make_shared<Calibrated>(net, rule, options);
  const bool all_shared = options.surface == fuller::Surface::all_shared && Rule::needs.gram && options.every == 1;
  const Budget of_all = options.memory == fuller::TaskMemory::layer_by_layer ? Budget::largest_layer : Budget::none;
  return {name, [state] { state->plain_trunk(); }, all_shared, all_shared ? of_all : Budget::last_layer, Rule::needs.losses};
}
template <class Rule>
Variant calibrated(Network& net, const std::string& name, const Rule& rule, fuller::Surface surface, int every = 1) {
  fuller::CalibrationOptions options;
  options.surface = surface;
  options.every = every;
  return calibrated(net, name, rule, options);
}

/// T weight gradients of the last layer: what any last-layer rule has to pay unless it gets by without them.
struct FloorProbe {
  Network& net;
  Tensor output;
  std::vector<Tensor> cotangents;

  void operator()() {
    if (!output.defined()) {
      output = net.last.forward(net.features().detach());
      for (std::size_t i = 0; i < net.heads.size(); ++i) {
        cotangents.push_back(torch::randn_like(output.detach()));
      }
    }
    for (const Tensor& cotangent : cotangents) {
      torch::autograd::grad({output}, {net.last_weight}, {cotangent}, /*retain_graph=*/true);
    }
  }
};

/// Passes through all that is shared, T - 1 of them: what weights from all shared parameters have to pay beside the plain step.
struct TrunkFloorProbe {
  Network& net;
  Tensor output;
  std::vector<Tensor> cotangents;

  void operator()() {
    if (!output.defined()) {
      output = net.shared();
      for (std::size_t i = 1; i < net.heads.size(); ++i) {
        cotangents.push_back(torch::randn_like(output.detach()));
      }
    }
    for (const Tensor& cotangent : cotangents) {
      torch::autograd::grad({output}, net.shared_parameters(), {cotangent}, /*retain_graph=*/true);
    }
  }
};

/// What other variants are compared with beside the plain step, which is the first.
inline constexpr const char* last_layer_floor = "floor";
inline constexpr const char* trunk_floor = "floor/trunk";
inline constexpr const char* held_floor = "held/cotangents_and_heads";
inline constexpr const char* naive_trunk = "naive/all_shared/PCGrad";

/// Every variant of one network. The first is the plain step, the second the floor.
inline std::vector<Variant> variants_of(Network& net) {
  std::vector<Variant> all;
  all.push_back({"plain", [&net] { naive::plain_backward(naive::losses_of(net, net.shared())); }});
  all.push_back({last_layer_floor, [probe = std::make_shared<FloorProbe>(FloorProbe{net, {}, {}})] { (*probe)(); }});
  all.push_back({"held/cotangents", [&net] { held_step(net); }});
  all.push_back({held_floor, [&net] { held_step_with_heads(net); }});
  all.push_back({trunk_floor, [probe = std::make_shared<TrunkFloorProbe>(TrunkFloorProbe{net, {}, {}})] { (*probe)(); }, true});

  using fuller::Surface;
  const std::pair<const char*, Surface> surfaces[] = {
      {"last_shared/", Surface::last_shared}, {"representation/", Surface::representation}, {"all_shared/", Surface::all_shared}};
  for (const auto& [surface_name, surface] : surfaces) {
    const std::string prefix = surface_name;
    all.push_back(calibrated(net, prefix + "IMTL-G", fuller::IMTL_G(), surface));
    all.push_back(calibrated(net, prefix + "GradNorm", fuller::GradNorm(), surface));
    all.push_back(calibrated(net, prefix + "PCGrad", fuller::PCGrad(), surface));
    all.push_back(calibrated(net, prefix + "wPCGrad", fuller::WPCGrad<>(), surface));
  }
  fuller::CalibrationOptions sparing;
  sparing.surface = Surface::all_shared;
  sparing.memory = fuller::TaskMemory::layer_by_layer;
  all.push_back(calibrated(net, "layer_by_layer/PCGrad", fuller::PCGrad(), sparing));
  // Rules that their papers ask a backward for each task for, and a solver.
  all.push_back(calibrated(net, "last_shared/NashMTL", fuller::NashMTL(), Surface::last_shared));
  all.push_back(calibrated(net, "last_shared/FairGrad", fuller::FairGrad(), Surface::last_shared));
  all.push_back(calibrated(net, "last_shared/UPGrad", fuller::UPGrad(), Surface::last_shared));
  all.push_back(calibrated(net, "last_shared/MGDA", fuller::MGDA(), Surface::last_shared));
  all.push_back(calibrated(net, "last_shared/CAGrad", fuller::CAGrad(), Surface::last_shared));
  // Steps between those in which the rule is asked, which is in none that is timed.
  constexpr int rarely = 1000000;
  all.push_back(calibrated(net, "between/last_shared/IMTL-G", fuller::IMTL_G(), Surface::last_shared, rarely));
  all.push_back(calibrated(net, "between/all_shared/PCGrad", fuller::PCGrad(), Surface::all_shared, rarely));
  all.push_back(calibrated(net, "losses_alone/Uniform", fuller::Uniform(), Surface::last_shared));
  all.push_back(calibrated(net, "losses_alone/DWA", fuller::DWA(), Surface::last_shared));
  all.push_back({"naive/last_shared/IMTL-G", [&net] { naive::last_layer_step(net); }});
  all.push_back(
      {naive_trunk, [&net, generator = std::make_shared<std::mt19937>(1)] { naive::pcgrad_step(net, *generator); }, true});
  if (!net.branches.empty()) {
    const auto whole = std::make_shared<Calibrated>(net, fuller::IMTL_G(), fuller::CalibrationOptions());
    whole->calibration.modalities(fuller::ModalityGate(), {"a", "b"});
    all.push_back({"whole/FULLER", [whole] { whole->gated_trunk(); }, false, Budget::last_layer});
    all.push_back({"naive/whole/FULLER",
                   [&net, gates = std::make_shared<std::vector<double>>(2, 1.0)] { naive::algorithm_1_step(net, *gates); }});
    fuller::CalibrationOptions everything;
    everything.surface = Surface::all_shared;
    for (const bool watched : {false, true}) {
      const auto gated = std::make_shared<Calibrated>(net, fuller::IMTL_G(), everything);
      gated->calibration.modalities(fuller::ModalityGate(), {"a", "b"});
      all.push_back({watched ? "one_more/FULLER" : "all_shared/FULLER", [gated, watched] { gated->gated_trunk(watched); }, true});
    }
  }
  return all;
}

/// Throws unless fuller's step leaves the gradients of the naive one: what is timed must be right.
inline void expect_equal_steps(Network& net, const std::vector<Variant>& variants, const std::string& one,
                               const std::string& other) {
  const auto gradients_after = [&](const std::string& name) {
    for (const Variant& variant : variants) {
      if (variant.name == name) {
        net.drop_gradients();
        variant.step();
        std::vector<Tensor> gradients;
        for (const Tensor& parameter : net.parameters()) {
          gradients.push_back(parameter.grad().clone());
        }
        return gradients;
      }
    }
    return std::vector<Tensor>();
  };
  const std::vector<Tensor> ours = gradients_after(one), theirs = gradients_after(other);
  for (std::size_t k = 0; k < ours.size(); ++k) {
    const double error = ((ours[k] - theirs[k]).norm() / theirs[k].norm()).item<double>();
    if (!(error < 1e-3)) {
      throw std::runtime_error(one + " and " + other + " disagree in parameter " + std::to_string(k) + " by " +
                               std::to_string(error));
    }
  }
}

}  // namespace bench

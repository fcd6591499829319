// SPDX-License-Identifier: Apache-2.0
#pragma once

// A small network with two branches and three tasks, trained by ranks and, for comparison, by one trainer with all of their
// samples.

#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/networks.hpp"

namespace fuller::testing {

constexpr int ranked_tasks = 3;
constexpr std::int64_t ranked_samples = 12;

/// What one rank has in one step.
struct RankPart {
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::vector<bool> tasks = std::vector<bool>(ranked_tasks, true);
  bool right = true;  ///< whether it has the second modality
  double share = 1;   ///< what its losses are multiplied with

  bool idle() const { return from == to; }
};

struct RankedNetwork {
  /// @param joint  whether the tasks share a decoder too, so that weights are chosen at the losses
  RankedNetwork(torch::Dtype type, bool joint) : joint_(joint) {
    static std::mutex one_at_a_time;  // the generator belongs to the process
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    torch::manual_seed(11);
    left_ = torch::nn::Linear(3, 4);
    right_ = torch::nn::Linear(3, 5);
    fuse_ = torch::nn::Linear(9, 6);
    last_ = torch::nn::Linear(6, 4);
    decoder_ = torch::nn::Linear(4, 4);
    std::vector<torch::nn::Linear> layers{left_, right_, fuse_, last_, decoder_};
    for (int i = 0; i < ranked_tasks; ++i) {
      heads_.emplace_back(4, 1);
      layers.push_back(heads_.back());
    }
    for (auto& layer : layers) {
      layer->to(type);
      append(parameters, layer->parameters());
    }
  }

  /// What each task makes of each sample: [samples].
  /// @param right  [samples, 1] of 0 and 1: which samples have the second modality; undefined: none
  Tensors errors(Calibration& calibration, const Tensor& x, const Tensor& right) {
    const Tensor of_left = torch::tanh(left_(x));
    const Tensor of_right = right.defined() ? torch::tanh(right_(3 * x)) : Tensor();
    const auto gated = calibration.gate<2>({of_left, of_right}, fuse_->weight);
    const Tensor second = right.defined() ? gated[1] * right : torch::zeros({x.size(0), 5}, x.options());
    const Tensor z = torch::tanh(last_(torch::tanh(fuse_(torch::cat({gated[0], second}, 1)))));
    Tensors errors;
    const Tensors of_tasks = joint_ ? Tensors(ranked_tasks, torch::tanh(decoder_(z))) : calibration.fork(z);
    for (std::size_t i = 0; i < ranked_tasks; ++i) {
      const Tensor target = x.select(1, static_cast<std::int64_t>(i)).sin();
      errors.push_back((heads_[i](of_tasks[i]).squeeze(1) - target).pow(2) * std::pow(5.0, static_cast<double>(i)));
    }
    return errors;
  }

  Tensors parameters;

 private:
  bool joint_;
  torch::nn::Linear left_{nullptr}, right_{nullptr}, fuse_{nullptr}, last_{nullptr}, decoder_{nullptr};
  std::vector<torch::nn::Linear> heads_;
};

/// One calibrated step of a rank; its gradients stay in the network.
inline void ranked_step(RankedNetwork& net, Calibration& calibration, const Tensor& batch, const RankPart& part) {
  if (part.idle()) {
    calibration.idle_step();
    return;
  }
  const Tensor x = batch.slice(0, part.from, part.to);
  const Tensors errors = net.errors(calibration, x, part.right ? torch::ones({x.size(0), 1}, x.options()) : Tensor());
  Tensors losses;
  for (std::size_t i = 0; i < ranked_tasks; ++i) {
    losses.push_back(part.tasks[i] ? errors[i].mean() : Tensor());
  }
  (calibration.sum(losses) * part.share).backward();
}

/// The same step of one trainer that has what all ranks have. The ranks' gradients are the mean of theirs, in which an idle one
/// counts: that of (1 / R) sum_r share_r L_ir, here written as the loss scale S = sum_r share_r / R times a loss.
inline void whole_step(RankedNetwork& net, Calibration& calibration, const Tensor& batch, const std::vector<RankPart>& parts) {
  double scale = 0;
  Tensor right = torch::ones({batch.size(0), 1}, batch.options());
  for (const RankPart& part : parts) {
    scale += part.idle() ? 0.0 : part.share / static_cast<double>(parts.size());
    if (!part.right) {
      right.slice(0, part.from, part.to).zero_();
    }
  }
  const Tensors errors = net.errors(calibration, batch, right);
  Tensors losses(ranked_tasks);
  for (std::size_t i = 0; i < ranked_tasks; ++i) {
    for (const RankPart& part : parts) {
      if (!part.idle() && part.tasks[i]) {
        const Tensor term =
            errors[i].slice(0, part.from, part.to).mean() * (part.share / static_cast<double>(parts.size()) / scale);
        losses[i] = losses[i].defined() ? losses[i] + term : term;
      }
    }
  }
  (calibration.sum(losses) * scale).backward();
}

/// The steps that are compared: samples divided evenly; unevenly, with shares by their number; the last rank idle; a task that
/// rank 0 alone has; a modality that the last rank lacks; and evenly again, with what all that has left behind.
inline std::vector<std::vector<RankPart>> ranked_schedule(int ranks, bool partial_labels) {
  const auto even = [](int among, int of) {
    std::vector<RankPart> parts(static_cast<std::size_t>(of));
    for (int r = 0; r < among; ++r) {
      parts[static_cast<std::size_t>(r)].from = ranked_samples * r / among;
      parts[static_cast<std::size_t>(r)].to = ranked_samples * (r + 1) / among;
    }
    return parts;
  };
  std::vector<std::vector<RankPart>> schedule(6, even(ranks, ranks));
  std::int64_t from = 0;
  for (int r = 0; r < ranks; ++r) {
    RankPart& part = schedule[1][static_cast<std::size_t>(r)];
    part.from = from;
    part.to = from = r == 0 ? ranked_samples - 2 * (ranks - 1) : from + 2;
    part.share = static_cast<double>((part.to - part.from) * ranks) / static_cast<double>(ranked_samples);
  }
  schedule[2] = even(ranks - 1, ranks);
  for (int r = 1; r < ranks && partial_labels; ++r) {
    schedule[3][static_cast<std::size_t>(r)].tasks.back() = false;
  }
  schedule[4].back().right = false;
  return schedule;
}

/// What training by a schedule showed: gradients of all parameters, weights and gates, step by step, as one list of numbers.
struct RankedTrace {
  std::vector<double> weights;
  std::vector<double> gates;
  Tensors gradients;
};

/// @param ranks  of this trainer; alone, it takes all their samples
inline RankedTrace ranked_training(const MakesCalibration& make, CalibrationOptions options, const Ranks& ranks,
                                   torch::Dtype type, bool joint, const std::vector<std::vector<RankPart>>& schedule) {
  RankedNetwork net(type, joint);
  options.ranks = ranks;
  Calibration calibration = make(options);
  calibration.modalities(ModalityGate(), {"left", "right"});
  RankedTrace trace;
  for (std::size_t s = 0; s < schedule.size(); ++s) {
    const Tensor batch = torch::linspace(-2, 2, ranked_samples * 3, torch::kDouble)
                             .mul(static_cast<double>(s + 1))
                             .cos()
                             .view({3, ranked_samples})
                             .t()
                             .to(type);
    clear(net.parameters);
    if (ranks.average) {
      ranked_step(net, calibration, batch, schedule[s][static_cast<std::size_t>(ranks.rank)]);
    } else {
      whole_step(net, calibration, batch, schedule[s]);
    }
    Tensors gradients = gradients_of(net.parameters);
    if (ranks.average) {
      ranks.average(gradients);
    }
    const torch::NoGradGuard no_grad;
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      net.parameters[k].sub_(0.05 * gradients[k]);
    }
    append(trace.gradients, gradients);
    const Diagnostics shown = calibration.diagnostics();
    trace.weights.insert(trace.weights.end(), shown.weights.begin(), shown.weights.end());
    trace.gates.insert(trace.gates.end(), shown.gates.begin(), shown.gates.end());
    if (s == 2) {
      calibration.end_epoch();
    }
  }
  return trace;
}

}  // namespace fuller::testing

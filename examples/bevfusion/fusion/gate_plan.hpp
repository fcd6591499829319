// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/fusion/fuser.hpp"

namespace bevfusion {

/// How the branches of a model are to be given to a gate that tells them apart by the order in which one weight reads them, or by
/// a weight for each.
struct GatePlan {
  std::vector<std::size_t> order;      ///< at each place of the gate, which branch
  std::vector<torch::Tensor> weights;  ///< one that reads all branches in that order, or one for each place

  /// Values by branch in the gate's order.
  template <class Value>
  std::vector<Value> to_gate(const std::vector<Value>& by_branch) const {
    std::vector<Value> out;
    for (const std::size_t branch : order) {
      out.push_back(by_branch.at(branch));
    }
    return out;
  }

  /// And back.
  template <class Value>
  std::vector<Value> from_gate(const std::vector<Value>& by_place) const {
    std::vector<Value> out(by_place.size());
    for (std::size_t place = 0; place < by_place.size(); ++place) {
      out.at(order.at(place)) = by_place[place];
    }
    return out;
  }
};

/// Plans the gate of branches by what reads them first.
/// @param names  of the branches, for errors
/// @throws std::invalid_argument where the branches' gradients cannot be told apart by these weights: a reader too few, one
///   weight whose slices overlap or leave channels out, a weight of its own that reads more than its branch; it says what would
///   do
GatePlan gate_plan(const std::vector<BranchReader>& readers, const std::vector<std::string>& names);

/// The branches' maps downstream of the gates of a calibration, in the order of the branches.
/// @param calibration  whose modalities are the branches' names in the plan's order
/// @param maps         [B, C_m, X, Y] each
template <class Calibration>
std::vector<torch::Tensor> gated(Calibration& calibration, const GatePlan& plan, const std::vector<torch::Tensor>& maps) {
  const std::vector<torch::Tensor> given = plan.to_gate(maps);
  return plan.from_gate(plan.weights.size() == 1 ? calibration.gate(given, plan.weights.front())
                                                 : calibration.gate(given, plan.weights));
}

}  // namespace bevfusion

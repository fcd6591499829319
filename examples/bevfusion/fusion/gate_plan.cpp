// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/fusion/gate_plan.hpp"

#include <algorithm>
#include <numeric>
#include <sstream>
#include <stdexcept>

#include <torch/torch.h>

namespace bevfusion {
namespace {

template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::ostringstream text;
  text << "model.fuser: ";
  (text << ... << parts);
  text << ". Or set calibration.gate to none";
  throw std::invalid_argument(text.str());
}

GatePlan plan_of_one(const std::vector<BranchReader>& readers, const std::vector<std::string>& names) {
  GatePlan plan;
  plan.weights = {readers.front().weight};
  plan.order.resize(readers.size());
  std::iota(plan.order.begin(), plan.order.end(), std::size_t{0});
  std::sort(plan.order.begin(), plan.order.end(),
            [&](std::size_t a, std::size_t b) { return readers[a].channels.first < readers[b].channels.first; });
  std::int64_t next = 0;
  for (const std::size_t branch : plan.order) {
    const ChannelSlice& slice = readers[branch].channels;
    if (slice.first < next) {
      refuse(
          "'", names[branch], "' and another branch are read through the same input channels of one weight, where their ",
          "gradients cannot be told apart; give each branch a weight of its own (Fuser::branch_readers), or channels of its own");
    }
    if (slice.first > next) {
      next = -1;
      break;
    }
    next += slice.count;
  }
  const std::int64_t channels = plan.weights.front().size(1);
  if (next != channels) {
    refuse("the weight of shape ", plan.weights.front().sizes(), " reads channels that no branch has, or not all of a branch's (",
           "Fuser::fusion_slices has to fill its ", channels, " input channels); give each branch a weight of its own ",
           "(Fuser::branch_readers)");
  }
  return plan;
}

}  // namespace

GatePlan gate_plan(const std::vector<BranchReader>& readers, const std::vector<std::string>& names) {
  if (readers.size() != names.size()) {
    refuse("there are ", names.size(), " branches and ", readers.size(), " readers of them; Fuser::branch_readers, or ",
           "fusion_weight and fusion_slices, has to name what reads each branch first");
  }
  std::size_t shared = 0;
  for (std::size_t m = 0; m < readers.size(); ++m) {
    const torch::Tensor& weight = readers[m].weight;
    const ChannelSlice& slice = readers[m].channels;
    if (!weight.defined() || weight.dim() < 2) {
      refuse("what reads '", names[m],
             "' first is no weight [out, in, ...]; a fuser without one leaves it to the BEV backbone, of ",
             "which there has to be one for all tasks (model.separate_bev)");
    }
    if (slice.count < 1 || slice.first < 0 || slice.first + slice.count > weight.size(1)) {
      refuse("'", names[m], "' is said to be read by the input channels ", slice.first, " ... ", slice.first + slice.count - 1,
             " of a weight of shape ", weight.sizes());
    }
    shared += std::count_if(readers.begin(), readers.end(), [&](const auto& other) { return other.weight.is_same(weight); }) > 1;
  }
  if (shared == readers.size()) {
    const bool one = std::all_of(readers.begin(), readers.end(),
                                 [&](const auto& other) { return other.weight.is_same(readers.front().weight); });
    if (one) {
      return plan_of_one(readers, names);
    }
  }
  if (shared > 0) {
    refuse("some branches share a weight and others do not; gates take one weight of all branches, or a weight for each");
  }
  GatePlan plan;
  for (std::size_t m = 0; m < readers.size(); ++m) {
    if (readers[m].channels.count != readers[m].weight.size(1)) {
      refuse("the weight of shape ", readers[m].weight.sizes(), " reads more than '", names[m],
             "', which would enter that branch's gradient; give the branch a weight of its own");
    }
    plan.order.push_back(m);
    plan.weights.push_back(readers[m].weight);
  }
  return plan;
}

}  // namespace bevfusion

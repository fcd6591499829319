// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fuller/backward/capsule.hpp>
#include <fuller/backward/unimodal_assist.hpp>
#include <fuller/core/error.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/member.hpp>
#include <fuller/gates/pareto.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

// The node of UnimodalAssist, and what its members do; what they promise is in unimodal_assist.hpp.

namespace fuller {
inline namespace v0_1 {
namespace detail {

struct AssistedName {
  std::string name;
  Pareto law;
  Ranks ranks;
  AssistShown shown;
};

/// The node at a branch's feature: it twice out. Its backward runs once, when the cotangents of both have arrived.
struct AssistNode : torch::autograd::Function<AssistNode> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, const at::Tensor& feature,
                                                std::shared_ptr<AssistedName> branch) {
    context->set_materialize_grads(false);
    context->saved_data["branch"] = capsule(std::move(branch));
    return {feature, feature};
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& cotangents) {
    const auto branch = open_capsule<AssistedName>(context->saved_data["branch"]);
    if (at::GradMode::is_enabled()) {
      fail("a backward with create_graph through the assisted branch '", branch->name, "' is refused: what its gradients are ",
           "multiplied with would be differentiated too; leave UnimodalAssist out where losses hold derivatives of outputs");
    }
    // Passes that compare task gradients are to see those of the fused losses as they are.
    if (NestedPass::on_this_thread() > 0) {
      const std::array<double, 2> ones{1, 1};
      return {weighted_sum(cotangents, ones.data()), at::Tensor()};
    }
    const ParetoScales scales = decide(*branch, cotangents);
    const std::array<double, 2> weights{scales.fused, scales.unimodal};
    return {weighted_sum(cotangents, weights.data()), at::Tensor()};
  }

 private:
  static ParetoScales decide(AssistedName& branch, const torch::autograd::variable_list& cotangents) {
    AssistShown& shown = branch.shown;
    std::vector<double> gram(4, 0.0);
    std::vector<std::vector<at::Tensor>> lists(2);
    for (std::size_t k = 0; k < 2; ++k) {
      if (cotangents[k].defined()) {
        lists[k].push_back(cotangents[k]);
      }
    }
    gram_matrix(lists, gram.data());
    if (branch.ranks.average) {
      // Ranks hold other samples, so their Gram matrices add up; a common factor changes no scale.
      average(branch.ranks, gram, {"the two gradients of a branch", shown.backwards});
    }
    shown.scales = branch.law(gram[0], gram[1], gram[3]);
    shown.fused_norm = std::sqrt(gram[0]);
    shown.unimodal_norm = std::sqrt(gram[3]);
    const bool both = gram[0] > 0 && gram[3] > 0;
    shown.cosine = both ? gram[1] / shown.fused_norm / shown.unimodal_norm : quiet_nan;
    shown.backwards += both ? 1 : 0;
    shown.conflicts += shown.cosine < 0 ? 1 : 0;
    return shown.scales;
  }
};

}  // namespace detail

FULLER_MEMBER UnimodalAssist::UnimodalAssist(const Pareto& law, const std::vector<std::string>& branches, const Ranks& ranks) {
  law.expect_sense();
  detail::expect_sense(ranks, "UnimodalAssist's ranks");
  if (branches.empty()) {
    detail::fail("UnimodalAssist needs the name of at least one branch: {\"lidar\", \"camera\"}");
  }
  for (const std::string& name : branches) {
    for (const auto& other : branches_) {
      if (other->name == name) {
        detail::fail("UnimodalAssist got the branch '", name, "' twice; give each a name of its own");
      }
    }
    branches_.push_back(std::make_shared<detail::AssistedName>(detail::AssistedName{name, law, ranks, {}}));
  }
}

FULLER_MEMBER AssistedBranch UnimodalAssist::operator()(const std::string& branch, const at::Tensor& feature) {
  const auto& of = named(branch);
  if (!feature.defined()) {
    detail::fail("the feature of branch '", branch, "' is undefined; leave the call out in a step without that modality");
  }
  if (!at::GradMode::is_enabled() || !feature.requires_grad()) {
    return {feature, feature};
  }
  const auto outputs = detail::AssistNode::apply(feature, of);
  return {outputs[0], outputs[1]};
}

FULLER_MEMBER const AssistShown& UnimodalAssist::shown(const std::string& branch) const { return named(branch)->shown; }

FULLER_MEMBER const std::shared_ptr<detail::AssistedName>& UnimodalAssist::named(const std::string& branch) const {
  for (const auto& one : branches_) {
    if (one->name == branch) {
      return one;
    }
  }
  std::string known;
  for (const auto& one : branches_) {
    known += (known.empty() ? "'" : ", '") + one->name + "'";
  }
  detail::fail("no branch is called '", branch, "'; there are ", known);
}

}  // namespace v0_1
}  // namespace fuller

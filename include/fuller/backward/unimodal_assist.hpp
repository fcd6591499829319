// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fuller/backward/capsule.hpp>
#include <fuller/core/error.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/gates/pareto.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller {
inline namespace v0_1 {

/// What a branch's assistance did in the last backward.
struct AssistShown {
  ParetoScales scales;
  double fused_norm = detail::quiet_nan;     ///< |g_f| at the branch's feature, with the loss scale
  double unimodal_norm = detail::quiet_nan;  ///< |g_u|, likewise
  double cosine = detail::quiet_nan;         ///< < 0: the two losses conflict
  std::int64_t backwards = 0;                ///< those that brought both gradients
  std::int64_t conflicts = 0;                ///< and conflicted
};

/// A branch's feature, twice.
struct AssistedBranch {
  at::Tensor fused;     ///< to gate() or the fusion layer
  at::Tensor unimodal;  ///< to the head of the branch's own loss
};

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

/// Losses of the branches' own that help where they can and give way where they conflict, by MMPareto, inside the one backward:
/// the feature of a branch is taken twice, once to the fusion layer and once to a small head with a loss of its own, and where
/// their two gradients meet again they are combined by the law (gates/pareto.hpp).
///
///     fuller::UnimodalAssist assist(fuller::Pareto(), {"lidar", "camera"});
///     auto lidar = assist("lidar", points(x));
///     auto camera = assist("camera", images(y));
///     auto z = calibration.fork<2>(trunk(fuse(lidar.fused, camera.fused)));   // gate() too, if you like
///     auto loss = calibration.sum({det_loss(z[0]), seg_loss(z[1])});
///     (loss + lidar_loss(lidar_head(lidar.unimodal)) + camera_loss(camera_head(camera.unimodal))).backward();
///
/// The losses of the branches are added outside sum(): they are no tasks. The gradient of the fused losses is that of sum(), task
/// weights and gates included. Heads and fusion layer are trained as ever; only what lies upstream of the features gets the
/// combined gradient. A branch that one of the two gradients does not reach in a backward gets the other as it is. Keeps no
/// state that training depends on. With weights over all shared parameters a pass of its own trains the trunk, since this node
/// has to see both gradients.
///
/// One thread at a time. On CUDA tensors each branch's four products are brought to the host: a wait for each, so such a step
/// cannot be captured. On several ranks all have the same branches in every step, and decide alike.
class UnimodalAssist {
 public:
  /// @throws Error for no names, a name given twice, or options that make no sense.
  UnimodalAssist(const Pareto& law, const std::vector<std::string>& branches, const Ranks& ranks = {}) {
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

  /// The feature for the fusion layer, and for the branch's own head. Where gradients are off, or the feature needs none, both
  /// are it.
  /// @throws Error for an unknown branch or an undefined feature
  AssistedBranch operator()(const std::string& branch, const at::Tensor& feature) {
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

  /// What the last backward showed of a branch.
  /// @throws Error for an unknown branch
  const AssistShown& shown(const std::string& branch) const { return named(branch)->shown; }

 private:
  const std::shared_ptr<detail::AssistedName>& named(const std::string& branch) const {
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

  std::vector<std::shared_ptr<detail::AssistedName>> branches_;
};

}  // namespace v0_1
}  // namespace fuller

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/core/floating.hpp>
#include <fuller/core/member.hpp>
#include <fuller/gates/pareto.hpp>
#include <fuller/tensor/ranks.hpp>

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

struct AssistedName;

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
  UnimodalAssist(const Pareto& law, const std::vector<std::string>& branches, const Ranks& ranks = {});

  /// The feature for the fusion layer, and for the branch's own head. Where gradients are off, or the feature needs none, both
  /// are it.
  /// @throws Error for an unknown branch or an undefined feature
  AssistedBranch operator()(const std::string& branch, const at::Tensor& feature);

  /// What the last backward showed of a branch.
  /// @throws Error for an unknown branch
  const AssistShown& shown(const std::string& branch) const;

 private:
  const std::shared_ptr<detail::AssistedName>& named(const std::string& branch) const;

  std::vector<std::shared_ptr<detail::AssistedName>> branches_;
};

}  // namespace v0_1
}  // namespace fuller

#ifndef FULLER_SEPARATE_MEMBERS
#include <fuller/backward/unimodal_assist_members.hpp>
#endif

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/branch_gate.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/core/error.hpp>
#include <fuller/tensor/fusion_weight.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Notes how many of the fusion weight's input channels each branch has; an absent branch has those it had, or those left over.
inline void note_widths(Modalities& modalities, const std::vector<at::Tensor>& branches, const FusionWeight& fusion) {
  const std::int64_t reads = fusion.reads();
  std::int64_t known = 0;
  std::int64_t* unknown = nullptr;
  bool guessable = true;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    std::int64_t& width = modalities.widths[m];
    if (branches[m].defined()) {
      width = branches[m].size(fusion.feature_dim(branches[m]));
    }
    guessable = guessable && (width > 0 || unknown == nullptr);
    unknown = width > 0 ? unknown : &width;
    known += width;
  }
  if (unknown != nullptr && guessable && known < reads) {
    *unknown = reads - known;
    known = reads;
  }
  if (known != reads) {
    fail("the branches have ", known, " channels", guessable ? "" : " (of some absent branches none was ever seen)",
         ", the fusion weight of shape ", fusion.weight().sizes(), " reads ", reads,
         "; gate the features that this weight reads, in its order (a weight that is not [out, in, ...] is given as a "
         "FusionWeight)");
  }
}

/// Has a fusion weight's gradient reported to the gates, once for each weight.
inline const void* hooked(const std::shared_ptr<Modalities>& modalities, const FusionWeight& fusion) {
  const at::Tensor& weight = fusion.weight();
  if (!weight.defined() || !weight.requires_grad() || !weight.is_leaf() || !fusion.has_inputs()) {
    fail("the fusion weight ",
         weight.defined() ? "must be a trained parameter of two dimensions or more, or of those that its FusionWeight names"
                          : "is undefined",
         "; its gradient is what the gates are computed from: gate with a weight that is trained, or pass the branches on "
         "without gate() as long as it is frozen");
  }
  modalities->engine->expect_here(weight, "the fusion weight is on ");
  const void* key = weight.unsafeGetTensorImpl();
  if (modalities->hooks.count(key) == 0) {
    const std::weak_ptr<Modalities> weak = modalities;
    const unsigned id = weight.register_hook([weak, key](const at::Tensor& gradient) {
      if (const auto alive = weak.lock()) {
        receive_fusion_gradient(*alive, key, gradient);
      }
    });
    modalities->hooks.emplace(key, Modalities::Hook{weight, id});
  }
  return key;
}

/// The branch features, out of a gate node.
inline std::vector<at::Tensor> gated(const GateContext& context, const std::shared_ptr<Modalities>& modalities,
                                     const std::vector<at::Tensor>& branches, FusionReads reads) {
  if (!at::GradMode::is_enabled()) {
    return branches;
  }
  auto pass = std::make_shared<GatedPass>(context, modalities, std::move(reads));
  std::vector<at::Tensor> through;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    pass->shown.present.push_back(branches[m].defined() ? 1 : 0);
    if (branches[m].defined() && branches[m].requires_grad()) {
      pass->through.push_back(m);
      through.push_back(branches[m]);
    }
  }
  if (through.empty()) {  // frozen, and the fusion layer perhaps with them
    return branches;
  }
  const std::vector<at::Tensor> weights = pass->reads.tensors();
  for (std::size_t k = 0; k < weights.size(); ++k) {
    for (std::size_t j = 0; j < k; ++j) {
      if (weights[k].defined() && weights[k].is_same(weights[j])) {
        fail("gate() got one fusion weight for '", modalities->names[j], "' and '", modalities->names[k],
             "', whose gradients cannot be told apart in it; give each branch a weight of its own, or join them along the "
             "channels");
      }
    }
    const bool is_read = pass->reads.is_joined() || branches[k].defined();
    pass->hooked.push_back(is_read ? hooked(modalities, pass->reads[k]) : nullptr);
  }
  const std::vector<at::Tensor> outputs = BranchGate::apply(at::TensorList(through), pass);
  pass->node = outputs.front().grad_fn().get();
  modalities->open_passes.insert(pass);
  context.enlist(pass);
  std::vector<at::Tensor> features = branches;
  for (std::size_t k = 0; k < through.size(); ++k) {
    features[pass->through[k]] = outputs[k];
  }
  return features;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/branch_gate.hpp>
#include <fuller/core/error.hpp>

namespace fuller::detail {

/// Notes how many of the fusion weight's input channels each branch has; an absent branch has those it had, or those left over.
inline void note_widths(Modalities& modalities, const std::vector<at::Tensor>& branches, const at::Tensor& fusion) {
  const std::int64_t reads = fusion.dim() < 2 ? 0 : fusion.size(1);
  const std::int64_t channel_dimension = fusion.dim() > 2 ? 1 : -1;
  std::int64_t known = 0;
  std::int64_t* unknown = nullptr;
  bool guessable = true;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    std::int64_t& width = modalities.widths[m];
    if (branches[m].defined()) {
      width = branches[m].size(channel_dimension);
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
         ", the fusion weight of shape ", fusion.sizes(), " reads ", reads,
         "; gate the features that this weight reads, in its order");
  }
}

/// Has a fusion weight's gradient reported to the gates, once for each weight.
inline const void* hooked(const std::shared_ptr<Modalities>& modalities, const at::Tensor& weight) {
  if (!weight.defined() || !weight.requires_grad() || !weight.is_leaf() || weight.dim() < 2) {
    fail("the fusion weight ", weight.defined() ? "must be a trained parameter of two dimensions or more" : "is undefined",
         "; its gradient is what the gates are computed from: gate with a weight that is trained, or pass the branches on "
         "without ",
         "gate() as long as it is frozen");
  }
  if (modalities->device && weight.device() != modalities->device->device()) {
    fail("the fusion weight is on ", weight.device(), ", the calibration's steps run on ", modalities->device->device(),
         "; move the model there, or call use() with that device");
  }
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

/// The branch features behind a gate node. `fusion` holds one weight that reads `widths` channels of each branch, or one weight
/// for each branch.
inline std::vector<at::Tensor> gated(const std::shared_ptr<State>& state, const std::shared_ptr<Modalities>& modalities,
                                     const std::vector<at::Tensor>& branches, const std::vector<at::Tensor>& fusion,
                                     const std::vector<std::int64_t>& widths) {
  if (!at::GradMode::is_enabled()) {
    return branches;
  }
  auto step = std::make_shared<GatedPass>();
  step->state = state;
  step->modalities = modalities;
  step->widths = widths;
  step->squared_norms.assign(branches.size(), 0.0);
  step->sizes.assign(branches.size(), 0.0);
  step->fusion = fusion;
  step->gradients.resize(fusion.size());
  std::vector<at::Tensor> through;
  for (std::size_t m = 0; m < branches.size(); ++m) {
    step->present.push_back(branches[m].defined() ? 1 : 0);
    if (branches[m].defined() && branches[m].requires_grad()) {
      step->through.push_back(m);
      through.push_back(branches[m]);
    }
  }
  if (through.empty()) {  // frozen, and the fusion layer perhaps with them
    return branches;
  }
  for (std::size_t m = 0; m < fusion.size(); ++m) {
    for (std::size_t k = 0; k < m; ++k) {
      if (fusion[m].defined() && fusion[m].is_same(fusion[k])) {
        fail("gate() got one fusion weight for '", modalities->names[k], "' and '", modalities->names[m],
             "', whose gradients cannot be told apart in it; give each branch a weight of its own, or join them along the "
             "channels");
      }
    }
    const bool is_read = fusion.size() == 1 || branches[m].defined();
    step->weights.push_back(is_read ? hooked(modalities, fusion[m]) : nullptr);
  }
  const std::vector<at::Tensor> outputs = BranchGate::apply(at::TensorList(through), step);
  step->node = outputs.front().grad_fn().get();
  auto& open = modalities->open_steps;
  open.erase(std::remove_if(open.begin(), open.end(), [](const auto& one) { return one.expired(); }), open.end());
  open.push_back(step);
  state->open_gates.insert(step);
  std::vector<at::Tensor> features = branches;
  for (std::size_t k = 0; k < through.size(); ++k) {
    features[step->through[k]] = outputs[k];
  }
  return features;
}

}  // namespace fuller::detail

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/running.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Gives parameters other gradients than the running backward sends them, on their way in: hooks of the user's, a data-parallel
/// reducer and `.grad` then see those, each once, as in a plain backward; and parameters that the backward does not go to see
/// nothing.
///
/// What stands first among a parameter's hooks is ours while this lives.
class GradientSubstitutes : public std::enable_shared_from_this<GradientSubstitutes> {
  struct Entry {
    at::Tensor parameter;
    Edge leaf;
    const FunctionPreHook* hook = nullptr;
    at::Tensor gradient;
    at::Tensor on_top;
    bool zeros = false;
  };

  struct Hook : FunctionPreHook {
    Hook(std::weak_ptr<GradientSubstitutes> all, const void* parameter) : all_(std::move(all)), parameter_(parameter) {}
    Gradients operator()(const Gradients& gradients) override {
      const auto all = all_.lock();
      if (all == nullptr || !Running::is(all->running_)) {
        return gradients;
      }
      return {all->in_place_of(parameter_, gradients[0])};
    }
    std::weak_ptr<GradientSubstitutes> all_;
    const void* parameter_;
  };

 public:
  GradientSubstitutes() : running_(Running::now()) {}
  ~GradientSubstitutes() { remove(); }
  GradientSubstitutes(const GradientSubstitutes&) = delete;
  GradientSubstitutes& operator=(const GradientSubstitutes&) = delete;

  /// `gradient` in place of what comes, or an undefined tensor: what comes is then let through, unless another is put in later.
  void put(const at::Tensor& parameter, at::Tensor gradient) { entry_of(parameter).gradient = std::move(gradient); }
  /// Zeros in place of what comes, whatever that holds.
  void put_zeros(const at::Tensor& parameter) { entry_of(parameter).zeros = true; }
  /// Adds to what was put in.
  void add(const at::Tensor& parameter, const at::Tensor& gradient) {
    Entry& entry = entry_of(parameter);
    if (gradient.defined()) {
      entry.gradient = entry.gradient.defined() ? sum_of(entry.gradient, gradient) : gradient;
    }
  }

  /// `gradient`, memory of its own that is given away, on top of what comes, which may be nothing.
  /// @param leaf  the parameter's node in the graph that the backward walks
  void put_on_top(const at::Tensor& parameter, const Edge& leaf, at::Tensor gradient) {
    entry_of(parameter, leaf).on_top = std::move(gradient);
  }

  /// Whether something waits to be put on top.
  bool has_on_top(const at::Tensor& parameter) const {
    const auto place = entries_.find(parameter.unsafeGetTensorImpl());
    return place != entries_.end() && place->second.on_top.defined();
  }
  /// What waits there becomes change(what waits), likewise memory of its own.
  template <class Change>
  void change_on_top(const at::Tensor& parameter, const Change& change) {
    if (has_on_top(parameter)) {
      at::Tensor& on_top = entries_.at(parameter.unsafeGetTensorImpl()).on_top;
      on_top = change(on_top);
    }
  }

  bool empty() const { return entries_.empty(); }

  /// Takes the hooks back out.
  void remove() noexcept {
    for (auto& [key, entry] : entries_) {
      auto& hooks = first_hooks_of(entry.parameter, entry.leaf);
      const FunctionPreHook* ours = entry.hook;
      hooks.erase(std::remove_if(hooks.begin(), hooks.end(), [&](const auto& hook) { return hook.get() == ours; }), hooks.end());
    }
    entries_.clear();
  }

 private:
  Entry& entry_of(const at::Tensor& parameter) { return entry_of(parameter, gradient_edge(parameter)); }
  Entry& entry_of(const at::Tensor& parameter, const Edge& leaf) {
    const auto [place, is_new] = entries_.try_emplace(parameter.unsafeGetTensorImpl());
    Entry& entry = place->second;
    if (is_new) {
      entry.parameter = parameter;
      entry.leaf = leaf;
      auto hook = std::make_unique<Hook>(weak_from_this(), parameter.unsafeGetTensorImpl());
      entry.hook = hook.get();
      auto& hooks = first_hooks_of(entry.parameter, entry.leaf);
      hooks.insert(hooks.begin(), std::move(hook));
      hook_captures(entry.leaf, [&] { return std::make_unique<Hook>(weak_from_this(), parameter.unsafeGetTensorImpl()); });
    }
    return entry;
  }

  at::Tensor in_place_of(const void* parameter, const at::Tensor& comes) {
    const auto place = entries_.find(parameter);
    if (place == entries_.end()) {
      return comes;
    }
    const at::NoGradGuard no_grad;
    Entry& entry = place->second;
    if (entry.on_top.defined()) {
      at::Tensor sum = std::exchange(entry.on_top, {});  // the leaf keeps it, if nobody else does
      return comes.defined() ? sum.add_(comes) : sum;
    }
    const at::Tensor& gradient = entry.gradient.defined() ? entry.gradient : comes;
    if (entry.zeros) {
      return gradient.defined() ? at::zeros_like(gradient) : gradient;
    }
    return entry.gradient.defined() ? own_copy(entry.gradient, entry.parameter) : comes;
  }

  /// A gradient that was formed apart may be memory of the graph's, another parameter's, or expanded from fewer numbers: `.grad`
  /// is to be none of that.
  static at::Tensor own_copy(const at::Tensor& gradient, const at::Tensor& parameter) {
    if (gradient.layout() != at::kStrided) {
      return gradient.clone();
    }
    return at::empty_like(parameter, gradient.options()).copy_(gradient);
  }

  std::weak_ptr<const Running> running_;
  std::unordered_map<const void*, Entry> entries_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

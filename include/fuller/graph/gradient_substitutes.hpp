// SPDX-License-Identifier: Apache-2.0
#pragma once

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
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/version.h>

#include <fuller/graph/running.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller::detail {

/// Gives parameters other gradients than the running backward sends them, on their way in: hooks of the user's, a data-parallel
/// reducer and `.grad` then see those, each once, as in a plain backward; and parameters that the backward does not go to see
/// nothing.
///
/// What stands first among a parameter's hooks is ours while this lives.
class HeadSubstitutes : public std::enable_shared_from_this<HeadSubstitutes> {
  using FunctionPreHook = torch::autograd::FunctionPreHook;

  struct Entry {
    at::Tensor parameter;
    Edge leaf;
    const FunctionPreHook* hook = nullptr;
    at::Tensor gradient;
    bool zeros = false;
  };

  struct Hook : FunctionPreHook {
    Hook(std::weak_ptr<HeadSubstitutes> all, const void* parameter) : all_(std::move(all)), parameter_(parameter) {}
    torch::autograd::variable_list operator()(const torch::autograd::variable_list& gradients) override {
      const auto all = all_.lock();
      if (all == nullptr || !Running::is(all->running_)) {
        return gradients;
      }
      return {all->in_place_of(parameter_, gradients[0])};
    }
    std::weak_ptr<HeadSubstitutes> all_;
    const void* parameter_;
  };

#if TORCH_VERSION_MAJOR < 2
  /// A capture passes no hook of the parameter.
  struct CaptureHook : torch::autograd::GraphTask::ExecInfo::Capture::GradCaptureHook {
    explicit CaptureHook(std::unique_ptr<Hook> hook) : hook_(std::move(hook)) {}
    at::Tensor operator()(const at::Tensor& gradient) override { return (*hook_)({gradient})[0]; }
    std::unique_ptr<Hook> hook_;
  };
#endif

  /// The hooks of a parameter that run first: its own from LibTorch 2.0 on; before that, those run in the node, and even that
  /// only where a gradient comes.
  static auto& hooks_of(const Entry& entry) {
#if TORCH_VERSION_MAJOR >= 2
    return torch::autograd::impl::hooks(entry.parameter);
#else
    return entry.leaf.function->pre_hooks();
#endif
  }

 public:
  HeadSubstitutes() : running_(Running::now()) {}
  ~HeadSubstitutes() { remove(); }
  HeadSubstitutes(const HeadSubstitutes&) = delete;
  HeadSubstitutes& operator=(const HeadSubstitutes&) = delete;

  /// `gradient` in place of what comes, or an undefined tensor: what comes is then let through, unless another is put in later.
  void put(const at::Tensor& parameter, at::Tensor gradient) { entry_of(parameter).gradient = std::move(gradient); }
  /// Zeros in place of what comes, whatever that holds.
  void put_zeros(const at::Tensor& parameter) { entry_of(parameter).zeros = true; }
  /// Adds to what was put in.
  void add(const at::Tensor& parameter, const at::Tensor& gradient) {
    Entry& entry = entry_of(parameter);
    if (gradient.defined()) {
      entry.gradient = entry.gradient.defined() ? entry.gradient + gradient : gradient;
    }
  }

  bool empty() const { return entries_.empty(); }

  /// Takes the hooks back out.
  void remove() noexcept {
    for (auto& [key, entry] : entries_) {
      auto& hooks = hooks_of(entry);
      const FunctionPreHook* ours = entry.hook;
      hooks.erase(std::remove_if(hooks.begin(), hooks.end(), [&](const auto& hook) { return hook.get() == ours; }), hooks.end());
    }
    entries_.clear();
  }

 private:
  Entry& entry_of(const at::Tensor& parameter) {
    const auto [place, is_new] = entries_.try_emplace(parameter.unsafeGetTensorImpl());
    Entry& entry = place->second;
    if (is_new) {
      entry.parameter = parameter;
      entry.leaf = gradient_edge(parameter);
      auto hook = std::make_unique<Hook>(weak_from_this(), parameter.unsafeGetTensorImpl());
      entry.hook = hook.get();
      auto& hooks = hooks_of(entry);
      hooks.insert(hooks.begin(), std::move(hook));
      put_at_captures(entry);
    }
    return entry;
  }

  void put_at_captures([[maybe_unused]] const Entry& entry) {
#if TORCH_VERSION_MAJOR < 2
    auto& infos = task_of(*torch::autograd::get_current_graph_task_nodes_in_graph()).exec_info_;
    const auto info = infos.find(entry.leaf.function.get());
    if (info != infos.end() && info->second.captures_) {
      for (auto& capture : *info->second.captures_) {
        capture.hooks_.push_back(
            std::make_unique<CaptureHook>(std::make_unique<Hook>(weak_from_this(), entry.parameter.unsafeGetTensorImpl())));
      }
    }
#endif
  }

  at::Tensor in_place_of(const void* parameter, const at::Tensor& comes) {
    const auto place = entries_.find(parameter);
    if (place == entries_.end()) {
      return comes;
    }
    const at::NoGradGuard no_grad;
    Entry& entry = place->second;
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

/// Keeps the hooks of parameters from running while gradients of them are captured, which they do from LibTorch 2.0 on: they are
/// to see the one gradient that trains.
class HooksAside {
 public:
  explicit HooksAside([[maybe_unused]] const std::vector<at::Tensor>& parameters) {
#if TORCH_VERSION_MAJOR >= 2
    for (const at::Tensor& parameter : parameters) {
      auto& hooks = torch::autograd::impl::hooks(parameter);
      if (!hooks.empty()) {
        parameters_.push_back(parameter);
        aside_.push_back(std::move(hooks));
        hooks.clear();
      }
    }
#endif
  }
  ~HooksAside() {  // NOLINT(modernize-use-equals-default): it is empty before LibTorch 2 alone
#if TORCH_VERSION_MAJOR >= 2
    for (std::size_t k = 0; k < parameters_.size(); ++k) {
      torch::autograd::impl::hooks(parameters_[k]) = std::move(aside_[k]);
    }
#endif
  }
  HooksAside(const HooksAside&) = delete;
  HooksAside& operator=(const HooksAside&) = delete;

 private:
#if TORCH_VERSION_MAJOR >= 2
  std::vector<at::Tensor> parameters_;
  std::vector<std::vector<std::unique_ptr<torch::autograd::FunctionPreHook>>> aside_;
#endif
};

}  // namespace fuller::detail

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/weighting.hpp>
#include <fuller/cuda/calls.hpp>
#include <fuller/engine/kernels.hpp>

namespace fuller {
inline namespace v0_1 {

/// A rule with its policies on a device: evidence, weights and state stay there, in tensors that keep their addresses, so that a
/// step made of weigh() and weighted_sum() has no wait and can be captured in a CUDA graph.
///
/// For a training step written by hand; a Calibration whose steps run on a device makes one for itself.
class DeviceCalibrator {
 public:
  /// @throws Error for options that make no sense.
  template <class Rule>
  DeviceCalibrator(const Rule& rule, int tasks, at::Device device, const WeightingOptions& policies = {})
      : DeviceCalibrator(Weighting<Rule>(rule, policies), tasks, device) {}

  /// The same of a rule that has its policies already.
  template <class Rule>
  DeviceCalibrator(const Weighting<Rule>& weighting, int tasks, at::Device device) : tasks_(tasks), needs_(weighting.needs()) {
    static_assert(cuda::rule_number<Rule> >= 0, "the kernels know the rules of cuda::KnownRules; others run on the host");
    static_assert(std::is_trivially_copyable_v<Weighting<Rule>>, "a rule is an argument of kernels");
    const auto options = at::TensorOptions().device(device);
    const auto doubles = options.dtype(at::kDouble);
    std::vector<double> state(static_cast<std::size_t>(weighting.state_size(tasks)) + 1);
    weighting.initialise(tasks, state.data());
    state_ = to_device(state.data(), state.size() * sizeof(double), at::kDouble, device);
    weighting_ = to_device(&weighting, sizeof weighting, at::kByte, device);
    counters_ = at::zeros({2}, options.dtype(at::kLong));
    gram_ = at::zeros({tasks, tasks}, doubles);
    shared_ = at::zeros({tasks}, doubles);
    heads_ = at::zeros({tasks}, doubles);
    conditions_ = at::full({tasks}, static_cast<int>(Condition::absent), options.dtype(at::kByte));
    scratch_ = at::zeros({cuda::rule_scratch(weighting, tasks)}, doubles);
    workspace_ = at::zeros({1}, doubles);
    number_ = cuda::rule_number<Rule>;
  }

  /// Chooses this step's weights from the task gradients. One launch for each 90 or so tensors at T = 2 and each element type; no
  /// wait; allocates when the lists have grown, and for tensors that have to be copied to be read.
  /// @param gradients   gradients[i] is task i's list; an entry is undefined where the task does not reach a parameter, and the
  ///                    list is empty where the task is absent
  /// @param losses      [T] doubles on the device, for a rule that needs them
  /// @param loss_scale  one double on the device, the factor of mixed precision, or undefined
  /// @param present     bit i says that task i takes part even if none of its gradients is defined: these are then zero
  /// @param held        the rule is not asked (WeightingOptions::every), and only policies use the gradients
  /// @throws Error for gradients that do not belong together, or losses that are missing
  void weigh(const DeviceKernels& kernels, const std::vector<std::vector<at::Tensor>>& gradients, const at::Tensor& losses = {},
             const at::Tensor& loss_scale = {}, std::uint64_t present = 0, bool held = false) {
    const c10::NoGradGuard no_grad;
    if (gradients.size() != static_cast<std::size_t>(tasks_)) {
      detail::fail("gradients of ", gradients.size(), " tasks were given to a calibrator of ", tasks_);
    }
    expect_doubles(losses, needs_.losses ? tasks_ : 0, "losses");
    expect_doubles(loss_scale, 0, "a loss scale");
    cuda::RuleCall call = make_call(losses, loss_scale);
    call.present = present;
    call.held = held;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      const bool here = std::any_of(gradients[i].begin(), gradients[i].end(), [](const at::Tensor& g) { return g.defined(); });
      call.present |= static_cast<std::uint64_t>(here ? 1 : 0) << i;
    }
    if (launch(kernels, call, gradients) == cuda::Outcome::too_many_dims) {
      std::vector<std::vector<at::Tensor>> copies = gradients;
      for (auto& list : copies) {
        for (at::Tensor& gradient : list) {
          gradient = gradient.defined() ? gradient.contiguous() : gradient;
        }
      }
      detail::expect_launched(launch(kernels, call, copies), "a Gram matrix");
    }
  }

  /// The same from a Gram matrix that was formed elsewhere, [T, T] doubles on the device. One launch.
  void weigh_by_gram(const DeviceKernels& kernels, const at::Tensor& gram, std::uint64_t present, const at::Tensor& losses = {},
                     const at::Tensor& loss_scale = {}, bool held = false) {
    const c10::NoGradGuard no_grad;
    expect_doubles(losses, needs_.losses ? tasks_ : 0, "losses");
    expect_doubles(loss_scale, 0, "a loss scale");
    gram_.copy_(gram);
    cuda::RuleCall call = make_call(losses, loss_scale);
    call.present = present;
    call.held = held;
    detail::expect_launched(kernels.table->submit(call, kernels.stream), "a rule");
  }

  /// The same without task gradients, for a rule that compares none: bit i of `present` says that task i has a loss. One launch.
  void weigh_unmeasured(const DeviceKernels& kernels, std::uint64_t present, const at::Tensor& losses = {},
                        const at::Tensor& loss_scale = {}) {
    if (needs_.gram) {
      detail::fail("this rule compares task gradients, and was given none");
    }
    expect_doubles(losses, needs_.losses ? tasks_ : 0, "losses");
    expect_doubles(loss_scale, 0, "a loss scale");
    cuda::RuleCall call = make_call(losses, loss_scale);
    call.present = present;
    call.gram = nullptr;
    detail::expect_launched(kernels.table->submit(call, kernels.stream), "a rule");
  }

  /// Holds the weights of the tasks that bit i of `present` says have a loss, without asking the rule: for a calibrator made with
  /// WeightingOptions::every > 1. One launch.
  void hold(const DeviceKernels& kernels, std::uint64_t present, const at::Tensor& loss_scale = {}) {
    const c10::NoGradGuard no_grad;
    expect_doubles(loss_scale, 0, "a loss scale");
    cuda::RuleCall call = make_call({}, loss_scale);
    call.present = present;
    call.held = true;
    call.gram = nullptr;
    detail::expect_launched(kernels.table->submit(call, kernels.stream), "a rule");
  }

  /// Ends an epoch, or begins any: a write on the device, no wait.
  void set_epoch(std::int64_t epoch) { counters_.narrow(0, 1, 1).fill_(epoch); }

  // Tensors on the device that every step writes in place. To look at them without a wait, copy them to pinned memory with
  // non_blocking; to save a run, save state() and counters(), and copy them back with copy_() to go on.

  const at::Tensor& gram() const { return gram_; }              ///< [T, T] doubles
  const at::Tensor& shared_weights() const { return shared_; }  ///< [T] doubles, of the shared parameters' gradients
  const at::Tensor& head_weights() const { return heads_; }     ///< [T] doubles, of the heads' gradients
  const at::Tensor& conditions() const { return conditions_; }  ///< [T] bytes, each a Condition
  const at::Tensor& state() const { return state_; }            ///< what the rule keeps, and one unused double
  const at::Tensor& counters() const { return counters_; }      ///< [2] integers: steps taken, epoch

 private:
  static at::Tensor to_device(const void* data, std::size_t bytes, at::ScalarType type, at::Device device) {
    const std::size_t size = type == at::kDouble ? sizeof(double) : 1;
    const at::Tensor host = at::empty({static_cast<std::int64_t>(bytes / size)}, at::TensorOptions().dtype(type));
    std::memcpy(host.data_ptr(), data, bytes);
    return device.is_cpu() ? host : host.to(device);
  }

  static void expect_doubles(const at::Tensor& given, int count, const char* what) {
    const bool missing = count > 0 && !given.defined();
    const bool wrong = given.defined() && (given.scalar_type() != at::kDouble || !given.is_contiguous() || given.numel() < 1);
    if (missing || wrong || (count > 0 && given.numel() != count)) {
      detail::fail("the calibrator takes ", what, " as contiguous doubles on the device", count > 0 ? ", one for each task" : "");
    }
  }

  cuda::RuleCall make_call(const at::Tensor& losses, const at::Tensor& loss_scale) const {
    cuda::RuleCall call;
    call.number = number_;
    call.tasks = tasks_;
    call.weighting = weighting_.data_ptr();
    call.gram = gram_.data_ptr<double>();
    call.losses = needs_.losses && losses.defined() ? losses.data_ptr<double>() : nullptr;
    call.loss_scale = loss_scale.defined() ? loss_scale.data_ptr<double>() : nullptr;
    call.counters = counters_.data_ptr<std::int64_t>();
    call.state = state_.data_ptr<double>();
    call.shared = shared_.data_ptr<double>();
    call.heads = heads_.data_ptr<double>();
    call.conditions = static_cast<Condition*>(conditions_.data_ptr());
    call.scratch = scratch_.data_ptr<double>();
    return call;
  }

  cuda::Outcome launch(const DeviceKernels& kernels, const cuda::RuleCall& call,
                       const std::vector<std::vector<at::Tensor>>& gradients) {
    const detail::GradientViews views(gradients);
    const std::int64_t needed = cuda::gram_workspace(tasks_, views.tensors(), views.elements());
    if (workspace_.numel() < needed) {
      outgrown_.push_back(workspace_);
      workspace_ = at::zeros({needed}, workspace_.options());
    }
    cuda::GramRequest request;
    request.parts = views.lists().data();
    request.part_count = static_cast<int>(views.lists().size());
    request.tasks = tasks_;
    request.gram = gram_.data_ptr<double>();
    request.workspace = workspace_.data_ptr<double>();
    request.rule = call;
    const cuda::Outcome outcome = kernels.table->submit(request, kernels.stream);
    detail::expect_launched(outcome, "a Gram matrix");
    return outcome;
  }

  int tasks_;
  Needs needs_;
  int number_ = -1;
  at::Tensor weighting_;
  at::Tensor state_;
  at::Tensor counters_;
  at::Tensor gram_;
  at::Tensor shared_;
  at::Tensor heads_;
  at::Tensor conditions_;
  at::Tensor scratch_;
  at::Tensor workspace_;
  std::vector<at::Tensor> outgrown_;  // a graph captured earlier may hold their addresses
};

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD

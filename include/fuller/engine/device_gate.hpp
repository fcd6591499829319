// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cstdint>
#include <cstring>
#include <numeric>
#include <type_traits>
#include <vector>

#include <fuller/core/floating.hpp>
#include <fuller/cuda/calls.hpp>
#include <fuller/engine/kernels.hpp>

namespace fuller {
inline namespace v0_1 {

/// A gate law on a device, as DeviceCalibrator is a rule: no wait, tensors that keep their addresses, may be captured.
class DeviceGate {
 public:
  /// @throws Error for what the law refuses.
  template <class Law>
  DeviceGate(const Law& law, int branches, at::Device device) : number_(cuda::gate_number<Law>), branches_(branches) {
    static_assert(cuda::gate_number<Law> >= 0, "the kernels know the gate laws of cuda::KnownGates; others run on the host");
    static_assert(std::is_trivially_copyable_v<Law>, "a law is read by kernels as it lies in memory");
    const auto doubles = at::TensorOptions().device(device).dtype(at::kDouble);
    at::Tensor state = at::empty({law.state_size(branches)}, at::kDouble);
    law.initialise(branches, state.data_ptr<double>());
    at::Tensor bytes = at::empty({static_cast<std::int64_t>(sizeof law)}, at::kByte);
    std::memcpy(bytes.data_ptr(), &law, sizeof law);
    state_ = device.is_cpu() ? state : state.to(device);
    law_ = device.is_cpu() ? bytes : bytes.to(device);
    scales_ = at::ones({branches}, doubles);
    squared_norms_ = at::zeros({branches}, doubles);
    scores_ = at::full({branches}, detail::quiet_nan, doubles);
    scratch_ = at::zeros({cuda::gate_scratch(law, branches)}, doubles);
    workspace_ = at::zeros({1}, doubles);
  }

  /// Chooses this step's gates from the gradient of the fusion layer's weight: branch m has the `widths[m]` channels along `dim`
  /// after those of branches 0 .. m - 1; a width of 0 says that its modality is absent. One launch for up to 8 branches, no
  /// wait; allocates when the weight has grown, and for one that is not dense.
  /// @throws Error when the widths do not make up the weight.
  void weigh(const DeviceKernels& kernels, const at::Tensor& weight_gradient, at::IntArrayRef widths, std::int64_t dim = 1) {
    if (widths.size() != static_cast<std::size_t>(branches_)) {
      detail::fail("slices of ", widths, " channels were given for ", branches_, " branches");
    }
    cuda::GateCall call = make_call();
    const std::int64_t channels = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
    for (std::size_t m = 0; m < widths.size(); ++m) {
      call.present |= static_cast<std::uint64_t>(widths[m] > 0 ? 1 : 0) << m;
      call.sizes[m] = channels > 0 ? static_cast<double>(weight_gradient.numel() / channels * widths[m]) : 0.0;
    }
    launch(kernels, weight_gradient, widths, dim, squared_norms_.data_ptr<double>(), call);
  }

  /// The first half of weigh(), for branches that are read by several weights: the squared norms of the slices of one weight's
  /// gradient go to norms[first], norms[first + 1], ... of [M] doubles. One launch for up to 8 of them, no wait.
  /// @throws Error as weigh() does, and where the norms have no room for them.
  void measure(const DeviceKernels& kernels, const at::Tensor& weight_gradient, at::IntArrayRef widths, const at::Tensor& norms,
               std::int64_t first, std::int64_t dim = 1) {
    if (first < 0 || norms.scalar_type() != at::kDouble || !norms.is_contiguous() ||
        first + static_cast<std::int64_t>(widths.size()) > norms.numel()) {
      detail::fail("the norms of ", widths.size(), " slices from number ", first, " on do not fit ", norms.numel(), " doubles");
    }
    launch(kernels, weight_gradient, widths, dim, norms.data_ptr<double>() + first, {});
  }

  /// The second half: the gates from [M] squared norms of slices of so many elements. One copy and one launch, no wait.
  /// @throws Error for lists that have not one entry for each branch.
  void open(const DeviceKernels& kernels, const at::Tensor& norms, const std::vector<double>& sizes,
            const std::vector<std::uint8_t>& present) {
    const auto branches = static_cast<std::size_t>(branches_);
    if (sizes.size() != branches || present.size() != branches || norms.numel() != branches_) {
      detail::fail("norms of ", norms.numel(), " slices were given for ", branches_, " branches");
    }
    squared_norms_.copy_(norms);
    cuda::GateCall call = make_call();
    for (std::size_t m = 0; m < branches; ++m) {
      call.present |= static_cast<std::uint64_t>(present[m] != 0 ? 1 : 0) << m;
      call.sizes[m] = sizes[m];
    }
    detail::expect_launched(kernels.table->submit(call, kernels.stream), "a gate");
  }

  // Tensors on the device that every step writes in place, [M] doubles.

  const at::Tensor& scales() const { return scales_; }                ///< what each branch's cotangent is multiplied with
  const at::Tensor& squared_norms() const { return squared_norms_; }  ///< of the slices
  const at::Tensor& state() const { return state_; }                  ///< what the law keeps: save these
  /// For a law that compares scores: write them here before each weigh(), NaN for a branch that has none. No step writes to it.
  const at::Tensor& scores() const { return scores_; }

 private:
  cuda::GateCall make_call() const {
    cuda::GateCall call;
    call.number = number_;
    call.law = law_.data_ptr();
    call.branches = branches_;
    call.squared_norms = squared_norms_.data_ptr<double>();
    call.scores = scores_.data_ptr<double>();
    call.state = state_.data_ptr<double>();
    call.scales = scales_.data_ptr<double>();
    call.scratch = scratch_.data_ptr<double>();
    return call;
  }

  void launch(const DeviceKernels& kernels, const at::Tensor& weight_gradient, at::IntArrayRef widths, std::int64_t dim,
              double* squared_norms, const cuda::GateCall& call) {
    const std::int64_t channels = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
    if (dim < 0 || dim >= weight_gradient.dim() || channels != weight_gradient.size(dim) || channels == 0) {
      detail::fail("slices of ", widths, " channels along dimension ", dim, " do not make up a weight of shape ",
                   weight_gradient.sizes(), " for ", branches_, " branches");
    }
    at::Tensor weight = detail::readable(weight_gradient, weight_gradient.scalar_type());
    weight = weight.is_non_overlapping_and_dense() ? weight : weight.contiguous();
    cuda::NormRequest request;
    if (!detail::element_of(weight.scalar_type(), request.element)) {
      detail::fail("a fusion weight's gradient is of type ", weight.dtype().name(), "; norms take real floating types");
    }
    const std::int64_t needed = cuda::norm_workspace(weight.numel());
    if (workspace_.numel() < needed) {
      outgrown_.push_back(workspace_);
      workspace_ = at::zeros({needed}, workspace_.options());
    }
    request.weight = weight.data_ptr();
    // In a dense layout the stride of a dimension is the number of elements inside it; a single channel's stride says nothing.
    request.inner = channels == 1 ? weight.numel() : weight.stride(dim);
    request.outer = weight.numel() / (channels * request.inner);
    request.widths = widths.data();
    request.slices = static_cast<int>(widths.size());
    request.squared_norms = squared_norms;
    request.workspace = workspace_.data_ptr<double>();
    request.gate = call;
    detail::expect_launched(kernels.table->submit(request, kernels.stream), "the norms of slices");
  }

  int number_;
  int branches_;
  at::Tensor law_;
  at::Tensor state_;
  at::Tensor scales_;
  at::Tensor squared_norms_;
  at::Tensor scores_;
  at::Tensor scratch_;
  at::Tensor workspace_;
  std::vector<at::Tensor> outgrown_;  // a graph captured earlier may hold their addresses
};

}  // namespace v0_1
}  // namespace fuller

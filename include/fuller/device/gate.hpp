// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include <fuller/calibrators/modality_gate.hpp>
#include <fuller/cuda/calls.hpp>
#include <fuller/device/kernels.hpp>

namespace fuller {

/// A modality gate that lives on a device, as DeviceCalibrator does: no wait, tensors that keep their addresses, may be captured.
class DeviceGate {
 public:
  /// @throws Error for what the gate refuses.
  DeviceGate(const ModalityGate& gate, int branches, at::Device device) : gate_(gate), branches_(branches) {
    std::vector<double> state(static_cast<std::size_t>(gate.state_size(branches)));
    gate.initialise(branches, state.data());  // every gate starts at 1
    const auto doubles = at::TensorOptions().device(device).dtype(at::kDouble);
    state_ = at::ones({branches}, doubles);
    scales_ = at::ones({branches}, doubles);
    squared_norms_ = at::zeros({branches}, doubles);
    scratch_ = at::zeros({cuda::gate_scratch(gate, branches)}, doubles);
    workspace_ = at::zeros({1}, doubles);
  }

  /// Chooses this step's gates from the gradient of the fusion layer's weight: branch m has the `widths[m]` channels along `dim`
  /// behind those of branches 0 .. m - 1; a width of 0 says that its modality is absent. One launch for up to 8 branches, no
  /// wait; allocates when the weight has grown, and for one that is not dense.
  /// @throws Error when the widths do not make up the weight.
  void weigh(const DeviceKernels& kernels, const at::Tensor& weight_gradient, at::IntArrayRef widths, std::int64_t dim = 1) {
    const std::int64_t channels = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
    if (widths.size() != static_cast<std::size_t>(branches_) || dim < 0 || dim >= weight_gradient.dim() ||
        channels != weight_gradient.size(dim) || channels == 0) {
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
      workspace_ = at::zeros({needed}, workspace_.options());
    }
    request.weight = weight.data_ptr();
    // In a dense layout the stride of a dimension is the number of elements inside it; a single channel's stride says nothing.
    request.inner = channels == 1 ? weight.numel() : weight.stride(dim);
    request.outer = weight.numel() / (channels * request.inner);
    request.widths = widths.data();
    request.slices = branches_;
    request.squared_norms = squared_norms_.data_ptr<double>();
    request.workspace = workspace_.data_ptr<double>();
    cuda::GateCall& call = request.gate;
    call.given = true;
    call.gate = gate_;
    call.branches = branches_;
    call.squared_norms = request.squared_norms;
    call.state = state_.data_ptr<double>();
    call.scales = scales_.data_ptr<double>();
    call.scratch = scratch_.data_ptr<double>();
    for (std::size_t m = 0; m < widths.size(); ++m) {
      call.present |= static_cast<std::uint64_t>(widths[m] > 0 ? 1 : 0) << m;
      call.sizes[m] = static_cast<double>(weight.numel() / channels * widths[m]);
    }
    detail::expect_launched(kernels.table->slice_norms(request, kernels.stream), "the norms of slices");
  }

  // Tensors on the device that every step writes in place, [M] doubles.

  const at::Tensor& scales() const { return scales_; }                ///< what each branch's cotangent is multiplied with
  const at::Tensor& squared_norms() const { return squared_norms_; }  ///< of the slices
  const at::Tensor& state() const { return state_; }                  ///< the gates: save these

 private:
  ModalityGate gate_;
  int branches_;
  at::Tensor state_;
  at::Tensor scales_;
  at::Tensor squared_norms_;
  at::Tensor scratch_;
  at::Tensor workspace_;
};

}  // namespace fuller

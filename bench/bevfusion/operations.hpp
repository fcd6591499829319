// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <ATen/record_function.h>
#include <torch/types.h>

namespace bench {

/// The floating-point operations of LibTorch's products of matrices and convolutions on this thread while it lives, by the shapes
/// that they are called with: two for a multiplication and an addition. Only one may live at a time.
class Operations {
 public:
  Operations()
      : handle_(at::addThreadLocalCallback(
            at::RecordFunctionCallback(&Operations::see).needsInputs(true).scopes({at::RecordScope::FUNCTION}))) {
    counted() = 0;
  }
  ~Operations() { at::removeCallback(handle_); }
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  double so_far() const { return counted(); }

 private:
  static double& counted() {
    thread_local double operations = 0;
    return operations;
  }

  static std::unique_ptr<at::ObserverContext> see(const at::RecordFunction& call) {
    // Each product once, whatever it is called by: linear() and matmul() end in these.
    static constexpr struct {
      const char* name;
      std::size_t left;
    } products[] = {{"aten::mm", 0},     {"aten::bmm", 0},   {"aten::mv", 0},      {"aten::addmm", 1},
                    {"aten::addmm_", 1}, {"aten::addmv", 1}, {"aten::baddbmm", 1}, {"aten::addbmm", 1}};
    for (const auto& product : products) {
      if (std::strcmp(call.name(), product.name) == 0) {
        const torch::Tensor& left = call.inputs()[product.left].toTensor();
        const torch::Tensor& right = call.inputs()[product.left + 1].toTensor();
        const bool is_vector = right.dim() == 1;
        counted() += 2 * static_cast<double>(left.numel()) * static_cast<double>(is_vector ? 1 : right.size(-1));
      }
    }
    if (std::strcmp(call.name(), "aten::convolution") == 0) {
      counted() += of_convolution(call.inputs());
    }
    return nullptr;
  }

  /// aten::convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
  template <class Inputs>
  static double of_convolution(const Inputs& inputs) {
    const torch::Tensor input = inputs[0].toTensor();
    const torch::Tensor weight = inputs[1].toTensor();
    // Each place that is read meets the weight of one place that is written, or the other way round.
    double places = static_cast<double>(input.size(0));
    if (inputs[6].toBool()) {
      return 2 * static_cast<double>(input.numel()) * static_cast<double>(weight.numel() / weight.size(0));
    }
    const auto at = [](const std::vector<std::int64_t>& list, std::size_t k) { return list.size() == 1 ? list[0] : list[k]; };
    const std::vector<std::int64_t> stride = inputs[3].toIntVector();
    const std::vector<std::int64_t> padding = inputs[4].toIntVector();
    const std::vector<std::int64_t> dilation = inputs[5].toIntVector();
    for (std::int64_t d = 2; d < input.dim(); ++d) {
      const auto k = static_cast<std::size_t>(d - 2);
      const std::int64_t reach = at(dilation, k) * (weight.size(d) - 1) + 1;
      places *= static_cast<double>((input.size(d) + 2 * at(padding, k) - reach) / at(stride, k) + 1);
    }
    return 2 * places * static_cast<double>(weight.numel());
  }

  at::CallbackHandle handle_;
};

}  // namespace bench

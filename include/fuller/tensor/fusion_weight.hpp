// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {

/// A weight that reads modality branches, and how: which of its dimensions is that of the input channels, and which dimension of
/// the features has these channels. gate() takes the weight itself where it is a convolution's or a linear layer's.
///
///     calibration.gate<2>({a, b}, fuse->weight);                                        // [out, in, ...]
///     calibration.gate<2>({a, b}, fuller::FusionWeight::transposed(up->weight));        // [in, out, ...]
///     calibration.gate<2>({a, b}, fuller::FusionWeight(table, /*input_dim=*/2, /*feature_dim=*/-1));
///
/// Holds the weight's handle: copies nothing, waits for nothing. Dimensions are checked when the weight is used, by gate().
class FusionWeight {
 public:
  /// A layer's [out, in, ...] as torch::nn lays it out: channels are dimension 1 of a convolution's features, the last dimension
  /// of a linear layer's.
  explicit FusionWeight(const at::Tensor& weight) : FusionWeight(weight, 1, weight.defined() && weight.dim() > 2 ? 1 : -1) {}

  /// The weight of any other operator whose output is linear in each branch's slice of it. Dimensions may be negative: they then
  /// count from the end.
  /// @param input_dim    the dimension of the weight that has the input channels
  /// @param feature_dim  the dimension of the features that has them
  FusionWeight(at::Tensor weight, std::int64_t input_dim, std::int64_t feature_dim)
      : weight_(std::move(weight)), input_dim_(input_dim), feature_dim_(feature_dim) {}

  /// A transposed convolution's [in, out, ...], whose features have their channels in dimension 1.
  static FusionWeight transposed(const at::Tensor& weight) { return {weight, 0, 1}; }

  const at::Tensor& weight() const { return weight_; }
  /// The weight's dimension of input channels, counted from 0.
  /// @throws Error where the weight has no such dimension
  std::int64_t input_dim() const { return wrapped(input_dim_, weight_, "the fusion weight"); }
  /// The dimension of `feature` that has the channels, counted from 0.
  /// @throws Error where the feature has no such dimension
  std::int64_t feature_dim(const at::Tensor& feature) const { return wrapped(feature_dim_, feature, "the features"); }
  /// The number of input channels; 0 where has_inputs() is false.
  std::int64_t reads() const { return has_inputs() ? weight_.size(input_dim_) : 0; }
  /// Whether the weight is defined and has the dimension that was named.
  bool has_inputs() const { return weight_.defined() && -weight_.dim() <= input_dim_ && input_dim_ < weight_.dim(); }

 private:
  static std::int64_t wrapped(std::int64_t dim, const at::Tensor& tensor, const char* what) {
    const std::int64_t found = dim < 0 ? dim + tensor.dim() : dim;
    if (found < 0 || found >= tensor.dim()) {
      detail::fail("the channels are dimension ", dim, " by the FusionWeight, ", what, " of shape ", tensor.sizes(),
                   " have no such dimension; give the dimension that the layer reads its channels from");
    }
    return found;
  }

  at::Tensor weight_;
  std::int64_t input_dim_;
  std::int64_t feature_dim_;
};

namespace detail {

/// The part of a fusion weight's gradient that belongs to branches: those from `first` on, of so many channels along `dim` each.
struct BranchSlices {
  std::int64_t dim = 1;
  std::vector<std::int64_t> widths;
  std::size_t first = 0;
};

/// How the branches of one pass are read: by one weight, joined along its channels in their order, or by a weight each.
class FusionReads {
 public:
  FusionReads() = default;
  FusionReads(FusionWeight joined, std::vector<std::int64_t> widths) : weights_{std::move(joined)}, widths_(std::move(widths)) {}
  explicit FusionReads(std::vector<FusionWeight> of_each) : weights_(std::move(of_each)) {}

  std::size_t count() const { return weights_.size(); }
  bool is_joined() const { return !widths_.empty(); }
  const FusionWeight& operator[](std::size_t k) const { return weights_[k]; }

  std::vector<at::Tensor> tensors() const {
    std::vector<at::Tensor> all;
    for (const FusionWeight& one : weights_) {
      all.push_back(one.weight());
    }
    return all;
  }

  /// What weight k's gradient says of which branches.
  BranchSlices slices(std::size_t k) const {
    const std::int64_t dim = weights_[k].input_dim();
    return is_joined() ? BranchSlices{dim, widths_, 0} : BranchSlices{dim, {weights_[k].reads()}, k};
  }

 private:
  std::vector<FusionWeight> weights_;
  std::vector<std::int64_t> widths_;  ///< channels of each branch in the one weight; empty: a weight each
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

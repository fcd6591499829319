// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/sparse/sparse_tensor.hpp"

#include <sstream>
#include <stdexcept>

#include <torch/torch.h>

namespace bevfusion {

torch::Tensor keys_of(const torch::Tensor& sites, const Extent& shape) {
  using torch::indexing::Ellipsis;
  const auto part = [&](int axis) { return sites.index({Ellipsis, axis}); };
  return ((part(0) * shape[0] + part(1)) * shape[1] + part(2)) * shape[2] + part(3);
}

torch::Tensor sites_of(const torch::Tensor& keys, const Extent& shape) {
  const auto split = [](const torch::Tensor& value, std::int64_t extent) {
    const torch::Tensor quotient = torch::div(value, extent, "floor");
    return std::make_pair(quotient, value - quotient * extent);
  };
  const auto [column, z] = split(keys, shape[2]);
  const auto [plane, y] = split(column, shape[1]);
  const auto [b, x] = split(plane, shape[0]);
  return torch::stack({b, x, y, z}, 1);
}

torch::Tensor SparseTensor::sites() const { return sites_of(keys, shape); }

torch::Tensor SparseTensor::dense() const {
  const std::int64_t channels = features.size(1);
  const torch::Tensor flat = torch::zeros({batch * shape[0] * shape[1] * shape[2], channels}, features.options());
  return flat.index_copy(0, keys, features)
      .view({batch, shape[0], shape[1], shape[2], channels})
      .permute({0, 4, 1, 2, 3})
      .contiguous();
}

SparseTensor make_sparse(const torch::Tensor& sites, const torch::Tensor& features, const Extent& shape, std::int64_t batch) {
  if (sites.dim() != 2 || sites.size(1) != 4 || features.dim() != 2 || features.size(0) != sites.size(0)) {
    std::ostringstream text;
    text << "a sparse tensor needs sites [N, 4] and features [N, C], got " << sites.sizes() << " and " << features.sizes();
    throw std::invalid_argument(text.str());
  }
  const torch::Tensor upper = torch::tensor({batch, shape[0], shape[1], shape[2]}, sites.options());
  if (sites.size(0) > 0 && ((sites < 0).any() | (sites >= upper).any()).item<bool>()) {
    throw std::invalid_argument("a sparse tensor has a site outside of its grid");
  }
  const auto [keys, order] = keys_of(sites, shape).sort();
  if (keys.size(0) > 1 && (keys.slice(0, 1) == keys.slice(0, 0, -1)).any().item<bool>()) {
    throw std::invalid_argument("a sparse tensor has a site that is given twice");
  }
  return {features.index_select(0, order), keys, shape, batch};
}

}  // namespace bevfusion

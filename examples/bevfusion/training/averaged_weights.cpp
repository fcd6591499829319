// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/averaged_weights.hpp"

#include <algorithm>

#include <torch/torch.h>

namespace bevfusion {

std::vector<std::pair<std::string, torch::Tensor>> weights_by_name(const Network& network) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;
  for (const auto& parameter : network->named_parameters()) {
    tensors.emplace_back(parameter.key(), parameter.value());
  }
  for (const auto& buffer : network->named_buffers()) {
    tensors.emplace_back(buffer.key(), buffer.value());
  }
  return tensors;
}

void AveragedWeights::after_step(const Network& network) {
  if (kind_ == "ema") {
    const auto steps = static_cast<double>(count_);
    move(network, 1 - std::min(decay_, (1 + steps) / (10 + steps)));
  }
}

void AveragedWeights::after_epoch(const Network& network, std::int64_t epoch) {
  if (kind_ == "last" && epoch >= first_) {
    move(network, 1 / static_cast<double>(count_ + 1));
  }
}

void AveragedWeights::move(const Network& network, double share) {
  const torch::NoGradGuard no_grad;
  const auto now = weights_by_name(network);
  for (std::size_t i = 0; i < now.size(); ++i) {
    const torch::Tensor& value = now[i].second;
    if (average_.size() == i) {
      average_.emplace_back(now[i].first, value.detach().clone());
    } else if (value.is_floating_point()) {
      average_[i].second.lerp_(value, share);
    } else {
      average_[i].second.copy_(value);
    }
  }
  ++count_;
}

void AveragedWeights::exchange(Network& network) {
  const torch::NoGradGuard no_grad;
  const auto now = weights_by_name(network);
  for (std::size_t i = 0; i < average_.size(); ++i) {
    const torch::Tensor kept = now[i].second.detach().clone();
    torch::Tensor(now[i].second).copy_(average_[i].second);
    average_[i].second.copy_(kept);
  }
}

void AveragedWeights::save(torch::serialize::OutputArchive& archive) const {
  torch::serialize::OutputArchive tensors(archive.compilation_unit());
  for (const auto& [name, tensor] : average_) {
    tensors.write(name, tensor, /*is_buffer=*/true);
  }
  archive.write("averaged", tensors);
  archive.write("averaged_count", torch::tensor(count_, torch::kLong));
}

void AveragedWeights::load(torch::serialize::InputArchive& archive, const Network& network) {
  average_.clear();
  torch::Tensor count;
  count_ = archive.try_read("averaged_count", count) ? count.item<std::int64_t>() : 0;
  if (count_ == 0) {
    return;
  }
  torch::serialize::InputArchive tensors;
  archive.read("averaged", tensors);
  for (const auto& [name, tensor] : weights_by_name(network)) {
    torch::Tensor saved;
    tensors.read(name, saved, /*is_buffer=*/true);
    average_.emplace_back(name, saved.to(tensor.device()));
  }
}

}  // namespace bevfusion

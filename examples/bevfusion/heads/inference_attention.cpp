// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/inference_attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// The module's weights: in the heads' order, [C, C] and [C] each.
struct Projections {
  explicit Projections(const torch::nn::MultiheadAttention& attention)
      : heads(attention->options.num_heads()), out(attention->out_proj) {
    const auto weights = attention->in_proj_weight.chunk(3);
    const auto biases = attention->in_proj_bias.chunk(3);
    query = weights[0];
    key = weights[1];
    value = weights[2];
    query_bias = biases[0];
    key_bias = biases[1];
    value_bias = biases[2];
  }

  /// [Q, C] -> [H, Q, C / H], scaled as scores are.
  torch::Tensor scaled_queries(const torch::Tensor& queries) const {
    const std::int64_t width = query.size(0) / heads;
    return (torch::addmm(query_bias, queries, query.t()) / std::sqrt(static_cast<double>(width)))
        .view({queries.size(0), heads, width})
        .transpose(0, 1);
  }

  std::int64_t heads;
  torch::nn::Linear out;
  torch::Tensor query, key, value;
  torch::Tensor query_bias, key_bias, value_bias;
};

/// Makes scores [.., L] softmax's weights before their division, in place.
/// @return what they add up to, [.., 1], by which what was read with them is divided instead
torch::Tensor weigh(torch::Tensor& scores) {
  // Denormal numbers take a processor many times as long. A weight of exp(-69), 1e-30, is lost in the sum as well.
  constexpr double lowest = -69;
  scores.sub_(scores.amax(1, /*keepdim=*/true)).clamp_min_(lowest).exp_();
  return scores.sum(1, /*keepdim=*/true);
}

/// Of one sample, [Q, C] before the last projection. A key's bias adds the same to all scores of a query, so softmax does
/// without; weights add up to 1, so a value's bias is added last.
torch::Tensor of_few(const Projections& of, const torch::Tensor& queries, const torch::Tensor& keys,
                     const torch::Tensor& position, bool position_in_values) {
  const std::int64_t count = queries.size(0);
  const std::int64_t channels = keys.size(1);
  const std::int64_t width = channels / of.heads;
  const torch::Tensor seeking =
      torch::bmm(of.scaled_queries(queries), of.key.view({of.heads, width, channels})).view({of.heads * count, channels});
  torch::Tensor weights = torch::mm(seeking, position.t()).addmm_(seeking, keys.t());
  const torch::Tensor sum = weigh(weights);
  torch::Tensor read = torch::mm(weights, keys);
  if (position_in_values) {
    read.addmm_(weights, position);
  }
  read.div_(sum);
  const torch::Tensor values =
      torch::bmm(read.view({of.heads, count, channels}), of.value.view({of.heads, width, channels}).transpose(1, 2));
  return values.transpose(0, 1).reshape({count, channels}) + of.value_bias;
}

/// The same for queries of which there are many.
torch::Tensor of_many(const Projections& of, const torch::Tensor& queries, const torch::Tensor& keys,
                      const torch::Tensor& position, bool position_in_values) {
  constexpr std::int64_t cached = 1 << 18;  // scores at a time
  const std::int64_t count = queries.size(0);
  const std::int64_t channels = keys.size(1);
  const std::int64_t width = channels / of.heads;
  const std::int64_t turn = std::clamp<std::int64_t>(cached / keys.size(0), 1, count);
  const torch::Tensor placed = (keys + position).t();  // [C, L], as keys that come from a map lie in memory
  const torch::Tensor seeking = of.scaled_queries(queries);
  const torch::Tensor sought = torch::addmm(of.key_bias.unsqueeze(1), of.key, placed);
  const torch::Tensor values = torch::addmm(of.value_bias.unsqueeze(1), of.value, position_in_values ? placed : keys.t());
  const torch::Tensor scores = torch::empty({turn, keys.size(0)}, keys.options());
  torch::Tensor read = torch::empty({of.heads, count, width}, keys.options());
  for (std::int64_t head = 0; head < of.heads; ++head) {
    const torch::Tensor own_sought = sought.narrow(0, head * width, width);
    const torch::Tensor own_values = values.narrow(0, head * width, width).t();
    for (std::int64_t first = 0; first < count; first += turn) {
      const std::int64_t some = std::min(turn, count - first);
      torch::Tensor weights = scores.narrow(0, 0, some);
      torch::Tensor into = read[head].narrow(0, first, some);
      torch::mm_out(weights, seeking[head].narrow(0, first, some), own_sought);
      const torch::Tensor sum = weigh(weights);
      torch::mm_out(into, weights, own_values);
      into.div_(sum);
    }
  }
  return read.transpose(0, 1).reshape({count, channels});
}

}  // namespace

torch::Tensor inference_attention(const torch::nn::MultiheadAttention& attention, const torch::Tensor& queries,
                                  const torch::Tensor& keys, const torch::Tensor& key_position, bool position_in_values) {
  const bool plain = !torch::GradMode::is_enabled() && !attention->is_training() && attention->in_proj_weight.defined() &&
                     attention->in_proj_bias.defined() && keys.scalar_type() == attention->in_proj_weight.scalar_type() &&
                     queries.scalar_type() == keys.scalar_type() && key_position.scalar_type() == keys.scalar_type();
  const bool few = queries.size(0) * attention->options.num_heads() < queries.size(0) + keys.size(2);
  if (!plain || (!few && !keys.is_cpu())) {
    return {};
  }
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  Projections of(attention);
  std::vector<torch::Tensor> samples;
  for (std::int64_t b = 0; b < keys.size(1); ++b) {
    const torch::Tensor position = key_position.select(1, key_position.size(1) == 1 ? 0 : b);
    samples.push_back((few ? of_few : of_many)(of, queries.select(1, b), keys.select(1, b), position, position_in_values));
  }
  return of.out->forward(torch::stack(samples, 1));
}

}  // namespace bevfusion

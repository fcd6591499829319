// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn.h>

namespace bevfusion {

/// What a cross attention reads: `attention(queries, keys + key_position, values)` with values keys + key_position or the keys
/// alone, in evaluation mode and without gradients; equal to the module's own up to rounding.
///
/// Few queries are brought to the keys, q_h W_h against each of them, instead of the keys to the queries: with H heads, Q
/// queries, L keys and C channels that is of order Q H L C and not L C^2. Many queries are taken in turns whose scores stay in
/// the cache.
/// @param queries       [Q, B, C]
/// @param keys          [L, B, C]
/// @param key_position  [L, B or 1, C]
/// @return [Q, B, C]; undefined where the module's own way is to be taken: with gradients, in training, for mixed precision, and
///   for many queries on a GPU
torch::Tensor inference_attention(const torch::nn::MultiheadAttention& attention, const torch::Tensor& queries,
                                  const torch::Tensor& keys, const torch::Tensor& key_position, bool position_in_values);

}  // namespace bevfusion

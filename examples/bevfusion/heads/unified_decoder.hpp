// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/heads/attention_layer.hpp"
#include "bevfusion/heads/mask_grid.hpp"
#include "bevfusion/heads/query_decoder.hpp"
#include "bevfusion/model/model_config.hpp"

namespace bevfusion {

/// Widths of the unified decoder. Those that it has in common with Fuller-det are model.detection's.
struct UnifiedDecoderOptions : DecoderLayerOptions {  // those of each layer
  std::int64_t inputs = 512;
  std::int64_t layers = 2;
  std::int64_t queries = 200;  ///< of objects
  double score_bias = -2.19;   ///< see FullerDetOptions
  std::int64_t side = 20;      ///< patches along a side
  std::int64_t samples = 4;    ///< places of a patch along a side, at which its query reads the map first
  double map_range = 51.2;     ///< metres that the map covers to each side
  MaskGrid mask;               ///< what the patches tile
  std::int64_t patch_cells() const { return mask.cells / side; }  ///< of the mask, along a patch's side
};

/// The options of a config: unified.layers, unified.patches and unified.samples of model.numbers, the rest as it stands there.
/// Unless given, patches are as many as divide the mask's cells and are 5 m wide or more.
/// @throws std::invalid_argument for numbers that cannot be
UnifiedDecoderOptions unified_options(const ModelConfig& config);

/// One transformer decoder for boxes and masks, after BEVFormer-Unified (Bohn et al., Sec. 4): its queries are object queries and
/// patch queries, each of which answers for a patch of the map. All of them look at each other and at the same map.
///
/// Object queries start as Fuller-det's do, from the peaks of a heat map. A patch query starts as what the map holds at some
/// places of its patch, through a convolution over them, plus a learnt vector of the patch. (The paper's queries are learnt
/// vectors alone, which deformable attention leads to where they lie; here attention goes over the whole map.)
class UnifiedDecoderImpl : public QueryDecoder {
 public:
  UnifiedDecoderImpl(UnifiedDecoderOptions options, const QueriesAsked& asked);

  DecodedQueries forward(const torch::Tensor& shared) override;
  std::int64_t channels() const override { return options_.channels; }
  /// The last layer's last weight, and the convolution in front of everything: the heat map's loss leaves the others there.
  std::vector<torch::Tensor> last_shared() const override;
  /// All but those of the heat map, which classification alone trains.
  std::vector<torch::Tensor> shared_parameters() const override;

 private:
  UnifiedDecoderOptions options_;
  QueriesAsked asked_;
  torch::nn::Conv2d project_{nullptr};
  torch::nn::Sequential self_position_{nullptr}, cross_position_{nullptr};
  std::vector<DecoderLayer> layers_;
  torch::nn::Sequential heat_{nullptr};
  torch::nn::Conv1d class_embedding_{nullptr};
  torch::nn::Conv2d patch_embedding_{nullptr};
  torch::Tensor patch_query_;  ///< [C, P]
};
TORCH_MODULE(UnifiedDecoder);

/// Centres of patches that tile a mask, in cells of a map of `rows` x `columns` over [-map_range, map_range): [2, P], in the
/// order of DecodedQueries::patches.
torch::Tensor patch_centres(const UnifiedDecoderOptions& options, std::int64_t rows, std::int64_t columns,
                            const torch::TensorOptions& exact);

}  // namespace bevfusion

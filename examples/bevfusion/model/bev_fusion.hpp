// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/camera/lift_splat.hpp"
#include "bevfusion/fusion/gate_plan.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/model_input.hpp"
#include "bevfusion/model/shared_features.hpp"

namespace bevfusion {

/// The multi-task network: branches, fusion, shared BEV backbone, heads.
///
/// It is run in stages, so that a trainer can put gates between branches and fusion and a fork after what the tasks share, which
/// is the BEV backbone, or, where each task has one of its own (separate_bev), the fuser:
///
///     maps = model->branches(input);   z = model->share(maps);   model->say("detection", z);   model->say("segmentation", z);
///
/// Where tasks share a decoder (Task::decoder), what it makes of the BEV backbone's map is shared, too.
/// Tasks that look at pictures (PictureTask) read the image backbone's maps as well, which branches() hands out. Of a model with
/// no other task the image backbone and the heads are all there is.
class BevFusionImpl : public torch::nn::Module {
 public:
  /// Each part's weights depend on the state of LibTorch's generator and on the part's name alone: networks of one seed start
  /// with the same weights in what they share, whatever else they have.
  /// @param kinds  the parts that the config may name
  /// @throws std::invalid_argument for a name that is not among them, or no branch
  explicit BevFusionImpl(ModelConfig config = full_model(), const Kinds& kinds = bevfusion::kinds());

  /// The branches' BEV maps, in the order of modalities(); [B, C_m, X, Y] each.
  /// @param absent    modalities whose branch does not run: an undefined map, which is what gates take for an absent branch
  /// @param pictures  where given and a task reads them, becomes SharedFeatures::pictures; none where the camera is absent
  /// @throws std::invalid_argument for a name that is none of modalities()
  std::vector<torch::Tensor> branches(const ModelInput& input, const std::vector<std::string>& absent = {},
                                      std::vector<torch::Tensor>* pictures = nullptr);
  /// SharedFeatures::pictures of cameras whose maps are replaced by zeros; none where no task reads them.
  std::vector<torch::Tensor> dark_pictures(const ModelInput& input) const;
  /// Whether a task looks at pictures, and whether one reads the shared map.
  bool reads_pictures() const { return reads_pictures_; }
  bool reads_map() const { return reads_map_; }
  /// The maps with zeros in place of undefined ones, as fuse() takes them.
  /// @throws std::invalid_argument where none is defined
  std::vector<torch::Tensor> filled(std::vector<torch::Tensor> maps) const;
  /// The shared representation [B, C, X, Y]: the BEV backbone's map, or the fuser's. Undefined where no task reads it.
  torch::Tensor fuse(const std::vector<torch::Tensor>& maps);
  /// Everything that heads read: fuse(), and what a decoder that tasks share makes of it.
  SharedFeatures share(const std::vector<torch::Tensor>& maps, std::vector<torch::Tensor> pictures = {});
  /// Where branches look at each other; see Fuser::attention().
  std::vector<AttentionMap> attention(const std::vector<torch::Tensor>& maps) {
    return fuser_ ? fuser_->attention(maps) : std::vector<AttentionMap>();
  }
  /// The tasks that the model has, in the order of their heads.
  const std::vector<std::shared_ptr<const Task>>& tasks() const { return tasks_; }
  /// What the head of a task says of the shared representation; see Task::forward().
  /// @param measured  ModelInput::measured of the task
  /// @throws std::invalid_argument for a task that the model has not, and one that looks at pictures, or reads a decoder's
  /// queries, where there are none
  std::any say(const std::string& task, const SharedFeatures& shared, const torch::Tensor& measured = {});
  /// The same, as the type that the task gives it.
  template <class Said>
  Said say_as(const std::string& task, const SharedFeatures& shared) {
    return std::any_cast<Said>(say(task, shared));
  }
  /// The losses of what a task's head said of a batch, as config.losses.tasks counts them; see Task::losses().
  std::vector<torch::Tensor> losses(const std::string& task, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig& config) const;
  /// The head of a task.
  /// @throws std::invalid_argument for a task that the model has not
  torch::nn::Module& head(const std::string& task) const;

  /// Names of the branches that the model has: "lidar", "camera".
  const std::vector<std::string>& modalities() const { return modalities_; }
  /// Parameters of branch m: theta^H of FULLER's Eq. 8.
  std::vector<torch::Tensor> branch_parameters(std::size_t m) const;
  /// theta^F, the intra-gradient layer: what reads each branch first, in the order of modalities().
  std::vector<BranchReader> branch_readers() const;
  /// How the branches are given to gates; see gate_plan() for what it throws.
  GatePlan gate_plan() const { return bevfusion::gate_plan(branch_readers(), modalities_); }
  /// The one weight that reads all branches, where the fuser, or the BEV backbone in its place, has such a one; and the channels
  /// that read each.
  torch::Tensor fusion_weight() const;
  std::vector<ChannelSlice> fusion_slices() const { return fuser_->fusion_slices(); }
  /// shared_L, the inter-gradient layer: the last shared weights, one of the BEV backbone's or all of its parallel ones; the
  /// fuser's where each task has a BEV backbone of its own; the decoder's where all tasks on the map share one.
  /// @throws std::invalid_argument where the tasks share no layer downstream of the branches
  std::vector<torch::Tensor> last_shared(bool parallel) const;
  /// With those that tasks which look at pictures share with the others: the image backbone's last one.
  /// @throws std::invalid_argument as last_shared(), and where the image backbone names none
  std::vector<torch::Tensor> last_shared_of_all(bool parallel) const;
  torch::Tensor last_shared() const { return last_shared(false).front(); }
  std::vector<torch::Tensor> both_last_shared() const { return last_shared(true); }

  /// The decoder's parameters that several tasks train; none where no two share one.
  std::vector<torch::Tensor> decoder_parameters() const;

  /// Channels of what fuse() returns.
  std::int64_t shared_channels() const { return bev_ ? bev_->channels() : fuser_ ? fuser_->channels() : 0; }

  const ModelConfig& config() const { return config_; }

 private:
  void make_branches(const Kinds& kinds, std::uint64_t key);
  /// The BEV backbones.
  /// @return channels of what heads on the map read
  std::int64_t make_bev(const Kinds& kinds, std::uint64_t key);
  bool reads_queries(const std::string& task) const;

  ModelConfig config_;
  LabelSets labels_;
  Tasks known_;
  std::vector<std::shared_ptr<const Task>> tasks_;
  bool reads_pictures_;
  bool reads_map_;
  std::vector<std::string> modalities_;
  std::vector<std::int64_t> widths_;  ///< channels of each branch's map
  std::shared_ptr<LidarBackbone> lidar_;
  std::shared_ptr<ImageBackbone> images_;
  LiftSplat lift_splat_{nullptr};
  std::shared_ptr<Fuser> fuser_;
  std::shared_ptr<BevBackbone> bev_;                              ///< of all tasks, or null
  std::map<std::string, std::shared_ptr<BevBackbone>> of_tasks_;  ///< of each, where it is null
  std::shared_ptr<QueryDecoder> decoder_;                         ///< or null
  std::vector<std::string> query_readers_;                        ///< tasks whose heads read its queries
  std::map<std::string, std::shared_ptr<torch::nn::Module>> heads_;
};
TORCH_MODULE(BevFusion);

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/camera/lift_splat.hpp"
#include "bevfusion/fusion/gate_plan.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

/// What a batch of samples shows to the model.
struct ModelInput {
  std::vector<torch::Tensor> clouds;  ///< B point clouds [N_b, 5]: x, y, z, intensity, seconds; empty without LiDAR
  torch::Tensor images;               ///< [B, cameras, 3, H, W], normalised; undefined without cameras
  CameraGeometry geometry;
};

/// The multi-task network: branches, fusion, shared BEV backbone, heads.
///
/// It is run in stages, so that a trainer can put gates between branches and fusion and a fork behind what the tasks share, which
/// is the BEV backbone, or, where each task has one of its own (separate_bev), the fuser:
///
///     maps = model->branches(input);   z = model->fuse(maps);   model->detect(z);   model->segment(z);
class BevFusionImpl : public torch::nn::Module {
 public:
  /// @param kinds  the parts that the config may name
  /// @throws std::invalid_argument for a name that is not among them, or no branch
  explicit BevFusionImpl(ModelConfig config = full_model(), const Kinds& kinds = bevfusion::kinds());

  /// The branches' BEV maps, in the order of modalities(); [B, C_m, X, Y] each.
  std::vector<torch::Tensor> branches(const ModelInput& input);
  /// The shared representation [B, C, X, Y]: the BEV backbone's map, or the fuser's.
  torch::Tensor fuse(const std::vector<torch::Tensor>& maps);
  Detections detect(const torch::Tensor& shared);
  /// The loss of what detect() said; see DetectionHead::loss.
  DetectionLosses detection_loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth,
                                 const DetectionLossOptions& options = {}) const {
    return detection_->loss(said, truth, BoxCoder{config_.bev_grid()}, options);
  }
  torch::Tensor segment(const torch::Tensor& shared) { return segmentation_->forward(of_task(shared, "segmentation")); }
  torch::Tensor segment_foreground(const torch::Tensor& shared) { return foreground_->forward(of_task(shared, "foreground")); }

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
  /// fuser's where each task has a BEV backbone of its own.
  /// @throws std::invalid_argument where the tasks share no layer behind the branches
  std::vector<torch::Tensor> last_shared(bool parallel) const;
  torch::Tensor last_shared() const { return last_shared(false).front(); }
  std::vector<torch::Tensor> both_last_shared() const { return last_shared(true); }

  const ModelConfig& config() const { return config_; }

 private:
  /// What the head of a task reads: the shared representation, or what the task's own BEV backbone makes of it.
  torch::Tensor of_task(const torch::Tensor& shared, const std::string& task);

  ModelConfig config_;
  std::vector<DetectionClass> detection_labels_;
  std::vector<std::string> modalities_;
  std::shared_ptr<LidarBackbone> lidar_;
  std::shared_ptr<ImageBackbone> images_;
  LiftSplat lift_splat_{nullptr};
  std::shared_ptr<Fuser> fuser_;
  std::shared_ptr<BevBackbone> bev_;                              ///< of all tasks, or null
  std::map<std::string, std::shared_ptr<BevBackbone>> of_tasks_;  ///< of each, where it is null
  std::shared_ptr<DetectionHead> detection_;
  std::shared_ptr<SegmentationHead> segmentation_, foreground_;
};
TORCH_MODULE(BevFusion);

}  // namespace bevfusion

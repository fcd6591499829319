// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/camera/lift_splat.hpp"
#include "bevfusion/camera/swin.hpp"
#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/lidar/voxels.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/model_config.hpp"
#include "bevfusion/peers/tensor_files.hpp"

namespace bench {

/// What is timed, by name.
using Steps = std::map<std::string, std::function<void()>>;

inline void drop_gradients(const torch::nn::Module& module) {
  for (const torch::Tensor& parameter : module.parameters()) {
    torch::Tensor(parameter).mutable_grad().reset();
  }
}

/// `twin` with the numbers of `module`, in double precision: gradients are compared there, since the gradient of a ReLU jumps
/// where rounding takes a number over zero.
template <class Module>
Module exact_twin(const Module& module, Module twin) {
  const torch::NoGradGuard no_grad;
  const std::vector<torch::Tensor> from = module->parameters();
  const std::vector<torch::Tensor> to = twin->parameters();
  for (std::size_t k = 0; k < to.size(); ++k) {
    torch::Tensor(to[k]).set_data(from[k].to(torch::kDouble));
  }
  for (torch::Tensor& buffer : twin->buffers()) {
    if (buffer.is_floating_point()) {  // others are indices and counts
      buffer.set_data(buffer.to(torch::kDouble));
    }
  }
  return twin;
}

/// The voxels of a square of `cells` x `cells` columns about the car, as a grid of their own.
inline bevfusion::SparseTensor middle_of(const bevfusion::SparseTensor& voxels, std::int64_t cells) {
  const std::int64_t first_x = (voxels.shape[0] - cells) / 2;
  const std::int64_t first_y = (voxels.shape[1] - cells) / 2;
  const torch::Tensor sites = voxels.sites() - torch::tensor({std::int64_t{0}, first_x, first_y, std::int64_t{0}});
  const torch::Tensor x = sites.select(1, 1);
  const torch::Tensor y = sites.select(1, 2);
  const torch::Tensor kept = ((x >= 0) & (x < cells) & (y >= 0) & (y < cells)).nonzero().flatten();
  return bevfusion::make_sparse(sites.index_select(0, kept), voxels.features.index_select(0, kept),
                                {cells, cells, voxels.shape[2]}, voxels.batch);
}

inline void put(TensorFiles& files, const std::string& name, const bevfusion::SparseTensor& voxels) {
  files.put(name + "/features", voxels.features);
  files.put(name + "/sites", voxels.sites());
  files.put(name + "/shape", torch::tensor(std::vector<std::int64_t>(voxels.shape.begin(), voxels.shape.end())));
}

/// Adds `encoder/forward` and `encoder/training`, on the frame's voxels, and `middle/forward`, on those of a square of 12.8 m.
inline void add_encoder(const bevfusion::Batch& batch, const bevfusion::ModelConfig& config, TensorFiles& files, Steps& steps) {
  const bevfusion::SparseTensor voxels = bevfusion::voxelise(batch.input.clouds, config.voxels);
  const bevfusion::SparseTensor middle = middle_of(voxels, 128);
  put(files, "encoder", voxels);
  put(files, "middle", middle);
  bevfusion::VoxelNet net(config.voxel_net, config.voxels);
  torch::Tensor cotangent;
  {
    const torch::NoGradGuard no_grad;
    cotangent = torch::randn_like(net->forward(voxels));
  }
  files.put("encoder/cotangent", cotangent);
  auto forward = [net](const bevfusion::SparseTensor& of) mutable {
    const torch::NoGradGuard no_grad;
    net->eval();
    return net->forward(of);
  };
  steps["encoder/forward"] = [=]() mutable { forward(voxels); };
  steps["middle/forward"] = [=]() mutable { forward(middle); };
  const auto train = [](bevfusion::VoxelNet& of, const bevfusion::SparseTensor& on, const torch::Tensor& arriving) {
    of->train();
    drop_gradients(*of);
    of->forward(on).backward(arriving);
  };
  steps["encoder/training"] = [=]() mutable { train(net, voxels, cotangent); };
  bevfusion::VoxelNet exact = exact_twin(net, bevfusion::VoxelNet(config.voxel_net, config.voxels));
  bevfusion::SparseTensor exact_voxels = voxels;
  exact_voxels.features = voxels.features.to(torch::kDouble);
  train(exact, exact_voxels, cotangent.to(torch::kDouble));
  files.put_gradients("encoder/gradients", *exact);
  files.put_state("encoder/state", *net);
  files.put("encoder/map", forward(voxels));
  files.put("middle/map", forward(middle));
  files.say("voxels", voxels.keys.size(0));
  files.say("voxels_of_middle", middle.keys.size(0));
}

/// Adds `swin/forward`, on all pictures of the frame, and `swin/training`, on the first two, without stochastic depth.
inline void add_swin(const bevfusion::Batch& batch, const bevfusion::ModelConfig& config, TensorFiles& files, Steps& steps) {
  bevfusion::SwinOptions options = config.swin;
  options.drop_path = 0;
  bevfusion::Swin net(options);
  const torch::Tensor pictures = batch.input.images.flatten(0, 1);
  const torch::Tensor fewer = pictures.slice(0, 0, 2).contiguous();
  files.put("swin/pictures", pictures);
  files.put_state("swin/state", *net);
  auto forward = [net, pictures]() mutable {
    const torch::NoGradGuard no_grad;
    return net->forward(pictures);
  };
  std::vector<torch::Tensor> cotangents;
  const std::vector<torch::Tensor> maps = forward();
  for (std::size_t level = 0; level < maps.size(); ++level) {
    cotangents.push_back(torch::randn_like(maps[level].slice(0, 0, fewer.size(0))));
    files.put("swin/map" + std::to_string(level), maps[level]);
    files.put("swin/cotangent" + std::to_string(level), cotangents.back());
  }
  steps["swin/forward"] = [forward]() mutable { forward(); };
  const auto train = [](bevfusion::Swin& of, const torch::Tensor& on, const std::vector<torch::Tensor>& arriving) {
    drop_gradients(*of);
    torch::autograd::backward(of->forward(on), arriving);
  };
  steps["swin/training"] = [=]() mutable { train(net, fewer, cotangents); };
  bevfusion::Swin exact = exact_twin(net, bevfusion::Swin(options));
  for (torch::Tensor& cotangent : cotangents) {
    cotangent = cotangent.to(torch::kDouble);
  }
  train(exact, fewer.to(torch::kDouble), cotangents);
  files.put_gradients("swin/gradients", *exact);
}

/// Adds `view/forward` and `view/training`: maps of the cameras, here of random numbers, into bird's-eye view.
inline void add_view(const bevfusion::Batch& batch, const bevfusion::ModelConfig& config, TensorFiles& files, Steps& steps) {
  bevfusion::LiftSplat net(config.neck, config.lift_splat);
  const bevfusion::CameraGeometry geometry = batch.input.geometry;
  const torch::Tensor features = torch::randn(
      {batch.input.images.size(1), config.neck, config.lift_splat.image_height / 8, config.lift_splat.image_width / 8});
  files.put("view/features", features);
  files.put("view/intrinsics", geometry.intrinsics);
  files.put("view/camera_to_lidar", geometry.camera_to_lidar);
  files.put("view/image_augmentation", geometry.image_augmentation);
  files.put("view/lidar_augmentation", geometry.lidar_augmentation);
  auto forward = [=]() mutable {
    const torch::NoGradGuard no_grad;
    net->eval();
    return net->forward(features, geometry);
  };
  const torch::Tensor cotangent = torch::randn_like(forward());
  files.put("view/cotangent", cotangent);
  const auto train = [geometry](bevfusion::LiftSplat& of, torch::Tensor leaf, const torch::Tensor& arriving) {
    of->train();
    drop_gradients(*of);
    leaf.mutable_grad().reset();
    of->forward(leaf, geometry).backward(arriving);
  };
  const torch::Tensor leaf = features.clone().requires_grad_();
  steps["view/forward"] = [forward]() mutable { forward(); };
  steps["view/training"] = [=]() mutable { train(net, leaf, cotangent); };
  bevfusion::LiftSplat exact = exact_twin(net, bevfusion::LiftSplat(config.neck, config.lift_splat));
  const torch::Tensor exact_leaf = features.to(torch::kDouble).requires_grad_();
  train(exact, exact_leaf, cotangent.to(torch::kDouble));
  files.put_gradients("view/gradients", *exact);
  files.put("view/gradient_of_features", exact_leaf.grad());
  files.put_state("view/state", *net);
  files.put("view/map", forward());
}

}  // namespace bench

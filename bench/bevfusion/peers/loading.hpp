// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include <torch/torch.h>

#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/peers/parts.hpp"
#include "bevfusion/peers/tensor_files.hpp"
#include "bevfusion/synth/generate.hpp"

namespace bench {

/// A synthetic scene at nuScenes' sizes on disk (pictures of 1600 x 900, ten sweeps a sample), and a loader of it that gives what
/// the devkit defines too: without augmentation, and without returns from the car itself in any sweep.
class LoadedSet {
 public:
  /// @param root  is made anew
  LoadedSet(const std::filesystem::path& root, const bevfusion::ModelConfig& config)
      : tables_(made(root)), loader_(tables_, options_for(config)) {}

  /// Adds `loader/load`: each sample of the set once, collated.
  void add(TensorFiles& files, Steps& steps) const {
    const std::size_t samples = tables_.samples.size();
    for (std::size_t k = 0; k < samples; ++k) {
      const std::string name = "loader/" + std::to_string(k);
      files.say("sample" + std::to_string(k), to_string(tables_.samples[k].token));
      put(files, name, load(k));
    }
    files.say("samples", static_cast<std::int64_t>(samples));
    steps["loader/load"] = [this, samples] {
      for (std::size_t k = 0; k < samples; ++k) {
        load(k);
      }
    };
  }

 private:
  static bevfusion::Tables made(const std::filesystem::path& root) {
    std::filesystem::remove_all(root);
    bevfusion::SynthOptions options;
    options.out = root;
    options.scenes = 1;
    options.samples = 2;
    options.sweeps = 9;
    options.validation_share = 0;
    options.image_scale = 1;
    options.car_returns = true;
    bevfusion::generate(options);
    return bevfusion::read_tables(root, options.version);
  }

  static bevfusion::LoadingOptions options_for(const bevfusion::ModelConfig& config) {
    bevfusion::LoadingOptions options = bevfusion::loading_options(config);
    options.augment = false;
    options.points.close_in_key_frame = true;
    return options;
  }

  bevfusion::Batch load(std::size_t k) const {
    return bevfusion::collate({loader_.load(static_cast<bevfusion::RowIndex>(k), 0)});
  }

  static void put(TensorFiles& files, const std::string& name, const bevfusion::Batch& batch) {
    files.put(name + "/points", batch.input.clouds[0]);
    files.put(name + "/pictures", batch.input.images[0]);
    files.put(name + "/intrinsics", batch.input.geometry.intrinsics[0]);
    files.put(name + "/camera_to_lidar", batch.input.geometry.camera_to_lidar[0]);
    files.put(name + "/image_augmentation", batch.input.geometry.image_augmentation[0]);
    files.put(name + "/masks", batch.masks[0]);
    torch::Tensor boxes = torch::empty({static_cast<std::int64_t>(batch.boxes[0].size()), 10}, torch::kDouble);
    for (std::size_t b = 0; b < batch.boxes[0].size(); ++b) {
      const bevfusion::Box3D& box = batch.boxes[0][b];
      boxes[static_cast<std::int64_t>(b)] =
          torch::tensor({box.center.x(), box.center.y(), box.center.z(), box.size.x(), box.size.y(), box.size.z(), box.yaw,
                         box.velocity.x(), box.velocity.y(), static_cast<double>(box.label)},
                        torch::kDouble);
    }
    files.put(name + "/boxes", boxes);
  }

  bevfusion::Tables tables_;
  bevfusion::SampleLoader loader_;
};

}  // namespace bench

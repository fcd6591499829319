// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/camera_segmentation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/responses.hpp"
#include "bevfusion/heads/pixel_head.hpp"
#include "bevfusion/losses/pixel_loss.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/nuscenes/camera_masks.hpp"
#include "bevfusion/tasks/picture_task.hpp"
#include "bevfusion/tasks/pixel_figures.hpp"

namespace bevfusion {
namespace {

/// The pictures' matrix of (u, v, 1) out of that of (u, v, d, 1).
Eigen::Matrix3d of_pixels(const Eigen::Matrix4d& wide) {
  Eigen::Matrix3d matrix = Eigen::Matrix3d::Identity();
  matrix.topLeftCorner<2, 2>() = wide.topLeftCorner<2, 2>();
  matrix.topRightCorner<2, 1>() = wide.topRightCorner<2, 1>();
  return matrix;
}

std::array<GreyImage, camera_count> as_images(const torch::Tensor& classes) {
  std::array<GreyImage, camera_count> images;
  if (!classes.defined()) {
    return images;
  }
  const torch::Tensor bytes = classes.contiguous();
  const auto pixels = static_cast<std::size_t>(bytes.size(1) * bytes.size(2));
  for (std::size_t c = 0; c < std::min(camera_count, static_cast<std::size_t>(bytes.size(0))); ++c) {
    images[c] = GreyImage(static_cast<int>(bytes.size(2)), static_cast<int>(bytes.size(1)));
    std::copy_n(bytes.data_ptr<std::uint8_t>() + c * pixels, pixels, images[c].values.data());
  }
  return images;
}

class CameraSegmentationTask : public PictureTask {
 public:
  CameraSegmentationTask() : PictureTask(camera_segmentation_sheet()) {}

  void check(const RunConfig& config, const Kinds& kinds) const override {
    PictureTask::check(config, kinds);
    const double channels = config.model.parts.tasks.number(name(), "channels");
    require(std::floor(channels) == channels, "tasks.", name(), ".channels is ", channels, "; a whole number is needed");
  }
  void expect_data(const Tables& tables) const override { CameraMasks::expect_in(tables.root); }

  std::shared_ptr<torch::nn::Module> make_picture_head(const ModelConfig& config,
                                                       const std::vector<ImageLevel>& levels) const override {
    return std::make_shared<PixelHeadImpl>(levels, static_cast<std::int64_t>(config.parts.tasks.number(name(), "channels")),
                                           static_cast<std::int64_t>(pixel_class_count));
  }
  /// Logits [B, cameras, classes, h, w] at the finest map's cells.
  std::any forward_pictures(torch::nn::Module& head, const std::vector<torch::Tensor>& pictures,
                            const ModelConfig&) const override {
    std::vector<torch::Tensor> maps;
    for (const torch::Tensor& level : pictures) {
      maps.push_back(level.flatten(0, 1));
    }
    const torch::Tensor logits = head_as<PixelHeadImpl>(head).forward(maps);
    const torch::Tensor& finest = pictures.front();
    return logits.reshape({finest.size(0), finest.size(1), logits.size(1), logits.size(2), logits.size(3)});
  }

  /// [cameras, H, W] byte: what the pixels of the network's pictures show, through the pictures' augmentation; of cameras that
  /// are absent, and beyond the picture as it was taken, no_pixel_class.
  torch::Tensor labels(const LabelSource& source) const override {
    const TrainingSample& sample = source.sample;
    const auto there =
        std::find_if(sample.cameras.begin(), sample.cameras.end(), [](const TrainingCamera& camera) { return camera.present; });
    if (!CameraMasks::are_in(source.tables.root) || there == sample.cameras.end()) {
      return {};
    }
    const CameraMasks masks(source.tables.root);
    const KeyFrame frame = key_frame_of(source.tables, source.row, {1, {}});
    const auto cameras = static_cast<std::int64_t>(sample.camera_slots);
    torch::Tensor classes =
        torch::full({cameras, there->image.height, there->image.width}, static_cast<std::int64_t>(no_pixel_class), torch::kByte);
    for (std::int64_t c = 0; c < cameras; ++c) {
      const TrainingCamera& camera = sample.cameras.at(static_cast<std::size_t>(c));
      if (camera.present) {
        const GreyImage fed =
            resample_classes(masks.read(frame.cameras[static_cast<std::size_t>(c)]), of_pixels(camera.image_augmentation),
                             camera.image.width, camera.image.height, no_pixel_class);
        std::copy(fed.values.begin(), fed.values.end(), classes[c].data_ptr<std::uint8_t>());
      }
    }
    return classes.ne(no_pixel_class).any().item<bool>() ? classes : torch::Tensor();
  }

  /// The mean over the samples that have labels.
  std::vector<torch::Tensor> losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig&) const override {
    const auto& logits = std::any_cast<const torch::Tensor&>(said);
    const auto labels = batch.batch.labels.find(name());
    torch::Tensor sum;
    int samples = 0;
    for (std::size_t b = 0; labels != batch.batch.labels.end() && b < labels->second.size(); ++b) {
      if (labels->second[b].defined()) {
        const torch::Tensor loss = pixel_loss(logits[static_cast<std::int64_t>(b)], labels->second[b]);
        sum = sum.defined() ? sum + loss : loss;
        ++samples;
      }
    }
    return {sum.defined() ? sum / samples : sum};
  }
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig&) const override {
    return mask_response(std::any_cast<const torch::Tensor&>(said), std::any_cast<const torch::Tensor&>(expert));
  }

  std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig& config,
                      bool& finite) const override {
    const torch::Tensor logits = std::any_cast<const torch::Tensor&>(said)[b];
    finite = finite && torch::isfinite(logits).all().item<bool>();
    const LiftSplatOptions& size = config.model.lift_splat;
    PixelPrediction out;
    out.predicted = at_pixels(logits, size.image_height, size.image_width).argmax(1).to(torch::kCPU, torch::kByte);
    const auto labels = batch.labels.find(name());
    if (labels != batch.labels.end()) {
      out.truth = labels->second.at(static_cast<std::size_t>(b));
    }
    return out;
  }
  std::unique_ptr<TaskFigures> figures(const Tables&, const RunConfig&) const override {
    return std::make_unique<PixelFigures>(sheet(), std::vector<std::string>(pixel_class_names.begin(), pixel_class_names.end()));
  }

  void add_legend(PictureLegend& legend, const PictureContext&) const override {
    for (std::size_t c = 0; c < pixel_class_count; ++c) {
      legend.swatches += swatch(pixel_class_colours[c], "pixels: " + std::string(pixel_class_names[c]));
    }
    legend.say(
        "Painted pictures are as the network gets them: above what their pixels show, where that is known, below what is "
        "predicted.");
  }
  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext&) const override {
    if (const auto* const said = prediction.of<PixelPrediction>(name())) {
      PaintedPictures painted;
      painted.name = "pixels";
      painted.alternative = "classes of the six pictures' pixels: above annotated, below predicted";
      painted.annotated = as_images(said->truth);
      painted.predicted = as_images(said->predicted);
      painted.colours.assign(pixel_class_colours.begin(), pixel_class_colours.end());
      drawing.painted.push_back(std::move(painted));
    }
  }
};

}  // namespace

void register_camera_segmentation(Kinds& kinds) { kinds.tasks.add(std::make_shared<CameraSegmentationTask>()); }

}  // namespace bevfusion

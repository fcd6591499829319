// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/predict_command.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/commands/finished_run.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/metrics/submission.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/pictures/prediction_picture.hpp"
#include "support/page.hpp"
#include "support/progress.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;

/// The beginning of a sample's token for a file's name; a token may hold any letters, those of paths as well.
std::string file_name_part(const Token& token) {
  std::string name = to_string(token).substr(0, 8);
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    c = plain ? c : '_';
  }
  return name;
}

struct PredictArguments {
  RunChoice choice;
  std::string out = "predictions";
  std::size_t pictures = 0;
  double least_score = 0.15;
  double mask_threshold = 0.5;
  int width = 640;
};

/// Draws samples and lists them on a page.
class Gallery {
 public:
  Gallery(const PredictArguments& arguments, const FinishedRun& run) : arguments_(arguments), run_(run), page_(title()) {
    char score[32];
    std::snprintf(score, sizeof score, "%g", arguments.least_score);
    char threshold[32];
    std::snprintf(threshold, sizeof threshold, "%g", arguments.mask_threshold);
    page_.raw(
        "<style>main { max-width: 100rem; } .scene img { max-width: 100%; height: auto; display: block; margin: .4rem 0; }"
        " .truth { color: rgb(0,110,40); font-weight: 700; } .said { color: rgb(230,0,150); font-weight: 700; }</style>\n");
    page_.raw(
        "<p><span class=\"truth\">Green</span>: annotated. <span class=\"said\">Magenta</span>: predicted, with a score of " +
        example::escaped(score) +
        " or more. From above (the car in the middle, its front up): to the left the true map, to the "
        "right the cells whose probability is at least " +
        example::escaped(threshold) +
        "; thin black lines are where an "
        "object goes in two seconds.</p>\n");
  }

  void add(const SamplePrediction& prediction) {
    const KeyFrame frame = key_frame_of(run_.tables, prediction.sample);
    std::vector<Box3D> found;
    for (const ScoredBox& one : prediction.boxes) {
      if (one.score >= arguments_.least_score) {
        found.push_back(one.box);
      }
    }
    const std::string name = std::to_string(prediction.sample) + "_" + file_name_part(frame.sample);
    const bool has_map = prediction.segmentation.defined();
    const torch::Tensor said = has_map ? prediction.segmentation.ge(arguments_.mask_threshold) : torch::Tensor();
    write_png(fs::path(arguments_.out) / (name + "_bev.png"),
              compare_from_above({masks_of(prediction.masks, prediction.labelled), prediction.truth},
                                 {masks_of(said, prediction.labelled), found},
                                 frame.has_lidar() ? read_points(frame) : std::vector<SweepPoint>(), run_.config.loading.grid,
                                 std::max(run_.config.loading.grid.reach, run_.config.model.bev_range), arguments_.width));
    page_.heading(frame.scene + ", sample " + to_string(frame.sample));
    page_.raw("<div class=\"scene\"><p>" + std::to_string(prediction.truth.size()) + " boxes annotated, " +
              std::to_string(found.size()) + " predicted.</p><img src=\"" + name +
              "_bev.png\" alt=\"from above: truth, prediction\"/>");
    if (std::any_of(frame.cameras.begin(), frame.cameras.end(), [](const CameraFrame& camera) { return camera.present; })) {
      write_png(fs::path(arguments_.out) / (name + "_cameras.png"),
                compare_in_pictures(frame, prediction.truth, found, arguments_.width));
      page_.raw("<img src=\"" + name + "_cameras.png\" alt=\"boxes in the six pictures\"/>");
    }
    page_.raw("</div>\n");
  }

  void write() const { page_.write((fs::path(arguments_.out) / "index.html").string()); }

 private:
  std::string title() const { return "What " + run_.checkpoint.string() + " finds in split " + run_.split; }

  MapMasks masks_of(const torch::Tensor& masks, const torch::Tensor& labelled) const {
    MapMasks out(run_.config.loading.map_labels);
    if (masks.defined()) {
      const torch::Tensor values = masks.to(torch::kByte).contiguous();
      out.cells = static_cast<int>(values.size(1));
      out.values.assign(values.data_ptr<std::uint8_t>(), values.data_ptr<std::uint8_t>() + values.numel());
      for (std::size_t c = 0; c < out.labels.size(); ++c) {
        out.labelled[c] = labelled[static_cast<std::int64_t>(c)].item<bool>();
      }
    }
    return out;
  }

  const PredictArguments& arguments_;
  const FinishedRun& run_;
  example::Page page_;
};

/// `count` of `size` positions, evenly spread.
std::set<std::size_t> spread(std::size_t count, std::size_t size) {
  std::set<std::size_t> chosen;
  count = std::min(count, size);
  for (std::size_t i = 0; i < count; ++i) {
    chosen.insert((2 * i + 1) * size / (2 * count));
  }
  return chosen;
}

void predict_run(const PredictArguments& arguments) {
  FinishedRun run = open_run(arguments.choice);
  const ModelParts& parts = run.config.model.parts;
  if (!parts.detection && arguments.pictures == 0) {
    throw std::invalid_argument("a network without detection has no submission; --pictures draws its masks");
  }
  fs::create_directories(arguments.out);
  Submission submission;
  submission.use_camera = parts.camera;
  submission.use_lidar = parts.lidar;
  const std::set<std::size_t> drawn = spread(arguments.pictures, run.samples.size());
  std::size_t done = 0;
  Gallery gallery(arguments, run);
  {
    example::Progress progress(static_cast<double>(run.samples.size()));
    predict(run.network, run.tables, run.samples, run.config, {}, [&](const SamplePrediction& prediction) {
      if (parts.detection) {
        const KeyFrame frame = key_frame_of(run.tables, prediction.sample);
        submission.results.emplace_back(
            to_string(frame.sample),
            submission_boxes(prediction.boxes, frame.ego_from_lidar, frame.global_from_ego, run.config.loading.box_labels));
      }
      if (drawn.count(done++) > 0) {
        gallery.add(prediction);
      }
      progress.advance(1);
    });
  }
  if (parts.detection) {
    const fs::path file = fs::path(arguments.out) / "submission.json";
    std::ofstream out(file);
    write_submission(out, submission, evaluated_classes(run.config.loading.box_labels));
    if (!out.flush()) {
      throw std::runtime_error(file.string() + ": cannot be written");
    }
    std::printf("%zu samples: %s\n", submission.results.size(), file.c_str());
  }
  if (!drawn.empty()) {
    gallery.write();
    std::printf("%zu samples drawn: %s\n", drawn.size(), (fs::path(arguments.out) / "index.html").c_str());
  }
}

}  // namespace

void add_predict_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "predict", "Write what a run's network finds: submission.json, as nuScenes' evaluation server takes it, and pictures.");
  const auto arguments = std::make_shared<PredictArguments>();
  arguments->choice.add_to(*command);
  command->add_option("--out", arguments->out, "Folder for submission.json and pictures; made where it is not there")
      ->capture_default_str()
      ->type_name("DIR");
  command->add_option("--pictures", arguments->pictures, "Samples to draw, evenly spread over the split; a page shows them")
      ->capture_default_str();
  command->add_option("--score", arguments->least_score, "Boxes below this score are not drawn; all are submitted")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--mask-threshold", arguments->mask_threshold, "Probability from which a map cell is drawn")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--width", arguments->width, "Pixels of a view's side and of a camera picture's width")
      ->check(CLI::Range(64, 4096))
      ->capture_default_str();
  command->callback([arguments] { predict_run(*arguments); });
}

}  // namespace bevfusion

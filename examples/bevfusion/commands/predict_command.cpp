// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/predict_command.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/commands/finished_run.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/distillation/expert.hpp"
#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/evaluation/gallery.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/metrics/submission.hpp"
#include "support/folder_lock.hpp"
#include "support/number_range.hpp"
#include "support/output_file.hpp"
#include "support/progress.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;

struct PredictArguments {
  RunChoice choice;
  std::string out = "predictions";
  std::size_t pictures = 0;
  double least_score = 0.15;
  std::optional<double> mask_threshold;
  int width = 640;
  std::string beside;
  bool teachers = false;
};

/// As the run's evaluation counts them, unless another threshold is asked for.
MaskThresholds thresholds_of(const PredictArguments& arguments, const FinishedRun& run) {
  const MaskNames names = mask_names(run.config);
  return arguments.mask_threshold ? same_thresholds(static_cast<float>(*arguments.mask_threshold), names)
                                  : picked_thresholds(fs::path(arguments.choice.run) / "evaluation.json", names);
}

GalleryOptions gallery_options(const PredictArguments& arguments, const FinishedRun& run) {
  GalleryOptions options;
  options.out = arguments.out;
  options.title = "What " + run.checkpoint.string() + " finds in split " + run.split;
  options.least_score = arguments.least_score;
  options.thresholds = thresholds_of(arguments, run);
  options.width = arguments.width;
  return options;
}

/// What other runs find in some samples, each of one task, by sample.
class Beside {
 public:
  /// @param runs     task=RUN, parted by commas
  /// @param options  gets their thresholds
  Beside(const std::string& runs, const FinishedRun& run, const std::vector<RowIndex>& samples, GalleryOptions& options) {
    for (const auto& [task, folder] : teachers_in(runs)) {
      TrainedRun other = load_run_of_task(task, folder, run.config);
      other.config.data.threads = run.config.data.threads;
      predict(other.network, run.tables, samples, other.config, [&, named = task](const SamplePrediction& one) {
        SamplePrediction& into = found_.emplace(one.sample, one).first->second;
        into.said[named] = one.said.at(named);
        only_.insert(named);
      });
      const MaskNames names = mask_names(run.config);
      const auto of_task = names.find(task);
      if (of_task != names.end()) {
        options.beside_thresholds[task] =
            picked_thresholds(fs::path(folder) / "evaluation.json", {{task, of_task->second}}).at(task);
      }
    }
    for (auto& [sample, one] : found_) {
      for (auto said = one.said.begin(); said != one.said.end();) {  // tasks that a run has beside the one that it was named for
        said = only_.count(said->first) > 0 ? std::next(said) : one.said.erase(said);
      }
    }
  }
  const SamplePrediction* in(RowIndex sample) const {
    const auto found = found_.find(sample);
    return found == found_.end() ? nullptr : &found->second;
  }

 private:
  std::map<RowIndex, SamplePrediction> found_;
  std::set<std::string> only_;
};

/// The runs that are drawn beside this one.
std::string runs_beside(const PredictArguments& arguments, const FinishedRun& run) {
  if (arguments.teachers && run.config.distillation.teachers.empty()) {
    throw std::invalid_argument(
        "--teachers draws what the run's teachers find, and it has none (distillation.teachers); --beside "
        "TASK=RUN draws what another run finds");
  }
  const std::string of_run = arguments.teachers ? run.config.distillation.teachers : "";
  return of_run + (of_run.empty() || arguments.beside.empty() ? "" : ",") + arguments.beside;
}

void predict_run(const PredictArguments& arguments) {
  FinishedRun run = open_run(arguments.choice);
  const ModelParts& parts = run.config.model.parts;
  const bool detects = parts.tasks.has("detection");
  if (!detects && arguments.pictures == 0) {
    throw std::invalid_argument("a network without detection has no submission; --pictures draws its masks");
  }
  fs::create_directories(arguments.out);
  const example::FolderLock mine(arguments.out, "is being written");
  Submission submission;
  submission.use_camera = parts.camera;
  submission.use_lidar = parts.lidar;
  std::vector<RowIndex> chosen;
  for (const std::size_t position : evenly_spread(arguments.pictures, run.samples.size())) {
    chosen.push_back(run.samples[position]);
  }
  const std::set<RowIndex> drawn(chosen.begin(), chosen.end());
  GalleryOptions options = gallery_options(arguments, run);
  const std::string beside = runs_beside(arguments, run);
  options.beside = beside.empty() ? "" : arguments.teachers ? "the teachers" : "the other runs";
  const Beside others(beside, run, chosen, options);
  Gallery gallery(options, run.tables, run.config);
  {
    example::Progress progress(static_cast<double>(run.samples.size()));
    predict(run.network, run.tables, run.samples, run.config, [&](const SamplePrediction& prediction) {
      if (detects) {
        const KeyFrame frame = key_frame_of(run.tables, prediction.sample);
        submission.results.emplace_back(
            to_string(frame.sample), submission_boxes(*prediction.of<std::vector<ScoredBox>>("detection"), frame.ego_from_lidar,
                                                      frame.global_from_ego, run.config.loading.box_labels));
      }
      if (drawn.count(prediction.sample) > 0) {
        gallery.add(prediction, others.in(prediction.sample));
      }
      progress.advance(1);
    });
  }
  if (detects) {
    const fs::path file = fs::path(arguments.out) / "submission.json";
    example::write_whole(file, [&](example::OutputFile& out) {
      example::OutputFileBuffer buffer(out);
      std::ostream stream(&buffer);
      stream.exceptions(std::ios::badbit);
      write_submission(stream, submission, evaluated_classes(run.config.loading.box_labels));
    });
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
  command
      ->add_option("--out", arguments->out,
                   "Folder for submission.json and pictures; made where it is not there. RUN/predictions is\n"
                   "linked to by report")
      ->capture_default_str()
      ->type_name("DIR");
  CLI::Option* const pictures =
      command->add_option("--pictures", arguments->pictures, "Samples to draw, evenly spread over the split; a page shows them")
          ->check(example::number_within<std::size_t>(0))
          ->capture_default_str();
  command->add_option("--score", arguments->least_score, "Boxes below this score are not drawn, but submitted")
      ->check(example::number_within<double>(0, 1))
      ->needs(pictures)
      ->capture_default_str();
  command
      ->add_option("--mask-threshold", arguments->mask_threshold,
                   "Probability from which a cell of map or foreground is drawn; unless given, the threshold of each class that\n"
                   "the run's evaluation.json picked, and 0.5 where there is none")
      ->check(example::number_within<double>(0, 1))
      ->needs(pictures);
  command->add_option("--width", arguments->width, "Pixels of a view's side and of a camera picture's width")
      ->check(example::number_within<int>(64, 4096))
      ->needs(pictures)
      ->capture_default_str();
  command
      ->add_flag("--teachers", arguments->teachers,
                 "Draw what the run's teachers find (distillation.teachers) between what is annotated and what the run finds")
      ->needs(pictures);
  command
      ->add_option("--beside", arguments->beside,
                   "Draw what another run finds of a task there; may be given several times, for one task each")
      ->join(',')
      ->needs(pictures)
      ->type_name("TASK=RUN");
  command->callback([arguments] { predict_run(*arguments); });
}

}  // namespace bevfusion

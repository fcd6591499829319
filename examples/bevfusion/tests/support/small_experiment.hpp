// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bevfusion/experiments/finished_experiment.hpp"
#include "support/png.hpp"

namespace bevfusion::testing {

/// A sheet of the four ways of FULLER's Table 1 at 1 : 1, beside networks for one task alone.
inline const char* small_sheet() {
  return R"(
paper = "FULLER"
place = "Table 1"
title = "Calibration between tasks and between sensors"
shows = "What each calibration does alone and what both do together."
expected = "Delta_MTL falls from the baseline over intra and inter to both."
delta_divisor = 2
lambda_baseline = "baseline"
seeds = { tiny = 3, small = 3, full = 1 }
[[column]]
key = "mAP"
label = "mAP, %"
scale = 100
[[column]]
key = "NDS"
label = "NDS, %"
scale = 100
[[column]]
key = "mIoU"
label = "mIoU, %"
scale = 100
[[column]]
key = "delta_mtl"
label = "\u0394_MTL, %"
better = "low"
scale = 100
[[column]]
key = "gamma_task"
label = "\u03b3_task"
better = "low"
[[column]]
key = "without camera/mIoU"
label = "mIoU without camera, %"
scale = 100
[[column]]
key = "peak_bytes"
label = "memory, GB"
better = "low"
scale = 1e-9
[[row]]
key = "detection"
label = "detection alone"
config = "detection_only.toml"
single = "detection"
paper = { mAP = 62.1 }
[[row]]
key = "segmentation"
label = "segmentation alone"
config = "segmentation_only.toml"
single = "segmentation"
paper = { mIoU = 62.3 }
[[row]]
key = "baseline"
label = "baseline"
config = "baseline.toml"
paper = { mAP = 59.1, mIoU = 44.0, delta_mtl = 18.3 }
[[row]]
key = "intra"
label = "intra"
config = "baseline.toml"
baseline = "baseline"
paper = { mAP = 59.5, mIoU = 45.0, delta_mtl = 16.9 }
[[row]]
key = "inter"
label = "inter"
config = "baseline.toml"
baseline = "baseline"
paper = { mAP = 57.1, mIoU = 59.5, delta_mtl = 8.8 }
[[row]]
key = "both"
label = "both"
config = "baseline.toml"
baseline = "baseline"
paper = { mAP = 60.5, mIoU = 58.4, delta_mtl = 5.4 }
[[plot]]
kind = "branch_norms"
place = "Figure 4"
text = "The branches' norms."
[[plot]]
kind = "gates"
place = "Figure 6 b"
text = "w_img / w_lid."
[[plot]]
kind = "losses"
place = "Figure 6 a"
text = "The losses."
[[plot]]
kind = "training_loss"
place = "Figure 2"
text = "The training loss."
)";
}

/// A log of two epochs with two steps each, as `train` writes it.
inline std::string small_log(const std::string& tasks, const std::string& rule, const std::string& gate) {
  const auto step = [](const char* epoch, const char* number, const char* gamma, const char* weight, const char* lidar_gate) {
    return std::string(R"({"kind":"step","epoch":)") + epoch + R"(,"step":)" + number +
           R"(,"loss":5,"losses":{"detection":4,"segmentation":1},"learning_rate":0.001,"weights":{"detection":)" + weight +
           R"(,"segmentation":2},"gamma_task":)" + gamma + R"(,"gamma_task_weighted":1.25,"gamma_modal":1.5,"cosine":-0.5,)" +
           R"("conflict_share":1,"gates":{"lidar":)" + lidar_gate +
           R"(,"camera":1},"branch_norms":{"lidar":3,"camera":2},"seconds":0.4,"waited":0.1})" + "\n";
  };
  return R"({"kind":"run","version":"0.3.0","size":"tiny","parameters":250000,"steps":4,"device":"cpu","precision":"float32",)" +
         std::string(R"("gamma_pair":"detection/segmentation","tasks":[)") + tasks + R"(],"calibrator":")" + rule +
         R"(","gate":")" + gate + "\"}\n" + step("0", "1", "2", "0.4", "0.9") + step("0", "2", "10", "0.5", "0.8") +
         R"({"kind":"gradient_rows","epoch":0,"step":2,"rows":{"detection":[4,2,6],"segmentation":[1,2,3]}})" + "\n" +
         R"({"kind":"evaluation","epoch":0,"step":2,"without":[],"mAP":0.1,"NDS":0.2,"mIoU":0.2})" + "\n" +
         step("1", "3", "3", "0.6", "0.7") + step("1", "4", "1", "0.7", "0.6") +
         R"({"kind":"evaluation","epoch":1,"step":4,"without":[],"mAP":0.3,"NDS":0.4,"mIoU":0.3})" + "\n";
}

/// A PNG of two squares beside each other, with room between them.
inline void write_picture(const std::filesystem::path& file, std::uint32_t side, std::uint8_t left, std::uint8_t right) {
  std::vector<std::uint8_t> pixels;
  for (std::uint32_t y = 0; y < side; ++y) {
    pixels.insert(pixels.end(), side, left);
    pixels.insert(pixels.end(), 4, 128);
    pixels.insert(pixels.end(), side, right);
  }
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << example::png(pixels, 2 * side + 4, side);
}

/// An experiment of that sheet with its runs' folders: three seeds a row, all done but intra's second and third.
inline FinishedExperiment small_experiment(const std::filesystem::path& folder) {
  struct Row {
    const char *key, *tasks, *rule, *gate;
    std::vector<std::vector<int>> figures;  ///< mAP, NDS, mIoU in per cent by seed; negative: none
  };
  const char* two = R"("detection","segmentation")";
  const std::vector<Row> rows = {
      {"detection", R"("detection")", "none", "measure", {{50, 60, -1}, {50, 60, -1}, {50, 60, -1}}},
      {"segmentation", R"("segmentation")", "none", "measure", {{-1, -1, 60}, {-1, -1, 60}, {-1, -1, 60}}},
      {"baseline", two, "uniform", "measure", {{41, 54, 30}, {42, 54, 31}, {43, 54, 32}}},
      {"intra", two, "uniform", "gradient", {{42, 55, 33}, {}, {}}},
      {"inter", two, "imtl_g", "measure", {{39, 52, 25}, {40, 52, 26}, {41, 52, 27}}},
      {"both", two, "imtl_g", "gradient", {{40, 54, 50}, {44, 54, 53}, {42, 54, 52}}}};
  FinishedExperiment experiment;
  experiment.sheet = parse_experiment_sheet(small_sheet(), "small");
  experiment.folder = folder;
  experiment.size = "tiny";
  experiment.device = "cpu";
  experiment.data = "bevfusion synth --out town --scenes 52 --samples 4 --tiny";
  experiment.training_samples = 168;
  experiment.evaluation_samples = 400;
  experiment.repeat = {"bevfusion", "experiment", "small", "--size", "tiny"};
  for (const Row& row : rows) {
    for (std::size_t s = 0; s < row.figures.size(); ++s) {
      ExperimentRun run;
      const std::string name = row.key + ("-" + std::to_string(s + 1));
      run.row = row.key;
      run.seed = s + 1;
      run.folder = folder / "runs" / name;
      run.train_command = {"bevfusion", "train", "--config", "baseline.toml", "--out", "my runs/" + name};
      run.eval_command = {"bevfusion", "eval", "--run", "my runs/" + name, "--missing"};
      run.state = !row.figures[s].empty() ? RunState::done : s == 1 ? RunState::failed : RunState::interrupted;
      run.message = run.state == RunState::failed ? "loss is not finite" : "";
      run.peak_bytes = 1.5e9;
      run.wall_seconds = 90;
      run.begun = "2026-01-31 12:00 UTC";
      run.ended = "2026-01-31 12:02 UTC";
      run.commit = "0123456";
      run.version = "0.3.0";
      run.libtorch = "1.13.1";
      run.machine = "a processor with two cores";
      experiment.runs.push_back(run);
      if (run.state != RunState::done) {
        continue;
      }
      std::filesystem::create_directories(run.folder);
      std::ofstream(run.folder / "log.jsonl") << small_log(row.tasks, row.rule, row.gate);
      std::string figures;
      const char* names[] = {"mAP", "NDS", "mIoU"};
      for (std::size_t f = 0; f < 3; ++f) {
        if (row.figures[s][f] >= 0) {
          figures += "\"" + std::string(names[f]) + "\":" + std::to_string(row.figures[s][f] / 100.0) + ",";
        }
      }
      std::ofstream(run.folder / "evaluation.json")
          << "{" << figures << R"("missing":[{"without":["camera"],"mAP":0.3,"NDS":0.4,"mIoU":0.1},)"
          << R"({"without":["28 of 32 beams"],"mAP":0.2,"NDS":0.3,"mIoU":0.2}]})";
      if (s == 0 && std::string(row.tasks) == two) {
        write_picture(run.folder / "predictions" / "15_f9ada94c_bev.png", 120, 230, 90);
        write_picture(run.folder / "predictions" / "15_f9ada94c_cameras.png", 100, 60, 200);
      }
    }
  }
  return experiment;
}

}  // namespace bevfusion::testing

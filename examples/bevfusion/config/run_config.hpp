// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/losses/segmentation_loss.hpp"
#include "bevfusion/model/model_config.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// Which samples a run sees.
struct DataConfig {
  std::string root;  ///< folder with samples/, maps/ and the tables
  std::string version = "v1.0-trainval";
  /// Channels of the cameras, six at most, parted by commas: what the network sees, in this order.
  std::string cameras = "CAM_FRONT, CAM_FRONT_RIGHT, CAM_FRONT_LEFT, CAM_BACK, CAM_BACK_LEFT, CAM_BACK_RIGHT";
  std::string lidar = "LIDAR_TOP";  ///< channel of the LiDAR
  std::string train_split = "train";
  std::string validation_split = "val";
  /// Which labels the training samples have: `full`, both on all; `disjoint_normal`, detection on three of four and
  /// segmentation on the others; `disjoint_balance`, each on one half (FULLER, Tab. 2).
  std::string labels = "full";
  /// With parted labels, a batch brings samples with labels of the same task together, so that each sees one task alone.
  bool one_task_batches = false;
  /// How the training samples are drawn: `uniform`, each once an epoch; `class_balanced`, resampled so that each class of boxes
  /// appears about equally often (CBGS).
  std::string sampling = "uniform";
  int threads = 2;  ///< that load samples
  int ahead = 8;    ///< batches loaded ahead
};

/// How a run trains. The defaults are FULLER's, and OpenPCDet's where the paper is silent.
struct TrainingConfig {
  std::int64_t epochs = 10;
  std::int64_t batch = 2;           ///< samples a batch
  std::int64_t accumulate = 1;      ///< batches whose gradients are added before the optimiser steps
  std::string optimizer = "adamw";  ///< or sgd, with momentum
  double learning_rate = 1e-3;      ///< the largest of the one-cycle schedule
  double weight_decay = 1e-2;       ///< on every parameter; decoupled with AdamW, added to the gradient with SGD
  double warm_up = 0.4;             ///< share of the steps in which the learning rate rises
  double initial_divisor = 10;      ///< the schedule starts at learning_rate / initial_divisor
  double final_divisor = 1e5;       ///< and ends at learning_rate / final_divisor
  double least_beta1 = 0.85;        ///< beta_1, or SGD's momentum, at the largest learning rate
  double most_beta1 = 0.95;
  double beta2 = 0.99;
  double clip = 10;  ///< largest norm of the whole gradient; 0: none
  /// Which weights are evaluated beside being trained: none, those of the last step; ema, an exponential moving average over the
  /// steps; last, the mean over the ends of the last epochs.
  std::string average = "none";
  double average_decay = 0.99;      ///< of ema: the share of the old average in a step's
  std::int64_t average_epochs = 3;  ///< of last
  /// Chance that a batch is trained on without one of the sensors, each as likely; its branch is then absent for the gates.
  double modality_dropout = 0;
  bool sync_batch_norm = false;       ///< batch norms see the batch of all ranks
  std::string precision = "float32";  ///< of the forward pass: float32, bfloat16 or float16
  std::string device = "cpu";         ///< or cuda, cuda:1, ...
  std::uint64_t seed = 0;
  std::int64_t checkpoint_every = 500;  ///< steps; and at the end of every epoch
  std::int64_t evaluate_every = 1;      ///< epochs; and at the end; 0: at the end alone
  std::int64_t log_every = 1;           ///< steps
  std::int64_t rows_every = 0;          ///< steps between measurements of TowerTrainer::gradient_rows(); 0: none
};

/// Weights of the tasks' losses and what is in them.
struct LossConfig {
  std::map<std::string, double> weights;  ///< static ones by task, as FULLER's 1:1, 1:5, 1:10; 1 of a task that is not here
  /// Where the static weights stand: `before` the rule, as in FULLER, so that it sees weighted losses (and IMTL-G cancels their
  /// ratio); or `after` it, where they multiply what it decides.
  std::string static_weights = "before";
  DetectionLossOptions detection;
  FocalOptions segmentation_focal;
  MaskReduction mask_reduction = MaskReduction::mean;
  /// What is a task to the calibrator: `heads`, each head one; or the name of a sheet that splits a head's loss, such as
  /// `split_detection`, the detection head's box, classification (with heat map) and velocity losses one each.
  std::string tasks = "heads";

  double weight(const std::string& task) const {
    const auto found = weights.find(task);
    return found == weights.end() ? 1 : found->second;
  }
};

/// Which gradients are calibrated and how.
struct CalibrationConfig {
  std::string rule = "imtl_g";         ///< none, uniform, imtl_g, gradnorm, dwa, pcgrad, wpcgrad
  std::string surface = "published";   ///< where tasks are compared: published, last_shared, representation, all_shared
  std::string apply_to = "published";  ///< what is weighted: published, all, shared_only
  std::string gate = "gradient";       ///< of the modality branches: none, measure, gradient, update
  std::string gate_norm = "l2";        ///< or rms
  double gate_alpha = 0.1;             ///< of FULLER's Eq. 6
  double gate_momentum = 0.2;          ///< of Eq. 7: the share of the old gate
  double gate_floor = 1e-6;            ///< no gate is smaller
  std::string gate_step = "paper";     ///< of Eq. 6: paper, which jumps where a branch gets ahead, or continuous
  bool both_last_shared = false;       ///< the FPN's parallel 1 x 1 up-convolution counts as last shared layer, too
  std::int64_t measure_every = 10;     ///< steps in which gradients are compared under a rule that does not ask for it; 0: never
  std::int64_t every = 1;              ///< the rule is asked in one of so many steps
  double smoothing = 0;                ///< how much of a weight stays where the rule gives a new one
  double gradnorm_alpha = 1.5;         ///< GradNorm's pull to equal training rates
  double dwa_temperature = 2;          ///< DWA's tau
  std::string priorities = "dtp";      ///< wPCGrad's task distribution: dtp, seg_to_vel or vel_to_seg
  double dtp_gamma = 2;                ///< DTP's exponent; wPCGrad's paper has 2 for BEV
};

/// Weights that a network starts from.
struct InitConfig {
  std::string lidar;        ///< a state dict with the LiDAR branch; none where empty
  std::string camera;       ///< a state dict with the image backbone
  std::string lidar_names;  ///< a map of that file's names to ours, one pair a line; the file's own name + ".names" where empty
  std::string camera_names;
};

/// What networks of single tasks teach a run (knowledge distillation): for each task that has a teacher, terms are added to its
/// loss before it is calibrated.
struct DistillationConfig {
  /// Frozen ones: task=RUN, parted by commas, RUN being the folder of a run that has the task.
  std::string teachers;
  /// Tasks that have a twin, parted by commas: a teacher that is trained at the same time, by the task's loss.
  std::string twins;
  /// What a twin and the run's network have in common: nothing, a twin is a network for its task alone, which no gradient reaches
  /// but its own; or the trunk, it is a second head of the task, and gradients go both ways (DMFuser's repository).
  std::string twins_share = "nothing";
  double response = 1;                      ///< weight of the distance between what the heads say; 0: none
  double features = 1;                      ///< of that between shared representations, or states of twin heads; 0: none
  std::string feature_distance = "cosine";  ///< or l2
  std::string ramp = "constant";            ///< over the epochs; or sqrt, of DMFuser's repository
  double least_score = 0.1;                 ///< a detection teacher's boxes teach from this score on
  bool cache_teachers = false;              ///< what teachers say of a sample is kept
  std::int64_t cache_mib = 2048;            ///< of it in memory; samples beyond are asked of again
};

/// Everything a run is made of. Written beside its checkpoints, so that a run can be continued, evaluated and understood.
struct RunConfig {
  std::string size = "full";  ///< tiny, small or full: where the other fields' defaults come from
  ModelConfig model;
  DataConfig data;
  LoadingOptions loading;  ///< picture and map sizes follow from the model
  TrainingConfig training;
  LossConfig losses;
  CalibrationConfig calibration;
  DistillationConfig distillation;
  InitConfig init;
};

/// The defaults of a size: FULLER's for `full`; sizes, batch, epochs and learning rate that a GPU or a CPU can bear for the
/// others.
/// @throws std::invalid_argument for another name than tiny, small or full.
RunConfig run_of_size(const std::string& size);

/// What of a data set's tables is read for a run.
TablesOptions tables_options(const DataConfig& data);

/// Sets the fields that follow from others and cannot be chosen: which sensors are loaded, the sizes of pictures and masks, the
/// labels of masks and boxes, and the loader's seed.
/// @param sets  the sets of labels that the config may name
/// @throws std::invalid_argument for labels that are not there
void complete(RunConfig& config, const LabelSets& sets = label_sets());

/// Whether it is cpu, cuda, or cuda: with a number.
bool is_device_name(const std::string& device);

/// Looks for what makes no run: unknown names, numbers out of range, sizes that do not fit each other.
/// @throws std::invalid_argument that names the field and says what it may be.
void check(const RunConfig& config, const LabelSets& sets = label_sets());

struct Kinds;
/// The same with parts and labels that the program itself need not have.
void check(const RunConfig& config, const Kinds& kinds);

}  // namespace bevfusion

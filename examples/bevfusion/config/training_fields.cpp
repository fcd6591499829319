// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_fields.hpp"

namespace bevfusion {
namespace {

void add_init_fields(FieldList& list, InitConfig& init) {
  list.add("init.lidar", &init.lidar, "File of weights that the LiDAR branch starts from: a checkpoint, or saved by torch.save")
      .also("init-lidar");
  list.add("init.lidar_names", &init.lidar_names, "Map of that file's names to this program's; FILE.names where empty");
  list.add("init.camera", &init.camera, "File of weights that the image backbone starts from").also("init-camera");
  list.add("init.camera_names", &init.camera_names, "Map of that file's names to this program's; FILE.names where empty");
}

}  // namespace

void add_training_fields(FieldList& list, TrainingConfig& training) {
  list.add("training.epochs", &training.epochs, "Passes over the training split").within(1, 1e9).also("epochs");
  list.add("training.batch", &training.batch, "Samples a batch").at_least(1).also("batch");
  list.add("training.accumulate", &training.accumulate, "Batches whose gradients are added before the optimiser steps")
      .at_least(1);
  list.add("training.optimizer", &training.optimizer, "Who moves the weights: AdamW, or SGD with momentum")
      .one_of({"adamw", "sgd"});
  list.add("training.learning_rate", &training.learning_rate, "Largest learning rate of the one-cycle schedule")
      .within(0, 10)
      .also("learning-rate");
  list.add("training.weight_decay", &training.weight_decay, "Weight decay of every parameter; SGD adds it to the gradient")
      .within(0, 10);
  list.add("training.warm_up", &training.warm_up, "Share of the steps in which the learning rate rises").within(0, 1);
  list.add("training.initial_divisor", &training.initial_divisor, "The schedule starts at the learning rate over this")
      .at_least(1);
  list.add("training.final_divisor", &training.final_divisor, "And ends at the learning rate over this").at_least(1);
  list.add("training.least_beta1", &training.least_beta1, "AdamW's beta_1, or SGD's momentum, at the largest learning rate")
      .within(0, 0.9999);
  list.add("training.most_beta1", &training.most_beta1, "AdamW's beta_1, or SGD's momentum, at both ends").within(0, 0.9999);
  list.add("training.beta2", &training.beta2, "AdamW's beta_2").within(0, 0.99999);
  list.add("training.clip", &training.clip, "Largest norm of the whole gradient; 0: none").at_least(0);
  list.add("training.average", &training.average,
           "Weights that are evaluated: of the last step; an exponential moving average; the mean of the last epochs' ends")
      .one_of({"none", "ema", "last"});
  list.add("training.average_decay", &training.average_decay, "Share of the old average in that of a step, by ema")
      .within(0, 0.999999);
  list.add("training.average_epochs", &training.average_epochs, "Epochs whose ends last averages").at_least(1);
  list.add("training.modality_dropout", &training.modality_dropout,
           "Chance that a batch is trained on without one of the sensors, whose gate then stands still")
      .within(0, 1);
  list.add("training.sync_batch_norm", &training.sync_batch_norm,
           "Batch norms normalise by the samples of all ranks instead of this rank's; nothing changes in one process");
  list.add("training.precision", &training.precision, "Number format of the forward pass")
      .one_of({"float32", "bfloat16", "float16"})
      .also("precision");
  list.add("training.device", &training.device, "cpu, cuda, or cuda: with a number").also("device");
  list.add("training.seed", &training.seed, "Seed of weights, order and augmentation").also("seed");
  list.add("training.checkpoint_every", &training.checkpoint_every, "Steps between checkpoints; one ends each epoch, too")
      .at_least(1);
  list.add("training.evaluate_every", &training.evaluate_every, "Epochs between evaluations; 0: at the end alone").at_least(0);
  list.add("training.log_every", &training.log_every, "Steps between lines of the log").at_least(1);
  list.add("training.rows_every", &training.rows_every,
           "Steps between measurements of each task's gradient row by row of the last shared layer; 0: none")
      .at_least(0);
}

void add_loss_fields(FieldList& list, LossConfig& losses, const TaskChoices& tasks) {
  std::vector<std::string> ways = {"heads"};
  for (const TaskChoice& task : tasks.all()) {
    if (!task.sheet.splits.empty()) {
      ways.push_back(task.sheet.name);
      continue;
    }
    double& weight = losses.weights.emplace(task.sheet.name, 1).first->second;
    list.add("losses." + task.sheet.name + "_weight", &weight, task.sheet.weight_help).at_least(0).also(task.sheet.weight_alias);
  }
  list.add("losses.weights", &losses.static_weights,
           "Where these weights stand: before the rule, as in FULLER, where IMTL-G cancels their ratio; or after it")
      .one_of({"before", "after"});
  list.add("losses.tasks", &losses.tasks, "What is a task to the calibrator: each head, or the detection loss in three parts")
      .one_of(ways);
  list.add("losses.mask_reduction", &losses.mask_reduction, "How the cells of the masks are brought together")
      .one_of({"mean", "sum_of_class_means"});

  DetectionLossOptions& detection = losses.detection;
  list.add("losses.detection.classification", &detection.classification, "Weight of the class of matched queries").at_least(0);
  list.add("losses.detection.regression", &detection.regression, "Weight of box and velocity").at_least(0);
  list.add("losses.detection.heat_map", &detection.heat_map, "Weight of the heat map").at_least(0);
  list.add("losses.detection.smooth_l1_beta", &detection.smooth_l1_beta, "Where smooth L1 turns from quadratic to linear; 0: L1")
      .at_least(0);
  list.add("losses.detection.code.centre", &detection.code.centre, "Within box and velocity: weight of x and y").at_least(0);
  list.add("losses.detection.code.height", &detection.code.height, "Weight of z").at_least(0);
  list.add("losses.detection.code.size", &detection.code.size, "Weight of the logarithms of the three sizes").at_least(0);
  list.add("losses.detection.code.heading", &detection.code.heading, "Weight of the heading's sine and cosine").at_least(0);
  list.add("losses.detection.code.velocity", &detection.code.velocity, "Weight of the velocity").at_least(0);
  list.add("losses.detection.focal.alpha", &detection.focal.alpha, "Balance of the focal loss; < 0: none").within(-1, 1);
  list.add("losses.detection.focal.gamma", &detection.focal.gamma, "Exponent of the focal loss").within(0, 10);
  list.add("losses.detection.matching.classification", &detection.matching.classification, "Weight of the class in the matching")
      .at_least(0);
  list.add("losses.detection.matching.centre", &detection.matching.centre, "Weight of the centre's distance").at_least(0);
  list.add("losses.detection.matching.iou", &detection.matching.iou, "Weight of the overlap").at_least(0);
  list.add("losses.detection.gaussian.overlap", &detection.gaussian.overlap, "Overlap that the heat map's Gaussians are sized by")
      .within(1e-3, 0.999);
  list.add("losses.detection.gaussian.min_radius", &detection.gaussian.min_radius, "Least radius of the Gaussians, cells")
      .within(0, 1e3);
  list.add("losses.segmentation_focal.alpha", &losses.segmentation_focal.alpha, "Balance of the masks' focal loss; < 0: none")
      .within(-1, 1);
  list.add("losses.segmentation_focal.gamma", &losses.segmentation_focal.gamma, "Exponent of the masks' focal loss")
      .within(0, 10);
}

void add_calibration_fields(FieldList& list, CalibrationConfig& calibration) {
  list.add("calibration.rule", &calibration.rule,
           "How task gradients are calibrated; none: losses are summed; uniform: too, and gradients are compared for the log")
      .one_of({"none", "uniform", "imtl_g", "gradnorm", "dwa", "pcgrad", "wpcgrad"})
      .also("rule");
  list.add("calibration.surface", &calibration.surface, "Where they are compared; published: as in the rule's paper")
      .one_of({"published", "last_shared", "representation", "all_shared"});
  list.add("calibration.apply_to", &calibration.apply_to, "What is weighted; published: as in the rule's paper")
      .one_of({"published", "all", "shared_only"});
  list.add("calibration.both_last_shared", &calibration.both_last_shared,
           "The FPN's parallel 1 x 1 up-convolution counts as last shared layer, too");
  list.add("calibration.measure_every", &calibration.measure_every,
           "Steps between comparisons of gradients under a rule that asks for none; 0: never")
      .within(0, 1e9);
  list.add("calibration.every", &calibration.every,
           "The rule is asked in one of so many steps; its weights are held in the others")
      .within(1, 1e9);
  list.add("calibration.smoothing", &calibration.smoothing, "How much of a weight stays where the rule gives a new one")
      .within(0, 0.9999);
  list.add("calibration.gate", &calibration.gate,
           "Gates of the modality branches: on gradients or on the optimiser's updates; measure: gamma_modal is logged, nothing "
           "gated")
      .one_of({"none", "measure", "gradient", "update"})
      .also("gate");
  list.add("calibration.gate_norm", &calibration.gate_norm, "How large a branch's gradient is called").one_of({"l2", "rms"});
  list.add("calibration.gate_alpha", &calibration.gate_alpha, "alpha of FULLER's Eq. 6").within(1e-6, 100);
  list.add("calibration.gate_momentum", &calibration.gate_momentum, "m of FULLER's Eq. 7, the share of the old gate")
      .within(0, 0.9999);
  list.add("calibration.gate_floor", &calibration.gate_floor, "No gate is smaller").within(1e-300, 1);
  list.add("calibration.gate_step", &calibration.gate_step, "Eq. 6 as printed, which jumps where a branch gets ahead, or without")
      .one_of({"paper", "continuous"});
  list.add("calibration.gradnorm_alpha", &calibration.gradnorm_alpha, "GradNorm's pull to equal training rates").within(0, 100);
  list.add("calibration.dwa_temperature", &calibration.dwa_temperature, "DWA's temperature").within(1e-6, 1e6);
  list.add("calibration.priorities", &calibration.priorities, "wPCGrad's task distribution: by loss, or by hand over the epochs")
      .one_of({"dtp", "seg_to_vel", "vel_to_seg"});
  list.add("calibration.dtp_gamma", &calibration.dtp_gamma, "Exponent of dynamic task prioritisation").within(0, 1000);
}

std::vector<ConfigField> fields_of(RunConfig& config) {
  FieldList list;
  list.add("size", &config.size, "Size that the other fields' defaults come from").one_of({"tiny", "small", "full"}).also("size");
  add_model_fields(list, config.model);
  add_data_fields(list, config.data);
  add_loading_fields(list, config.loading);
  add_training_fields(list, config.training);
  add_loss_fields(list, config.losses, config.model.parts.tasks);
  add_calibration_fields(list, config.calibration);
  add_distillation_fields(list, config.distillation);
  add_init_fields(list, config.init);
  add_task_fields(list, config.model.parts.tasks);
  return list.take();
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/tower_trainer.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/model/autocast.hpp"
#include "bevfusion/model/part_draws.hpp"
#include "bevfusion/training/gradient_norm.hpp"
#include "bevfusion/training/loss_scale.hpp"
#include "bevfusion/training/optimizer_choice.hpp"
#include "bevfusion/training/task_losses.hpp"

namespace bevfusion {
namespace {

RunConfig with_parts(RunConfig config, const ModelParts& parts) {
  config.model.parts = parts;
  return config;
}

std::vector<torch::Tensor> with_adapters(std::vector<torch::Tensor> parameters, const Distiller& distiller) {
  const std::vector<torch::Tensor> adapters = distiller.parameters();
  parameters.insert(parameters.end(), adapters.begin(), adapters.end());
  return parameters;
}

/// Adds terms to losses, where both are.
void add_terms(std::vector<torch::Tensor>& losses, const std::vector<torch::Tensor>& terms) {
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (terms[i].defined() && losses[i].defined()) {
      losses[i] = losses[i] + terms[i];
    }
  }
}

/// NaN for those that are not there.
std::vector<double> values_of(const std::vector<torch::Tensor>& losses) {
  std::vector<double> values(losses.size(), std::numeric_limits<double>::quiet_NaN());
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (losses[i].defined()) {
      values[i] = losses[i].item<double>();
    }
  }
  return values;
}

/// The shared maps alone.
std::vector<torch::Tensor> maps_of(const std::vector<SharedFeatures>& shared) {
  std::vector<torch::Tensor> maps;
  std::transform(shared.begin(), shared.end(), std::back_inserter(maps), [](const SharedFeatures& z) { return z.bev; });
  return maps;
}

/// Everything upstream of what the tasks share, where calibrations of several ranks could not find it: a rank may lack a batch.
std::vector<torch::Tensor> trunk_parameters(const BevFusion& tower) {
  std::vector<torch::Tensor> parameters;
  for (const auto& part : tower->named_children()) {
    const bool of_one_task = std::any_of(tower->tasks().begin(), tower->tasks().end(), [&part](const auto& task) {
      return part.key() == task->name() || part.key() == task->name() + "_bev";
    });
    if (!of_one_task) {
      const std::vector<torch::Tensor> own = part.key() == "decoder" ? tower->decoder_parameters() : part.value()->parameters();
      parameters.insert(parameters.end(), own.begin(), own.end());
    }
  }
  return parameters;
}

}  // namespace

TowerTrainer::TowerTrainer(BevFusion tower, const RunConfig& config, const fuller::Ranks& ranks, const Teaching& teaching)
    : tower_(std::move(tower)),
      config_(with_parts(config, tower_->config().parts)),
      tasks_(task_names(config_)),
      weights_(task_weights(config_)),
      distiller_(tower_, config_, teaching),
      parameters_(with_adapters(tower_->parameters(), distiller_)),
      optimizer_(make_optimizer(parameters_, config.training)),
      device_(config.training.device),
      scaler_(loss_scaler(config.training.precision == "float16")),
      divided_(ranks.count > 1) {
  const bool gated = config_.calibration.gate != "none";
  if (gated) {
    gates_ = tower_->gate_plan();
  }
  if (tasks_.size() > 1 || gated) {
    calibration_ = make_calibration(config_, gates_.to_gate(tower_->modalities()), ranks);
  }
}

std::vector<SharedFeatures> TowerTrainer::shared_outputs(const std::vector<torch::Tensor>& maps,
                                                         std::vector<torch::Tensor> pictures, std::uint64_t draws) {
  begin_draws({draws}, "shared");
  const SharedFeatures z = tower_->share(maps, std::move(pictures));
  // Losses of one head share its parameters, so they cannot be told apart downstream of a fork.
  if (!weighs_tasks() || losses_share_heads(config_)) {
    return {z};
  }
  const fuller::Surface surface = surface_of(config_.calibration);
  std::vector<torch::Tensor> compared;
  if (surface == fuller::Surface::all_shared && divided_) {
    compared = trunk_parameters(tower_);
  } else if (surface == fuller::Surface::last_shared) {
    const bool both = config_.calibration.both_last_shared;
    compared = z.pictures.empty() ? tower_->last_shared(both) : tower_->last_shared_of_all(both);
  }
  std::vector<SharedFeatures> of_tasks;
  for (const std::vector<torch::Tensor>& levels : calibration_->fork_levels(z.levels(), std::move(compared))) {
    of_tasks.push_back(z.with(levels));
  }
  return of_tasks;
}

void TowerTrainer::idle() {
  taught_.clear();
  twin_losses_.clear();
  if (calibration_) {
    calibration_->idle_step();
  }
}

std::vector<double> TowerTrainer::label_counts(const TrainingBatch& batch) const {
  const auto samples = static_cast<double>(batch.batch.boxes.size());
  std::vector<double> counts;
  for (const auto& task : tower_->tasks()) {
    double count = 0;
    if (samples > 0 && task->is_labelled(batch)) {
      count = samples;
      if (task->sheet().labels == TaskLabels::boxes) {
        count = static_cast<double>(std::count(batch.boxes_labelled.begin(), batch.boxes_labelled.end(), true));
      } else if (task->sheet().labels == TaskLabels::map) {
        count = batch.batch.labelled.sum().item<double>();
      } else if (const auto own = batch.batch.labels.find(task->name()); own != batch.batch.labels.end()) {
        count = static_cast<double>(std::count_if(own->second.begin(), own->second.end(),
                                                  [](const torch::Tensor& of_sample) { return of_sample.defined(); }));
      }
    }
    counts.insert(counts.end(), config_.model.parts.tasks.judged(task->sheet(), config_.losses.tasks).loss_names().size(), count);
  }
  return counts;
}

void TowerTrainer::divide(std::vector<torch::Tensor>& losses, const std::vector<SharedFeatures>& shared,
                          const RankPart& part) const {
  for (std::size_t i = 0; i < part.losses.size(); ++i) {
    if (losses[i].defined()) {
      losses[i] = losses[i] * part.losses[i];
    } else if (!std::isnan(part.losses[i])) {
      // Present as on the others: the calibration then knows the loss's mean over all samples. It goes through everything that
      // is shared, and so through the layers at which tasks are compared, whichever they are.
      const SharedFeatures& z = shared.size() == losses.size() ? shared[i] : shared.front();
      for (const torch::Tensor& level : z.levels()) {
        const torch::Tensor nothing = (level * 0).sum().to(torch::kFloat);
        losses[i] = losses[i].defined() ? losses[i] + nothing : nothing;
      }
    }
  }
}

std::vector<torch::Tensor> TowerTrainer::of_losses(const std::vector<torch::Tensor>& of_tasks) const {
  std::vector<torch::Tensor> terms(tasks_.size());
  std::size_t loss = 0;
  for (std::size_t i = 0; i < of_tasks.size(); ++i) {
    terms.at(loss) = of_tasks[i];
    loss += config_.model.parts.tasks.judged(tower_->tasks()[i]->sheet(), config_.losses.tasks).loss_names().size();
  }
  return terms;
}

std::vector<double> TowerTrainer::backward(const ModelInput& input, const TrainingBatch& batch, double share,
                                           const RankPart& part) {
  Outputs outputs;
  Outputs twins;
  std::vector<SharedFeatures> shared;
  {
    const Autocast reduced(device_, config_.training.precision);
    begin_draws({batch.draws}, "branches");
    std::vector<torch::Tensor> pictures;
    std::vector<torch::Tensor> maps = tower_->branches(input, batch.absent, &pictures);
    if (config_.calibration.gate != "none") {
      maps = gated(*calibration_, gates_, maps);
    }
    maps = tower_->filled(std::move(maps));
    shared = shared_outputs(maps, std::move(pictures), batch.draws);
    outputs = labelled_outputs(tower_, shared, input, batch);
    twins = distiller_.twin_outputs(outputs, maps_of(shared), input, batch);
  }
  if (keeps_) {
    const torch::Tensor& map = shared.front().bev;
    answer_ = {map.defined() ? map.detach() : map, outputs.empty() ? std::any() : outputs.begin()->second};
  }
  std::vector<torch::Tensor> losses = task_losses(tower_, outputs, batch, config_);
  const std::vector<double> values = values_of(losses);
  const std::vector<torch::Tensor> of_twins = of_losses(distiller_.twin_losses(twins, batch));
  twin_losses_ = values_of(of_twins);
  add_terms(losses, of_twins);
  divide(losses, shared, part);
  const std::vector<torch::Tensor> taught = of_losses(distiller_.terms(outputs, twins, maps_of(shared), input, batch));
  taught_ = values_of(taught);
  add_terms(losses, taught);
  torch::Tensor total;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (losses[i].defined()) {
      const torch::Tensor weighted = losses[i] * weights_[i];
      total = total.defined() ? total + weighted : weighted;
    }
  }
  if (!total.defined()) {
    return values;
  }
  if (weighs_tasks()) {
    total = calibration_->sum(losses);
  }
  scaler_.scale(total * (share * part.share)).backward();
  return values;
}

std::map<std::string, std::vector<double>> TowerTrainer::gradient_rows(const ModelInput& input, const TrainingBatch& batch) {
  std::vector<torch::Tensor> buffers = tower_->buffers();
  std::vector<torch::Tensor> kept;
  for (const torch::Tensor& buffer : buffers) {
    kept.push_back(buffer.clone());
  }
  Outputs outputs;
  Outputs twins;
  SharedFeatures shared;
  {
    const Autocast reduced(device_, config_.training.precision);
    begin_draws({batch.draws}, "branches");
    std::vector<torch::Tensor> pictures;
    const std::vector<torch::Tensor> maps = tower_->filled(tower_->branches(input, batch.absent, &pictures));
    begin_draws({batch.draws}, "shared");
    shared = tower_->share(maps, std::move(pictures));
    outputs = labelled_outputs(tower_, {shared}, input, batch);
    twins = distiller_.twin_outputs(outputs, {shared.bev}, input, batch);
  }
  std::vector<torch::Tensor> losses = task_losses(tower_, outputs, batch, config_);
  add_terms(losses, of_losses(distiller_.twin_losses(twins, batch)));
  add_terms(losses, of_losses(distiller_.terms(outputs, twins, {shared.bev}, input, batch)));
  std::map<std::string, std::vector<double>> rows;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    if (losses[i].defined()) {
      const torch::Tensor gradient = torch::autograd::grad({losses[i]}, {tower_->last_shared()}, {}, true, false, true).front();
      if (gradient.defined()) {
        const torch::Tensor norms = gradient.flatten(1).norm(2, 1).to(torch::kCPU, torch::kDouble).contiguous();
        rows[tasks_[i]].assign(norms.data_ptr<double>(), norms.data_ptr<double>() + norms.numel());
      }
    }
  }
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    buffers[i].copy_(kept[i]);
  }
  return rows;
}

void TowerTrainer::take_step(const ScheduledStep& schedule, double norm) {
  scale_gradients(parameters_, clip_factor(norm, config_.training.clip));
  follow(*optimizer_, schedule, config_.training);
  if (config_.calibration.gate == "none") {
    optimizer_->step();
    return;
  }
  std::vector<std::vector<torch::Tensor>> branches;
  for (std::size_t m = 0; m < tower_->modalities().size(); ++m) {
    branches.push_back(tower_->branch_parameters(m));
  }
  calibration_->step(*optimizer_, gates_.to_gate(branches));
}

UpdateFigures TowerTrainer::step(const ScheduledStep& schedule) {
  UpdateFigures figures;
  const bool any = std::any_of(parameters_.begin(), parameters_.end(), [](const auto& p) { return p.grad().defined(); });
  if (any) {
    scaler_.unscale_(*optimizer_);
  }
  figures.gradient_norm = gradient_norm(parameters_);
  const bool finite = std::isfinite(figures.gradient_norm);
  if (!finite && !scaler_.enabled()) {
    std::string names;
    for (const std::string& task : tasks_) {
      names += (names.empty() ? "" : ", ") + task;
    }
    throw std::runtime_error("the gradient of " + names +
                             " is not finite: the training diverges. A smaller training.learning_rate may help, or "
                             "training.precision float32; the last checkpoint is whole");
  }
  if (any) {
    const bool stepped = scaler_.step(*optimizer_, [&] {
      if (finite) {  // a norm may overflow where no gradient does: no step of that length either
        take_step(schedule, figures.gradient_norm);
      }
    });
    figures.taken = stepped && finite;
    skipped_ += figures.taken ? 0 : 1;
    scaler_.update();
  }
  for (torch::Tensor& parameter : parameters_) {
    parameter.mutable_grad() = torch::Tensor();  // a parameter without a gradient must not decay either
  }
  return figures;
}

void TowerTrainer::end_epoch() {
  if (calibration_) {
    calibration_->end_epoch();
  }
}

std::optional<fuller::Diagnostics> TowerTrainer::diagnostics() const {
  return calibration_ ? std::make_optional(calibration_->diagnostics()) : std::nullopt;
}

void TowerTrainer::save(torch::serialize::OutputArchive& archive) const {
  torch::serialize::OutputArchive optimizer(archive.compilation_unit());
  optimizer_->save(optimizer);
  archive.write("optimizer", optimizer);
  archive.write("sgd", torch::tensor(config_.training.optimizer == "sgd"));
  if (calibration_) {
    torch::serialize::OutputArchive calibration(archive.compilation_unit());
    calibration_->save(calibration);
    archive.write("calibration", calibration);
  }
  archive.write("loss_scale", saved_loss_scale(scaler_, skipped_));
  if (distiller_.teaches()) {
    torch::serialize::OutputArchive distillation(archive.compilation_unit());
    distiller_.save(distillation);
    archive.write("distillation", distillation);
  }
}

void TowerTrainer::load(torch::serialize::InputArchive& archive) {
  torch::Tensor sgd;  // a checkpoint of a version that knew AdamW alone has none
  const std::string saved = archive.try_read("sgd", sgd) && sgd.item<bool>() ? "sgd" : "adamw";
  if (saved != config_.training.optimizer) {
    throw std::runtime_error("it holds the state of training.optimizer " + saved + ", and this run's is " +
                             config_.training.optimizer + "; a run goes on as it began, or begins anew in another folder");
  }
  torch::serialize::InputArchive optimizer;
  archive.read("optimizer", optimizer);
  optimizer_->load(optimizer);
  if (calibration_) {
    torch::serialize::InputArchive calibration;
    archive.read("calibration", calibration);
    calibration_->load(calibration);
  }
  torch::Tensor scale;
  archive.read("loss_scale", scale);
  skipped_ = load_loss_scale(scaler_, scale);
  if (distiller_.teaches()) {
    torch::serialize::InputArchive distillation;
    archive.read("distillation", distillation);
    distiller_.load(distillation);
  }
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/trainer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <stdexcept>
#include <utility>

#include <sys/resource.h>
#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include <fuller/version.hpp>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/distillation/expert.hpp"
#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/model/on_device.hpp"
#include "bevfusion/model/part_numbers.hpp"
#include "bevfusion/ranks/run_ranks.hpp"
#include "bevfusion/training/divided_batch.hpp"
#include "bevfusion/training/generator_state.hpp"
#include "bevfusion/training/trained_data.hpp"
#include "support/output_file.hpp"
#include "support/progress.hpp"

namespace bevfusion {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Bytes.
double peak_memory() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return 1024 * static_cast<double>(used.ru_maxrss);
}

std::int64_t count_of(const std::vector<torch::Tensor>& parameters) {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : parameters) {
    count += parameter.numel();
  }
  return count;
}

const Kinds& kinds_of(const TrainerOptions& options) { return options.kinds == nullptr ? kinds() : *options.kinds; }

std::string short_number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g", value);
  return text.data();
}

/// "epoch 3  loss 2.31  detection 1.9  segmentation 0.41"
std::string summary(const StepRecord& record) {
  std::string text = "epoch " + std::to_string(record.epoch + 1) + "  loss " + short_number(record.loss);
  for (const auto& [task, loss] : record.losses) {
    text += "  " + task + " " + short_number(loss);
  }
  return text;
}

/// "  mAP 0.31  NDS 0.35  mIoU 0.44", and what the tasks have to say beside them
std::string summary(const EvaluationFigures& figures) {
  std::string text;
  for (const auto& task : figures.tasks) {
    for (const auto& [name, value] : task.second->headline()) {
      text += "  " + name + " " + (std::isfinite(value) ? short_number(value) : "-");
    }
    text += task.second->remark();
  }
  return text;
}

/// Running means of the tasks' losses over a step's batches.
class LossMeans {
 public:
  void add(const std::vector<std::string>& tasks, const std::vector<double>& losses) {
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      auto found = std::find_if(sums_.begin(), sums_.end(), [&](const Sum& sum) { return sum.task == tasks[i]; });
      if (found == sums_.end()) {
        found = sums_.insert(sums_.end(), Sum{tasks[i]});
      }
      if (!std::isnan(losses[i])) {
        found->total += losses[i];
        found->count += 1;
      }
    }
  }

  NamedValues means() const {
    NamedValues out;
    for (const Sum& sum : sums_) {
      if (sum.count > 0) {
        out.emplace_back(sum.task, sum.total / sum.count);
      }
    }
    return out;
  }

 private:
  struct Sum {
    std::string task;
    double total = 0;
    double count = 0;
  };
  std::vector<Sum> sums_;
};

}  // namespace

Network make_network(const RunConfig& config, const Kinds& kinds) {
  torch::manual_seed(config.training.seed);
  const NumbersAsked asked;
  Network network(config.model, kinds);
  asked.expect_all_of(config.model);
  return network;
}

Trainer::Trainer(const RunConfig& config, Network network, const Tables& tables, std::vector<RowIndex> samples,
                 TrainerOptions options)
    : config_(config),
      options_(std::move(options)),
      network_(std::move(network)),
      twins_(config, kinds_of(options_), options_.ranks),
      data_(tables, std::move(samples), config, network_->tasks(), part_of(options_.ranks)),
      device_(config.training.device),
      average_(config.training) {
  network_->to(device_);
  make_towers();
  torch::manual_seed(mix_bits({config.training.seed, 0x747261696eULL}));
  const std::string trained_on = trained_data(tables, data_.rows());
  const std::filesystem::path file = options_.out / "checkpoint.pt";
  if (options_.resume && std::filesystem::exists(file)) {
    position_ = load_checkpoint(file, network_, towers_, device_, &average_, &twins_);
    expect_same_data(file, position_.data, trained_on);
  } else {
    twins_.begin_from(config_.init);
  }
  position_.data = trained_on;
  if (options_.ranks != nullptr) {
    expect_same_on_ranks();
    if (config_.training.sync_batch_norm) {
      norms_ = synchronise_batch_norm(*network_, options_.ranks->beside("batch norm"));
    }
  }
}

void Trainer::make_towers() {
  Teaching teaching;
  teaching.teachers = load_experts(config_, kinds_of(options_));
  const Teachers twins = twins_.teachers();
  teaching.teachers.insert(teaching.teachers.end(), twins.begin(), twins.end());
  heads_ = teaching.twins = make_twin_heads(network_->towers().front(), config_, kinds_of(options_));
  if (options_.ranks != nullptr && !(teaching.teachers.empty() && heads_.empty()) && config_.data.labels != "full") {
    throw std::invalid_argument("distillation.teachers and twins with several ranks need data.labels full, and it is " +
                                config_.data.labels + "; leave --ranks out");
  }
  for (const BevFusion& tower : network_->towers()) {
    towers_.push_back(std::make_unique<TowerTrainer>(
        tower, config_,
        options_.ranks == nullptr ? fuller::Ranks() : options_.ranks->of("tower " + std::to_string(towers_.size())), teaching));
  }
}

std::vector<torch::Tensor> Trainer::trained_parameters() const {
  std::vector<torch::Tensor> parameters = network_->parameters();
  const auto add = [&parameters](const std::vector<torch::Tensor>& more) {
    parameters.insert(parameters.end(), more.begin(), more.end());
  };
  for (const auto& tower : towers_) {
    add(tower->adapters());
  }
  add(twins_.parameters());
  return parameters;
}

bool Trainer::writes() const { return options_.ranks == nullptr || options_.ranks->rank() == 0; }

void Trainer::expect_same_on_ranks() {
  const std::string rows = position_.data.substr(position_.data.find('\n') + 1);  // without the folder: machines may differ in it
  options_.ranks->expect_same("data set", rows);
  options_.ranks->expect_same("checkpoint to go on from", std::to_string(position_.step) + " " + std::to_string(position_.epoch));
  options_.ranks->expect_same("weights to begin with", std::to_string(checksum_of_weights(network_)));
}

std::int64_t Trainer::steps_of_epoch() const {
  const auto batches = static_cast<std::int64_t>(data_.batches());
  return (batches + config_.training.accumulate - 1) / config_.training.accumulate;
}

void Trainer::begin_log() {
  if (!writes()) {
    return;
  }
  log_ = std::make_unique<RunLog>(options_.out, position_.log_bytes, position_.step + 1);
  if (position_.log_bytes > 0) {
    return;
  }
  nlohmann::ordered_json line;
  line["kind"] = "run";
  line["version"] = fuller::version;
  line["size"] = config_.size;
  line["parameters"] = count_of(network_->parameters());
  line["tasks"] = task_names(config_);
  if (const auto pair = gamma_pair(task_names(config_)); pair && towers_.size() == 1) {
    line["gamma_pair"] = pair->first + "/" + pair->second;
  }
  line["calibrator"] = config_.calibration.rule;
  line["gate"] = config_.calibration.gate;
  if (!config_.distillation.teachers.empty()) {
    line["teachers"] = config_.distillation.teachers;
  }
  if (!config_.distillation.twins.empty()) {
    std::int64_t count = count_of(twins_.parameters());
    for (const auto& head : heads_) {
      count += count_of(head->module().parameters());
    }
    line["twins"] = config_.distillation.twins;
    line["twin_parameters"] = count;
  }
  line["samples"] = data_.samples();
  line["steps"] = config_.training.epochs * steps_of_epoch();
  line["device"] = config_.training.device;
  line["precision"] = config_.training.precision;
  if (options_.ranks != nullptr) {
    line["ranks"] = options_.ranks->size();
  }
  log_->add(line.dump(), 0, {});
}

TrainingOutcome Trainer::run() {
  begin_log();
  network_->train();
  outcome_ = {};
  const std::int64_t steps = config_.training.epochs * steps_of_epoch();
  std::unique_ptr<example::Progress> progress;
  if (options_.terminal != nullptr && position_.step < steps) {
    progress = std::make_unique<example::Progress>(static_cast<double>(steps - position_.step), options_.terminal);
  }
  const std::size_t first =
      static_cast<std::size_t>(position_.epoch) * data_.batches() + static_cast<std::size_t>(position_.batch);
  const auto batches = data_.prefetch(first);
  while (position_.epoch < config_.training.epochs && !stopped()) {
    if (!position_.epoch_open) {
      train_epoch(*batches, progress.get());
    }
    if (position_.epoch_open) {
      close_epoch(progress.get());
    }
  }
  outcome_.finished = position_.epoch >= config_.training.epochs;
  for (const auto& tower : towers_) {
    outcome_.skipped += tower->skipped();
  }
  return outcome_;
}

void Trainer::train_epoch(Prefetcher<TrainingBatch>& batches, example::Progress* progress) {
  const auto all = static_cast<std::int64_t>(data_.batches());
  while (position_.batch < all) {
    if (stopped()) {
      return;
    }
    const std::int64_t count = std::min(config_.training.accumulate, all - position_.batch);
    const StepRecord record = train_step(batches, count);
    position_.batch += count;
    position_.step = record.step;
    if (log_ && record.step % config_.training.log_every == 0) {
      log_->add(record);
    }
    if (progress != nullptr) {
      progress->status(summary(record));
      progress->advance(1);
    }
    if (position_.batch < all && record.step % config_.training.checkpoint_every == 0) {
      checkpoint();
    }
  }
  for (const auto& tower : towers_) {
    tower->end_epoch();
  }
  average_.after_epoch(network_, position_.epoch);
  position_.epoch_open = true;
  checkpoint();
}

StepRecord Trainer::train_step(Prefetcher<TrainingBatch>& batches, std::int64_t count) {
  const Clock::time_point begin = Clock::now();
  StepRecord record;
  record.epoch = position_.epoch;
  record.step = position_.step + 1;
  record.waited = 0;
  LossMeans losses;
  for (std::int64_t k = 0; k < count; ++k) {
    const Clock::time_point asked = Clock::now();
    std::optional<TrainingBatch> batch = batches.next();
    record.waited += seconds_since(asked);
    ModelInput input;
    if (!batch->batch.boxes.empty()) {
      input = on_device(std::move(batch->batch.input), device_);
    }
    const double share = 1.0 / static_cast<double>(count);
    twins_.learn(input, *batch, share);  // first: the network learns from what they say
    if (k + 1 == count) {
      write_gradient_rows(*batch, input, record.step);
    }
    const auto of_towers = learn(*batch, input, share);
    for (std::size_t t = 0; t < towers_.size(); ++t) {
      losses.add(towers_[t]->tasks(), of_towers[t]);
    }
  }
  if (options_.ranks != nullptr) {
    options_.ranks->average_gradients(trained_parameters());
  }
  record.losses = losses.means();
  const std::vector<std::string> names = task_names(config_);
  const std::vector<double> weights = task_weights(config_);
  record.loss = 0;
  for (const auto& [task, loss] : record.losses) {
    record.loss += loss * weights[static_cast<std::size_t>(std::find(names.begin(), names.end(), task) - names.begin())];
  }
  const ScheduledStep schedule = one_cycle(config_.training, position_.step, config_.training.epochs * steps_of_epoch());
  record.learning_rate = schedule.learning_rate;
  twins_.step(schedule);
  record.twins = twins_.losses();
  double squared_norm = 0;
  for (const auto& tower : towers_) {
    const auto seen = tower->diagnostics();
    const UpdateFigures update = tower->step(schedule);
    squared_norm += update.gradient_norm * update.gradient_norm;
    record.skipped = record.skipped || !update.taken;
    if (tower->loss_scale().enabled()) {
      record.loss_scale = tower->loss_scale().get_scale();
    }
    record.add_taught(tower->tasks(), tower->taught());
    record.add_twins(tower->tasks(), tower->twin_losses());
    if (seen && update.taken) {
      record.add(*seen, tower->weighs_tasks(), towers_.size() > 1 ? tower->tasks().front() : "");
    }
  }
  if (!record.skipped) {
    average_.after_step(network_);
  }
  record.gradient_norm = std::sqrt(squared_norm);
  record.seconds = seconds_since(begin);
  record.peak_memory = peak_memory();
  ++outcome_.steps;
  outcome_.seconds += record.seconds;
  outcome_.waited += record.waited;
  return record;
}

std::vector<std::vector<double>> Trainer::learn(const TrainingBatch& batch, const ModelInput& input, double share) {
  if (options_.ranks != nullptr) {
    return learn_together(*options_.ranks, towers_, network_, batch, input, share, norms_.get());
  }
  std::vector<std::vector<double>> losses;
  for (const auto& tower : towers_) {
    losses.push_back(tower->backward(input, batch, share));
  }
  return losses;
}

void Trainer::write_gradient_rows(const TrainingBatch& batch, const ModelInput& input, std::int64_t step) {
  const std::int64_t every = config_.training.rows_every;
  if (!log_ || every == 0 || step % every != 0) {
    return;
  }
  const NormSums::Alone alone(norms_.get());  // of this rank's samples, which no other rank passes
  nlohmann::ordered_json line;
  line["kind"] = "gradient_rows";
  line["step"] = step;
  line["rows"] = towers_.front()->gradient_rows(input, batch);
  log_->add(line.dump(), step, {});
}

void Trainer::close_epoch(example::Progress* progress) {
  const std::int64_t every = config_.training.evaluate_every;
  const bool last = position_.epoch + 1 == config_.training.epochs;
  if (options_.evaluate && (last || (every > 0 && (position_.epoch + 1) % every == 0))) {
    if (progress != nullptr) {
      progress->status("epoch " + std::to_string(position_.epoch + 1) + "  evaluating");
      progress->advance(0);
    }
    const GeneratorState generators(device_);  // how often a run is evaluated must not change what it learns
    average_.exchange(network_);
    const EvaluationFigures figures = options_.evaluate(network_);
    average_.exchange(network_);
    generators.restore(device_);
    if (log_) {
      write_evaluation(figures);
    }
    if (progress != nullptr) {
      progress->say("epoch " + std::to_string(position_.epoch + 1) + ":" + summary(figures));
    }
  }
  ++position_.epoch;
  position_.batch = 0;
  position_.epoch_open = false;
  checkpoint();
}

void Trainer::write_evaluation(const EvaluationFigures& figures) {
  nlohmann::ordered_json line;
  line["kind"] = "evaluation";
  line["epoch"] = position_.epoch;
  line["step"] = position_.step;
  line["without"] = nlohmann::ordered_json::array();
  NamedValues scalars;
  const nlohmann::ordered_json headline = headline_json(figures);
  for (const auto& [name, value] : headline.items()) {
    line[name] = value;
    if (value.is_number()) {
      scalars.emplace_back("evaluation/" + name, value.get<double>());
    }
  }
  log_->add(line.dump(), position_.step, scalars);
  example::write_file(options_.out / "evaluation.json", figures_json(figures, {}).dump(1) + "\n");
}

void Trainer::checkpoint() {
  if (!log_) {
    return;
  }
  const std::filesystem::path file = options_.out / "checkpoint.pt";
  try {
    position_.log_bytes = log_->store_all();
    save_checkpoint(file, network_, towers_, position_, device_, &average_, &twins_);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(error.what() + std::string(std::filesystem::exists(file)
                                                            ? "; the checkpoint before it is whole, and --resume goes on from it"
                                                            : "; there is no checkpoint yet"));
  }
}

}  // namespace bevfusion

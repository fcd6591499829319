// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/experiment_runner.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fuller/version.hpp>

#include "bevfusion/experiments/child_process.hpp"
#include "bevfusion/experiments/run_cost.hpp"
#include "bevfusion/experiments/run_file.hpp"
#include "bevfusion/experiments/run_origin.hpp"
#include "support/folder_lock.hpp"
#include "support/progress.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;
using Stage = RunFile::Stage;

volatile std::sig_atomic_t received = 0;
void note(int number) { received = number; }

/// Notes SIGINT and SIGTERM while it lives.
class NotedSignals {
 public:
  NotedSignals() {
    received = 0;
    struct sigaction action {};
    action.sa_handler = note;
    ::sigaction(SIGINT, &action, &interrupt_);
    ::sigaction(SIGTERM, &action, &terminate_);
  }
  ~NotedSignals() {
    ::sigaction(SIGINT, &interrupt_, nullptr);
    ::sigaction(SIGTERM, &terminate_, nullptr);
  }
  NotedSignals(const NotedSignals&) = delete;
  NotedSignals& operator=(const NotedSignals&) = delete;

 private:
  struct sigaction interrupt_ {};
  struct sigaction terminate_ {};
};

void nap() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }

/// Passes the signal on, and ends by force what does not end within ten seconds, or at a second signal.
void end_all(std::vector<ChildProcess*> children) {
  const int first = received;
  received = 0;
  for (ChildProcess* child : children) {
    child->signal(first);
  }
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!children.empty()) {
    children.erase(std::remove_if(children.begin(), children.end(), [](ChildProcess* child) { return child->has_ended(); }),
                   children.end());
    if (received != 0 || std::chrono::steady_clock::now() > patience) {
      for (ChildProcess* child : children) {
        child->signal(SIGKILL);
      }
    }
    nap();
  }
  received = first;
}

ChildCommand command_of(const ExperimentPlan& plan, const std::vector<std::string>& words, const fs::path& output) {
  ChildCommand command;
  command.words = words;
  command.words.front() = plan.options.program;
  // Runs side by side: each has a core. Sums of one thread are also the same on every machine.
  command.environment = {
      {"OMP_NUM_THREADS", "1"}, {"OPENBLAS_NUM_THREADS", "1"}, {"MKL_NUM_THREADS", "1"}, {"FULLER_EXAMPLE_ALL_CORES", "1"}};
  command.output = output;
  return command;
}

std::string failure_text(const ChildEnd& end, const std::string& stage, const fs::path& output) {
  std::string text = stage + " " + text_of(end);
  for (const std::string& line : last_lines(output, 6)) {
    text += "\n" + line;
  }
  return text;
}

/// A run whose trainer was just killed may be held for a moment longer.
void wait_until_free(const fs::path& run) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (std::chrono::steady_clock::now() < patience) {
    const int handle = ::open((run / ".lock").c_str(), O_RDONLY | O_CLOEXEC);
    if (handle < 0) {
      return;
    }
    const bool held = ::flock(handle, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ::close(handle);
    if (!held) {
      return;
    }
    nap();
  }
}

/// A run that is being trained, evaluated or drawn.
class RunningJob {
 public:
  RunningJob(const ExperimentPlan& plan, PlannedRun& planned) : plan_(plan), planned_(&planned) {
    const fs::path& folder = planned_->run.folder;
    fs::create_directories(folder);
    file_ = read_run_file(folder).value_or(RunFile());
    if (file_.stage == Stage::evaluated) {
      file_.stage = Stage::begun;  // and something of it is gone
    }
    if (file_.stage == Stage::failed) {
      file_.stage = Stage::begun;
    }
    file_.message.clear();
    file_.commit = built_from();
    file_.version = fuller::version;
    file_.libtorch = plan.options.libtorch;
    file_.machine = machine_name(plan.options.device);
    if (file_.begun.empty()) {
      file_.begun = time_now();
    }
    write_run_file(folder, file_);
    wait_until_free(folder);
    start();
  }

  /// Steps that were made since this was asked last, and the equal of a tenth of them all for the evaluation.
  double advanced() {
    double at = planned_->steps;
    if (file_.stage == Stage::begun) {
      const std::optional<LogProgress> log = log_progress(planned_->run.folder);
      at = log ? std::min(log->step, planned_->steps) : 0;
    }
    const double more = std::max(at - counted_, 0.0);
    counted_ += more;
    return more;
  }

  /// @return true once it is evaluated, or has failed: then `failure` says how
  bool has_ended(std::string& failure) {
    if (!child_->has_ended()) {
      return false;
    }
    const ChildEnd& end = child_->end();
    file_.wall_seconds += end.seconds;
    file_.ended = time_now();
    if (file_.stage == Stage::begun) {  // the same program evaluates, with less
      file_.peak_bytes = std::isfinite(file_.peak_bytes) ? std::max(file_.peak_bytes, end.peak_bytes) : end.peak_bytes;
    }
    if (end.status != 0) {
      failure = failure_text(end, command().at(1), output());
      file_.stage = Stage::failed;
      file_.message = failure;
      write_run_file(planned_->run.folder, file_);
      return true;
    }
    if (file_.stage == Stage::begun) {
      file_.stage = Stage::trained;
    } else if (!drawing_ && !planned_->run.predict_command.empty()) {
      drawing_ = true;  // not a stage: a run that is killed here is evaluated once more, and done when it has its pictures
    } else {
      file_.stage = Stage::evaluated;
    }
    write_run_file(planned_->run.folder, file_);
    if (file_.stage == Stage::trained) {
      start();
      return false;
    }
    return true;
  }

  PlannedRun& planned() const { return *planned_; }
  ChildProcess& child() { return *child_; }
  void counted_from(double steps) { counted_ = steps; }
  /// Time of a sitting that a signal ends.
  void note_interruption() {
    file_.wall_seconds += child_->seconds();
    write_run_file(planned_->run.folder, file_);
  }

 private:
  fs::path output() const { return planned_->run.folder / "output.txt"; }
  const std::vector<std::string>& command() const {
    const ExperimentRun& run = planned_->run;
    return file_.stage == Stage::begun ? run.train_command : drawing_ ? run.predict_command : run.eval_command;
  }
  void start() { child_.emplace(command_of(plan_, command(), output())); }

  const ExperimentPlan& plan_;
  PlannedRun* planned_;
  RunFile file_;
  bool drawing_ = false;
  std::optional<ChildProcess> child_;
  double counted_ = 0;
};

/// All runs of a plan, some at once.
class Runner {
 public:
  Runner(ExperimentPlan& plan, std::FILE* terminal) : plan_(plan) {
    double steps = 0;
    for (PlannedRun& run : plan_.runs) {
      add_state(run.run);  // another plan may have been run since
      if (run.run.state == RunState::done) {
        ++outcome_.done;
      } else {
        waiting_.push_back(&run);
        steps += run.steps - run.done_steps + evaluation_share * run.steps;
      }
    }
    progress_ = std::make_unique<example::Progress>(std::max(steps, 1.0), terminal);
  }

  ExperimentOutcome run() {
    std::reverse(waiting_.begin(), waiting_.end());
    while (received == 0 && (!waiting_.empty() || !jobs_.empty())) {
      fill();
      look();
      nap();
    }
    if (received != 0) {
      stop();
    }
    return outcome_;
  }

 private:
  static constexpr double evaluation_share = 0.1;

  void fill() {
    while (received == 0 && !waiting_.empty() && jobs_.size() < static_cast<std::size_t>(plan_.jobs)) {
      const auto found = std::find_if(waiting_.rbegin(), waiting_.rend(), [this](const PlannedRun* run) { return !waits(*run); });
      if (found == waiting_.rend()) {
        return;  // for teachers that are being trained
      }
      PlannedRun& next = **found;
      waiting_.erase(std::next(found).base());
      if (const PlannedRun* teacher = failed_teacher(next)) {
        fail(next, "its teacher, " + teacher->short_name + ", failed");
        continue;
      }
      try {
        jobs_.push_back(std::make_unique<RunningJob>(plan_, next));
        jobs_.back()->counted_from(next.done_steps);
      } catch (const std::exception& error) {
        fail(next, error.what());
      }
    }
  }

  const PlannedRun& at(const fs::path& folder) const {
    return *std::find_if(plan_.runs.begin(), plan_.runs.end(), [&](const PlannedRun& run) { return run.run.folder == folder; });
  }
  bool has_failed(const PlannedRun& run) const { return std::find(failed_.begin(), failed_.end(), &run) != failed_.end(); }
  /// Whether a teacher has neither ended nor failed.
  bool waits(const PlannedRun& run) const {
    return std::any_of(run.teachers.begin(), run.teachers.end(), [this](const fs::path& folder) {
      return at(folder).run.state != RunState::done && !has_failed(at(folder));
    });
  }
  const PlannedRun* failed_teacher(const PlannedRun& run) const {
    const auto found =
        std::find_if(run.teachers.begin(), run.teachers.end(), [this](const fs::path& folder) { return has_failed(at(folder)); });
    return found == run.teachers.end() ? nullptr : &at(*found);
  }

  void look() {
    const bool count = std::chrono::steady_clock::now() > next_count_;
    if (count) {
      next_count_ = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    }
    for (std::size_t j = 0; j < jobs_.size();) {
      if (count) {
        progress_->advance(jobs_[j]->advanced());
      }
      std::string failure;
      bool ended = false;
      try {
        ended = jobs_[j]->has_ended(failure);
      } catch (const std::exception& error) {  // its folder takes nothing more: a full disk
        failure = error.what();
        ended = true;
      }
      if (!ended) {
        ++j;
        continue;
      }
      PlannedRun& run = jobs_[j]->planned();
      progress_->advance(jobs_[j]->advanced() + evaluation_share * run.steps);
      jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(j));
      if (failure.empty()) {
        ++outcome_.done;
        add_state(run.run);
        progress_->say("done: " + run.short_name + " (" + example::clock_time(run.run.wall_seconds) + ")");
      } else {
        fail(run, failure);
      }
    }
    if (count) {
      progress_->status(std::to_string(outcome_.done) + " of " + std::to_string(plan_.runs.size()) + " runs done, " +
                        std::to_string(jobs_.size()) + " running");
    }
  }

  void fail(PlannedRun& run, const std::string& why) {
    progress_->say("failed: " + run.short_name + ": " + why.substr(0, why.find('\n')) + "; the others go on");
    outcome_.failed.emplace_back(run.short_name, why);
    failed_.push_back(&run);
  }

  void stop() {
    progress_->say("stopping ...");
    std::vector<ChildProcess*> children;
    for (const std::unique_ptr<RunningJob>& job : jobs_) {
      children.push_back(&job->child());
    }
    end_all(children);
    for (const std::unique_ptr<RunningJob>& job : jobs_) {
      try {
        job->note_interruption();
      } catch (const std::exception&) {
        continue;  // a full disk; the time of a sitting is all that is lost
      }
    }
    outcome_.signal = received;
  }

  ExperimentPlan& plan_;
  std::vector<PlannedRun*> waiting_;
  std::vector<const PlannedRun*> failed_;
  std::vector<std::unique_ptr<RunningJob>> jobs_;
  std::unique_ptr<example::Progress> progress_;
  std::chrono::steady_clock::time_point next_count_{};
  ExperimentOutcome outcome_;
};

/// @return false where a signal ended it
bool write_data(const ExperimentPlan& plan, std::FILE* terminal) {
  const PlannedData& data = plan.data;
  fs::create_directories(data.root);
  const fs::path output = plan.options.out / "data" / (data.key + ".txt");
  std::fprintf(terminal, "writing %.0f synthetic samples to %s ...\n", data.training_samples + data.evaluation_samples,
               data.root.c_str());
  std::fflush(terminal);
  ChildProcess child(command_of(plan, data.synth_command, output));
  while (!child.has_ended()) {
    if (received != 0) {
      end_all({&child});
      return false;
    }
    nap();
  }
  if (child.end().status != 0) {
    throw std::runtime_error(failure_text(child.end(), "synth", output));
  }
  return true;
}

}  // namespace

ExperimentOutcome run_experiments(ExperimentPlan& plan, std::FILE* terminal) {
  fs::create_directories(plan.options.out / "runs");
  const example::FolderLock lock(plan.options.out, "is used for experiments");
  const NotedSignals signals;
  const bool all_done =
      std::all_of(plan.runs.begin(), plan.runs.end(), [](const PlannedRun& run) { return run.run.state == RunState::done; });
  if (!plan.data.there && !all_done && !write_data(plan, terminal)) {
    ExperimentOutcome outcome;
    outcome.signal = received;
    return outcome;
  }
  plan.data.there = plan.data.there || !all_done;
  return Runner(plan, terminal).run();
}

}  // namespace bevfusion

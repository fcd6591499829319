// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fuller/fuller.hpp>

namespace bevfusion {

/// Values by name, in order.
using NamedValues = std::vector<std::pair<std::string, double>>;

/// The tasks whose gradients' lengths gamma_task (FULLER's Eq. 2) compares, numerator first: the first task, which is detection
/// or a part of it where there is one, over segmentation, or over the second task where there is no segmentation besides. Nothing
/// for fewer than two tasks.
std::optional<std::pair<std::string, std::string>> gamma_pair(const std::vector<std::string>& tasks);

/// What is told of one step of the optimiser. NaN and empty lists: not measured.
struct StepRecord {
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();

  std::int64_t epoch = 0;
  std::int64_t step = 0;  ///< 1 for the first
  double loss = none;     ///< sum of the present tasks' losses, statically weighted; the mean over the step's batches
  NamedValues losses;     ///< by task, unweighted, the mean over the batches that have it; absent tasks are left out
  NamedValues taught;     ///< what teachers added to them in the step's last batch, by task
  NamedValues twins;      ///< losses of twins in that batch, by task
  double learning_rate = none;
  double gradient_norm = none;
  NamedValues weights;  ///< what follows is the calibration's view of the step's last batch
  NamedValues norms;
  double cosine = none;  ///< mean over the pairs of tasks
  double conflict_share = none;
  double gamma_task = none;           ///< FULLER's Eq. 2: |g_det| / |g_seg|, of gamma_pair(); below 1 where segmentation leads
  double gamma_task_weighted = none;  ///< the same of w_i g_i
  double gamma_task_spread = none;    ///< the largest over the smallest norm of all tasks, where these are more than two
  double gamma_modal = none;          ///< Eq. 4: lidar over camera, of branch_norms; below 1 where the camera leads
  NamedValues branch_norms;           ///< of the gradient of what reads each branch first
  NamedValues gates;
  double loss_scale = none;  ///< where it adapts
  bool skipped = false;      ///< nothing was learnt: the gradient was not finite, or no task had a label
  double seconds = none;
  double waited = none;       ///< of them, for data
  double peak_memory = none;  ///< bytes of host memory, the most that the program has held so far

  /// Takes over what a calibration showed.
  /// @param tasks  whether it weighs tasks
  /// @param tower  where a network has several towers, whose it is: its name goes before those of its branches, and there is no
  ///               gamma_modal of them all
  void add(const fuller::Diagnostics& seen, bool tasks, const std::string& tower = "");

  /// Takes over what teachers added to the losses of tasks; NaN: nothing.
  void add_taught(const std::vector<std::string>& tasks, const std::vector<double>& terms);
  /// Takes over the losses of twins; NaN: none.
  void add_twins(const std::vector<std::string>& tasks, const std::vector<double>& of_twins);

  /// One line of log.jsonl, without its end.
  std::string json() const;

  /// Every value under its tag for TensorBoard.
  NamedValues scalars() const;
};

}  // namespace bevfusion

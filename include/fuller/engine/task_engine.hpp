// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/engine/copies.hpp>
#include <fuller/engine/placed.hpp>
#include <fuller/engine/record.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A list of tensors for each task; the list of an absent task holds undefined tensors or none.
using TaskTensors = std::vector<std::vector<at::Tensor>>;

/// What one step shows the engine.
struct StepEvidence {
  std::vector<at::Tensor> losses;  ///< T losses, detached; undefined where a task is absent
  at::Tensor scale;                ///< the gradient that arrived at the loss sum, as noted() gave it
  double share = 1;                ///< what this rank's losses count in those of all ranks
  std::vector<at::Tensor> shares;  ///< the same task by task, T numbers, where these differ; else empty
  TaskTensors gradients;           ///< at the surface; empty where they are not compared
  /// Where defined, the Gram matrix of the gradients at the surface as add_gram() has made it, in their place.
  at::Tensor gram;
  /// Where defined, the input x [N, in] of a linear layer: `gradients` are then those of its output, and what is compared are
  /// those of its weight, which they make with x.
  at::Tensor layer_input;
  /// Whether `gradients` are those of a representation, of which each rank holds other samples: Gram matrices then add up.
  bool of_own_samples = false;
};

/// A record on its way to the host.
class RecordOnItsWay {
 public:
  explicit RecordOnItsWay(Record there) : record_(std::move(there)) {}
  RecordOnItsWay(Outcome known, const RecordLayout& layout, const at::Tensor& numbers) : layout_(layout), numbers_(numbers) {
    record_.last = std::move(known);
  }

  bool is_there() const { return !numbers_ || numbers_->is_there(); }
  /// Waits until it has arrived.
  const Record& wait() {
    if (numbers_) {
      record_ = layout_->decode(numbers_->wait().data_ptr<double>(), std::move(record_.last));
      numbers_.reset();
    }
    return record_;
  }

 private:
  Record record_;
  std::optional<RecordLayout> layout_;
  std::optional<PinnedCopy> numbers_;
};

/// Where the arithmetic of the tasks' level runs, and what it keeps from step to step: the host, kernels on a device, or the host
/// in the order of a device's stream. On a device everything but read() and what says so is put into the current stream and
/// forgotten.
class TaskEngine : public Placed {
 public:
  /// Whether it can compare the weight gradients of a linear layer by its input and output gradients alone.
  virtual bool compares_layers() const { return false; }
  /// Whether NonFinite::throw_error ends no step, but expect_finite() afterwards.
  virtual bool fails_later() const = 0;

  /// The loss scale as it is now, whatever becomes of the tensor, to be handed to weigh() of the same backward.
  virtual at::Tensor noted(const at::Tensor& scale) = 0;

  /// Adds <g_i, g_j> of T gradients of one tensor, undefined for a zero, to `gram`: T x T doubles where this engine computes, or
  /// undefined before the first. To be shown by StepEvidence::gram.
  virtual void add_gram(const std::vector<at::Tensor>& gradients, at::Tensor& gram) const = 0;

  /// The same of the gradients of a matrix W, undefined for a zero, by x [N, in] and those of x W; where this engine has that,
  /// and it pays. False, and nothing added, where not.
  virtual bool add_gram_by_rows(const at::Tensor& /*x*/, const std::vector<at::Tensor>& /*of_product*/,
                                at::Tensor& /*gram*/) const {
    return false;
  }

  /// Asks the rule for this step's weights. `present` and `measured` of `outcome` are given, the rest is filled in, or, where it
  /// stays on a device, `device_heads`.
  /// @throws NonFiniteError under NonFinite::throw_error unless fails_later(); the memory is then as it was.
  void weigh(const StepEvidence& shown, Outcome& outcome) {
    ask(shown, outcome);
    outcome.weighed = true;
    ++steps_begun_;
  }
  /// How often weigh() came to its end, counted on from the steps of the record that was written last.
  std::int64_t steps_begun() const { return steps_begun_; }

  /// Has the host know what weigh() found for `outcome`, which it was asked for last; waits where it must.
  /// @throws NonFiniteError under NonFinite::throw_error.
  virtual void settle(Outcome& outcome) = 0;

  /// sum_i w_i cotangents[i] with the weights that weigh() found last for shared parameters, or what a rule that drops signs
  /// makes of w_i cotangents[i]; a tensor of its own. `place` tells apart what is combined in one step.
  virtual at::Tensor combined(at::TensorList cotangents, const Outcome& outcome, std::size_t place) = 0;
  /// `gradient` times what weigh() found for the head of `task`; in place where the gradient's memory is its own.
  virtual at::Tensor for_head(std::size_t task, const at::Tensor& gradient, const Outcome& outcome) = 0;

  void end_epoch() { set_epoch(++epochs_); }

  /// What it knows; waits where it must.
  Record read() {
    Record record = known();
    steps_begun_ = record.memory.steps;  // replays of a captured step are counted on the device alone
    return record;
  }
  /// The same on its way to the host, without a wait.
  virtual RecordOnItsWay send() const { return RecordOnItsWay(known()); }
  /// Takes over what another engine, or a file, knew.
  void write(const Record& record) {
    steps_begun_ = record.memory.steps;
    epochs_ = record.memory.epochs;
    take(record);
  }

  /// @throws NonFiniteError once for the first step since the last call that NonFinite::throw_error would have ended. Waits.
  virtual void expect_finite() {}
  /// @throws Error once for an exception that a rule in a stream's order has thrown since the last call. Waits for nothing.
  virtual void expect_no_exception() {}

 protected:
  virtual void ask(const StepEvidence& shown, Outcome& outcome) = 0;
  virtual void set_epoch(std::int64_t epoch) = 0;
  virtual void take(const Record& record) = 0;
  virtual Record known() const = 0;

 private:
  std::int64_t steps_begun_ = 0;
  std::int64_t epochs_ = 0;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

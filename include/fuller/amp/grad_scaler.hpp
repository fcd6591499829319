// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <fuller/amp/non_finite_check.hpp>
#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of GradScaler; its constructor refuses those that make no sense. The defaults are those of torch.amp.GradScaler.
struct GradScalerOptions {
  /// The first scale, finite and > 0.
  double initial = 65536;
  /// What the scale is multiplied with after `growth_interval` steps in a row whose gradients were finite; > 1.
  double growth = 2;
  /// What the scale is multiplied with after a step with a gradient that was not finite; in (0, 1).
  double backoff = 0.5;
  /// How many finite steps in a row make the scale grow; >= 1.
  std::int64_t growth_interval = 2000;
  /// Bounds of the scale, 0 <= smallest <= initial <= largest.
  double smallest = 0;
  double largest = std::numeric_limits<double>::infinity();
  /// If false, losses are not scaled and every step is taken.
  bool enabled = true;
  /// Ranks that are to skip a step together; needed where their gradients are not averaged before the scaler sees them.
  Ranks ranks{};
};

/// A loss scale for float16, as torch.amp.GradScaler is in Python: gradients of the scaled loss do not vanish in half precision,
/// the optimiser sees them unscaled, and its step is skipped if a gradient is NaN or infinite.
///
///     scaler.scale(calibration.sum({...})).backward();
///     scaler.unscale_(optimizer);  // optional: to clip what the optimiser will see
///     scaler.step(optimizer);      // optimizer.step(), unless a gradient is not finite
///     scaler.update();             // once, after all optimisers
///
/// Weights and gates do not depend on the scale. Under NonFinite::propagate, the default, a task gradient that is not finite
/// makes all weights NaN and moves no rule's state, so the scaler skips the optimiser's step. scale(), unscale_() and update()
/// wait for nothing (with GradScalerOptions::ranks, unscale_() waits as their average() does); step() waits for the one number
/// that says whether to step, as Python's does. Works on the CPU and on CUDA devices.
class GradScaler {
 public:
  /// @throws Error for options that make no sense
  explicit GradScaler(GradScalerOptions options = {}) : options_(std::move(options)) {
    const bool in_order = options_.smallest >= 0 && options_.smallest <= options_.initial && options_.initial <= options_.largest;
    if (!(options_.initial > 0) || !std::isfinite(options_.initial) || !in_order) {
      detail::fail("GradScalerOptions::initial is ", options_.initial, "; a positive number between smallest, ",
                   options_.smallest, ", and largest, ", options_.largest, ", is needed");
    }
    expect_float("GradScalerOptions::initial is ", options_.initial);
    detail::expect_sense(options_.ranks, "GradScalerOptions::ranks");
    expect_moves(options_.growth, options_.backoff, options_.growth_interval);
  }

  /// `loss` times the scale. The scale lies on the device of the first loss.
  /// @param loss  any shape and floating-point type, any device; undefined is not allowed
  /// @return a tensor of the same shape; `loss` itself if the scaler is not enabled
  at::Tensor scale(const at::Tensor& loss) {
    if (!options_.enabled) {
      return loss;
    }
    if (!scale_.defined()) {
      const auto options = at::TensorOptions().device(loss.device());
      scale_ = at::full({1}, first_scale_, options.dtype(at::kFloat));
      finite_steps_ = at::full({1}, first_finite_steps_, options.dtype(at::kInt));
    }
    return loss.mul(scale_.reshape({}).to(loss.device()));
  }

  /// Divides the gradients of an optimiser's parameters by the scale, in place, for code that reads them before the optimiser's
  /// step, such as clipping.
  /// @throws Error for a second call before update(), after step(), before the first scale(), and for gradients in float16
  template <class Optimizer>
  void unscale_(Optimizer& optimizer) {
    if (!options_.enabled) {
      return;
    }
    Seen& seen = seen_[&optimizer];
    if (seen.stage != Stage::ready) {
      detail::fail("unscale_() of an optimiser that ", seen.stage == Stage::unscaled ? "is unscaled already" : "has stepped",
                   " since the last update(); call update() once after all optimisers' steps");
    }
    if (!scale_.defined()) {
      detail::fail("gradients of a loss that scale() was not called on are not scaled; call scaler.scale(loss).backward()");
    }
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> parameters;
    std::unordered_set<const void*> listed;  // LibTorch lists tied weights once for each module that has them
    for (const auto& group : optimizer.param_groups()) {
      for (const at::Tensor& parameter : group.params()) {
        if (listed.insert(parameter.unsafeGetTensorImpl()).second) {
          parameters.push_back(parameter);
        }
      }
    }
    const detail::CheckedGradients checked(parameters, scale_);
    seen.any = checked.any();
    seen.found = checked.found();
    if (options_.ranks.average) {
      std::vector<at::Tensor> share{seen.found};
      detail::average(options_.ranks, share, {"what the gradient scaler found", steps_});
      seen.found = share.front();
    }
    seen.stage = Stage::unscaled;
  }

  /// Calls optimizer.step() if all gradients are finite, and unscales them first unless that has been done. Waits: see above.
  /// @return whether the optimiser stepped
  /// @throws Error for a second call before update(), for an optimiser none of whose parameters has a gradient, and as unscale_()
  template <class Optimizer>
  bool step(Optimizer& optimizer) {
    return step(optimizer, [&] { optimizer.step(); });
  }
  /// The same, with a function that is called in place of optimizer.step():
  /// `scaler.step(optimizer, [&] { calibration.step(optimizer, branches); })`.
  template <class Optimizer, class Step>
  bool step(Optimizer& optimizer, const Step& take) {
    if (!options_.enabled) {
      take();
      return true;
    }
    if (seen_[&optimizer].stage == Stage::stepped) {
      detail::fail(
          "step() of an optimiser that has stepped since the last update(); call update() once after all optimisers' steps");
    }
    if (seen_[&optimizer].stage == Stage::ready) {
      unscale_(optimizer);
    }
    Seen& seen = seen_[&optimizer];
    if (!seen.any) {
      detail::fail("step() of an optimiser none of whose parameters has a gradient; call backward() first");
    }
    const bool finite = !(seen.found.template item<float>() > 0);
    if (finite) {
      take();
    }
    seen.stage = Stage::stepped;
    return finite;
  }

  /// Moves the scale by what the optimisers' gradients showed. Call it once, after all optimisers' steps.
  /// @throws Error if there was no step() or unscale_() since the last call
  void update() {
    if (!options_.enabled) {
      return;
    }
    const at::NoGradGuard no_grad;
    at::Tensor found;
    for (const auto& [optimizer, seen] : seen_) {
      static_cast<void>(optimizer);
      if (seen.stage != Stage::ready) {
        found = found.defined() ? found.add(seen.found) : seen.found;
      }
    }
    if (!found.defined()) {
      detail::fail("update() without a step() or unscale_() since the last one; call scaler.step(optimizer) first");
    }
    detail::move_scale(scale_, finite_steps_, found, {options_.growth, options_.backoff, options_.growth_interval});
    if (options_.smallest > 0 || std::isfinite(options_.largest)) {
      scale_.clamp_(options_.smallest, options_.largest);
    }
    seen_.clear();
    ++steps_;
  }

  /// Sets the scale from now on.
  /// @throws Error unless it is finite and > 0
  void update(double scale) {
    if (!(scale > 0) || !std::isfinite(scale)) {
      detail::fail("update() got the scale ", scale, "; a positive number is needed");
    }
    expect_float("update() got the scale ", scale);
    first_scale_ = scale;
    if (scale_.defined()) {
      scale_.fill_(scale);
    }
    seen_.clear();
  }

  bool enabled() const { return options_.enabled; }
  /// The scale, 1 if the scaler is not enabled; waits for its device.
  double get_scale() const {
    return !options_.enabled ? 1.0 : scale_.defined() ? static_cast<double>(scale_.item<float>()) : first_scale_;
  }
  /// The number of finite steps since the scale last moved; waits for its device.
  std::int64_t finite_steps() const { return finite_steps_.defined() ? finite_steps_.item<int>() : first_finite_steps_; }

  /// Writes the scale, the count of finite steps, and growth, backoff and growth_interval. Waits for the device of the scale.
  /// `torch::save(scaler, path)` calls it.
  template <class Archive>
  void save(Archive& archive) const {
    archive.write("grad_scaler",
                  at::tensor(at::ArrayRef<double>({get_scale(), static_cast<double>(finite_steps()), options_.growth,
                                                   options_.backoff, static_cast<double>(options_.growth_interval)}),
                             at::kDouble));
  }
  /// Reads what save() wrote, and takes over its growth, backoff and growth_interval in place of the options'.
  /// `torch::load(scaler, path)` calls it.
  /// @throws Error, and changes nothing, for numbers that no scaler leaves
  template <class Archive>
  void load(Archive& archive) {
    at::Tensor saved;
    archive.read("grad_scaler", saved);
    if (!saved.defined() || saved.numel() != 5) {
      detail::fail("the file holds no state of a gradient scaler; load what torch::save(scaler, path) wrote");
    }
    const at::Tensor here = saved.to(at::kCPU, at::kDouble).contiguous();
    const double* const numbers = here.data_ptr<double>();
    constexpr double most = std::numeric_limits<int>::max();
    if (!is_float(numbers[0]) || !(numbers[1] >= 0 && numbers[1] <= most) || !(numbers[4] >= 1 && numbers[4] < 1e18)) {
      detail::fail("the saved scale ", numbers[0], " after ", numbers[1], " finite steps, of ", numbers[4],
                   ", is none that a gradient scaler can have left; the file is damaged, load an earlier one");
    }
    expect_moves(numbers[2], numbers[3], static_cast<std::int64_t>(numbers[4]));
    options_.growth = numbers[2];
    options_.backoff = numbers[3];
    options_.growth_interval = static_cast<std::int64_t>(numbers[4]);
    first_scale_ = numbers[0];
    first_finite_steps_ = static_cast<std::int64_t>(numbers[1]);
    if (scale_.defined()) {
      scale_.fill_(first_scale_);
      finite_steps_.fill_(first_finite_steps_);
    }
    seen_.clear();
  }

 private:
  enum class Stage { ready, unscaled, stepped };
  struct Seen {
    Stage stage = Stage::ready;
    bool any = false;  ///< whether any parameter had a gradient
    at::Tensor found;
  };

  /// Whether the scale, a float on its device, can have this value.
  static bool is_float(double scale) {
    return scale >= std::numeric_limits<float>::min() && scale <= std::numeric_limits<float>::max();
  }
  static void expect_float(const char* what, double scale) {
    if (!is_float(scale)) {
      detail::fail(what, scale, "; the scale is a float, from ", std::numeric_limits<float>::min(), " to ",
                   std::numeric_limits<float>::max());
    }
  }

  static void expect_moves(double growth, double backoff, std::int64_t interval) {
    if (!(growth > 1) || !std::isfinite(growth) || !(backoff > 0 && backoff < 1) || interval < 1) {
      detail::fail("a gradient scaler grows by ", growth, " after ", interval, " steps and backs off by ", backoff,
                   "; growth must be more than 1, the interval positive, backoff between 0 and 1");
    }
  }

  GradScalerOptions options_;
  double first_scale_ = options_.initial;  ///< the scale until the first loss, whose device takes it
  std::int64_t first_finite_steps_ = 0;
  at::Tensor scale_;         ///< [1] float
  at::Tensor finite_steps_;  ///< [1] int
  std::int64_t steps_ = 0;
  std::unordered_map<const void*, Seen> seen_;
};

/// What `torch::save(scaler, path)` calls.
template <class Archive>
auto operator<<(Archive& archive, const GradScaler& scaler) -> decltype(archive.write("", at::Tensor()), archive) {
  scaler.save(archive);
  return archive;
}

/// What `torch::load(scaler, path)` calls.
template <class Archive>
auto operator>>(Archive& archive, GradScaler& scaler) -> decltype(archive.read("", std::declval<at::Tensor&>()), archive) {
  scaler.load(archive);
  return archive;
}

}  // namespace v0_1
}  // namespace fuller

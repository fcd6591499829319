// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/slice.h>
#include <c10/core/TensorImpl.h>
#include <c10/core/UndefinedTensorImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <fuller/core/error.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Tells gates on updates that an optimiser has passed by: each branch's parameters beyond the gate, and the versions, and on
/// the CPU a few of the values, that they had when the gates moved. (LibTorch's SGD writes through `data()`, which leaves the
/// version; values on a device would have to be waited for.) An optimiser writes all of a branch's parameters that are trained
/// still; a scaler that skips a step, further micro-batches, evaluation, or something that writes some of them do not count.
class PendingUpdates {
 public:
  void begin(std::size_t branches) { of_branches_.assign(branches, {}); }
  /// The gate of branch m, which `edge` leads to, has another value than 1.
  /// @param values  whether values may be looked at: not where the steps run on a device, which would be waited for
  void note(std::size_t m, const Edge& edge, bool values) {
    walk(edge, [&](const Edge& reached) {
      const at::Tensor* leaf = leaf_of(reached.function.get());
      if (leaf != nullptr) {
        of_branches_[m].push_back({Weak(leaf->getIntrusivePtr()), leaf->_version(), values ? sample_of(*leaf) : at::Tensor()});
      }
      return leaf == nullptr;
    });
  }
  void clear() { of_branches_.clear(); }

  /// @throws Error, once, where all parameters of a branch that are not frozen have been written since.
  void expect_applied(const std::vector<std::string>& names) {
    for (std::size_t m = 0; m < of_branches_.size(); ++m) {
      bool any_written = false;
      bool all_written = true;
      for (const Parameter& parameter : of_branches_[m]) {
        if (!parameter.is_frozen()) {
          const bool written = parameter.is_written();
          any_written = any_written || written;
          all_written = all_written && written;
        }
      }
      if (any_written && all_written) {
        clear();
        fail("the last gates were never applied: GateTarget::update gates what the optimiser does, and the parameters of '",
             names[m], "' were changed without calibration.step(); call calibration.step(optimizer, {", names.front(),
             "->parameters(), ...}) in place of optimizer.step(), or choose GateTarget::gradient");
      }
    }
  }

  /// @param branches  the M lists of parameters that step() is to move by the gates
  /// @throws Error where list m holds none of the parameters that gate m lies before, or one of another gate's.
  void expect_lists(const std::vector<std::vector<at::Tensor>>& branches, const std::vector<std::string>& names) const {
    for (std::size_t m = 0; m < of_branches_.size() && m < branches.size(); ++m) {
      bool found = of_branches_[m].empty();
      for (const Parameter& parameter : of_branches_[m]) {
        for (std::size_t k = 0; k < branches.size(); ++k) {
          for (const at::Tensor& listed : branches[k]) {
            if (parameter.is(listed)) {
              if (k != m) {
                fail("step() got a parameter of shape ", listed.sizes(), " in the list of '", names[k],
                     "', but it lies upstream of the gate of '", names[m],
                     "'; give the branches' parameters in the order of modalities(), or, where branches ",
                     "share parameters, choose GateTarget::gradient");
              }
              found = true;
            }
          }
        }
      }
      if (!found) {
        fail("step() got ", branches[m].size(), " parameters for '", names[m],
             "', none of which lies upstream of its gate; pass ", names[m], "->parameters(), in the order of modalities()");
      }
    }
  }

 private:
  using Weak = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  struct Parameter {
    Weak weak;
    std::int64_t version;
    at::Tensor sample;  ///< undefined where it was not taken

    bool is(const at::Tensor& other) const {
      const auto alive = weak.lock();
      return alive && alive.get() == other.unsafeGetTensorImpl();
    }
    bool is_frozen() const {
      const auto alive = weak.lock();
      return alive && !alive->requires_grad();
    }
    bool is_written() const {
      const auto alive = weak.lock();
      if (!alive) {
        return false;
      }
      const at::Tensor now(alive);
      return now._version() != version || (sample.defined() && !sample.equal(view_of(now)));
    }
  };

  /// Its first values.
  static at::Tensor view_of(const at::Tensor& parameter) {
    constexpr std::int64_t few = 64;
    return parameter.detach().view({-1}).slice(0, 0, few);
  }
  static at::Tensor sample_of(const at::Tensor& parameter) {
    const bool at_hand = parameter.is_cpu() && parameter.layout() == at::kStrided && parameter.is_contiguous();
    return at_hand ? view_of(parameter).clone() : at::Tensor();
  }

  std::vector<std::vector<Parameter>> of_branches_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

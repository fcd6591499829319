// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/noted_parameter.hpp>
#include <fuller/core/error.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Tells gates on updates that an optimiser has passed by: each branch's parameters beyond the gate, as they were when the gates
/// moved. An optimiser writes all of a branch's parameters that are trained still; a scaler that skips a step, further
/// micro-batches, evaluation, or something that writes some of them do not count.
class PendingUpdates {
 public:
  void begin(std::size_t branches) { of_branches_.assign(branches, {}); }
  /// The gate of branch m, which `edge` leads to, has another value than 1.
  /// @param values  whether values may be looked at: not where the steps run on a device, which would be waited for
  void note(std::size_t m, const Edge& edge, bool values) {
    walk(edge, [&](const Edge& reached) {
      const at::Tensor* leaf = leaf_of(reached.function.get());
      if (leaf != nullptr) {
        of_branches_[m].emplace_back(*leaf, values);
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
      for (const NotedParameter& parameter : of_branches_[m]) {
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
      for (const NotedParameter& parameter : of_branches_[m]) {
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
  std::vector<std::vector<NotedParameter>> of_branches_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

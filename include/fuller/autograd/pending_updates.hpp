// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/TensorImpl.h>
#include <c10/core/UndefinedTensorImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <fuller/autograd/graph.hpp>
#include <fuller/core/error.hpp>

namespace fuller::detail {

/// Tells gates on updates that an optimiser has passed by: each branch's parameters beyond the gate, and the versions they had
/// when the gates moved. An optimiser writes all of a branch's parameters; a scaler that skips a step, further micro-batches,
/// evaluation, or something that writes some of them do not count.
class PendingUpdates {
 public:
  void begin(std::size_t branches) { of_branches_.assign(branches, {}); }
  /// The gate of branch m, which `edge` leads to, has another value than 1.
  void note(std::size_t m, const Edge& edge) {
    walk(edge, [&](const Edge& reached) {
      const at::Tensor* leaf = leaf_of(reached.function.get());
      if (leaf != nullptr) {
        of_branches_[m].emplace_back(Weak(leaf->getIntrusivePtr()), leaf->_version());
      }
      return leaf == nullptr;
    });
  }
  void clear() { of_branches_.clear(); }

  /// @throws Error, once, where all parameters of a branch have been written since.
  void expect_applied(const std::vector<std::string>& names) {
    for (std::size_t m = 0; m < of_branches_.size(); ++m) {
      bool all_written = !of_branches_[m].empty();
      for (const auto& [weak, version] : of_branches_[m]) {
        const auto alive = weak.lock();
        all_written = all_written && alive && at::Tensor(alive)._version() != version;
      }
      if (all_written) {
        clear();
        fail("the last gates were never applied: GateTarget::update gates what the optimiser does, and the parameters of '",
             names[m], "' were changed without calibration.step(); call calibration.step(optimizer, {", names.front(),
             "->parameters(), ...}) in place of optimizer.step(), or choose GateTarget::gradient");
      }
    }
  }

 private:
  using Weak = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;
  std::vector<std::vector<std::pair<Weak, std::int64_t>>> of_branches_;
};

}  // namespace fuller::detail

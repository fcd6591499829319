// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/model/model_input.hpp"

namespace bevfusion {

/// What a teacher has of a batch.
struct TeacherAnswer {
  torch::Tensor shared;  ///< [B, C, X, Y]: its shared representation
  std::any said;         ///< what its head says; see Task::forward()
};

/// A network beside the run's that teaches it one task. What it answers is a constant to the run.
class Teacher {
 public:
  Teacher() = default;
  virtual ~Teacher() = default;
  Teacher(const Teacher&) = delete;
  Teacher& operator=(const Teacher&) = delete;

  virtual const std::string& task() const = 0;
  virtual std::int64_t channels() const = 0;  ///< of its shared representation
  virtual TeacherAnswer answer(const ModelInput& input) = 0;
  /// Of its weights, where a run that goes on has to be taught by the same: of one that does not learn.
  virtual std::optional<std::uint32_t> checksum() const { return std::nullopt; }
};

using Teachers = std::vector<std::shared_ptr<Teacher>>;

}  // namespace bevfusion

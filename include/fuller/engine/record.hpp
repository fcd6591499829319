// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <fuller/calibrators/weighting.hpp>
#include <fuller/engine/outcome.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What a calibration keeps from step to step, and save() writes.
struct Memory {
  std::vector<double> rule;  ///< the rule's state
  std::int64_t steps = 0;
  std::int64_t epochs = 0;
};

/// All that an engine knows: its memory, and what the last step that asked the rule showed and decided.
struct Record {
  Memory memory;
  Outcome last;
};

/// Where the numbers of a record stand that an engine has on its device: doubles, one after the other.
struct RecordLayout {
  RecordLayout(std::size_t tasks, std::size_t of_rule)
      : T(static_cast<std::int64_t>(tasks)),
        shared(static_cast<std::int64_t>(of_rule)),
        heads(shared + T),
        conditions(heads + T),
        gram(conditions + T),
        steps(gram + T * T),
        epochs(steps + 1),
        scale(epochs + 1),
        end(scale + 1) {}

  std::int64_t T;
  std::int64_t state = 0;   ///< the rule's
  std::int64_t shared;      ///< T weights of the shared parameters' gradients
  std::int64_t heads;       ///< T weights of the heads'
  std::int64_t conditions;  ///< T
  std::int64_t gram;        ///< T x T
  std::int64_t steps, epochs;
  std::int64_t scale;  ///< of the losses, of either sign
  std::int64_t end;

  std::vector<double> encode(const Record& record) const {
    std::vector<double> numbers(static_cast<std::size_t>(end));
    const auto put = [&](std::int64_t at, const auto& values) {
      std::transform(values.begin(), values.end(), numbers.begin() + at, [](auto value) { return static_cast<double>(value); });
    };
    put(state, record.memory.rule);
    put(shared, record.last.verdict.shared);
    put(heads, record.last.verdict.heads);
    put(conditions, record.last.verdict.conditions);
    put(gram, record.last.gram);
    numbers[static_cast<std::size_t>(steps)] = static_cast<double>(record.memory.steps);
    numbers[static_cast<std::size_t>(epochs)] = static_cast<double>(record.memory.epochs);
    numbers[static_cast<std::size_t>(scale)] = record.last.loss_scale;
    return numbers;
  }

  /// @param known  what the host knows of the last step beside these numbers: which tasks were present
  Record decode(const double* numbers, Outcome known) const {
    Record record;
    record.memory.rule.assign(numbers + state, numbers + shared);
    record.memory.steps = static_cast<std::int64_t>(numbers[steps]);
    record.memory.epochs = static_cast<std::int64_t>(numbers[epochs]);
    known.verdict.shared.assign(numbers + shared, numbers + heads);
    known.verdict.heads.assign(numbers + heads, numbers + conditions);
    std::transform(numbers + conditions, numbers + gram, known.verdict.conditions.begin(),
                   [](double value) { return static_cast<Condition>(static_cast<int>(value)); });
    known.gram.assign(numbers + gram, numbers + steps);
    known.loss_scale = std::abs(numbers[scale]);
    known.device_heads = at::Tensor();
    record.last = std::move(known);
    return record;
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

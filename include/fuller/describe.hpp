// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <string>
#include <vector>

#include <fuller/diagnostics.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline const char* name_of(Condition condition) {
  switch (condition) {
    case Condition::used:
      return "used";
    case Condition::absent:
      return "absent";
    case Condition::zero:
      return "zero gradient";
    case Condition::non_finite:
      return "not finite";
  }
  return "";
}

inline const char* name_of(Surface surface) {
  switch (surface) {
    case Surface::last_shared:
      return "the last shared layer";
    case Surface::representation:
      return "the shared representation";
    case Surface::all_shared:
      return "all shared parameters";
  }
  return "";
}

inline const char* name_of(Route route) {
  switch (route) {
    case Route::none:
      return "no step yet";
    case Route::fork:
      return "weights chosen at fork()";
    case Route::sum:
      return "weights chosen at sum()";
    case Route::plain:
      return "a plain sum: nothing that the losses share is trained";
  }
  return "";
}

/// "none", or at most `most` of them: 'trunk.2.weight' [64, 48], [64].
inline void write_list(std::ostream& out, const std::vector<NamedShape>& list, std::size_t most) {
  if (list.empty()) {
    out << "none";
  }
  for (std::size_t k = 0; k < list.size() && k < most; ++k) {
    out << (k == 0 ? "" : ", ") << (list[k].name.empty() ? "" : "'" + list[k].name + "' ") << '[';
    for (std::size_t d = 0; d < list[k].shape.size(); ++d) {
      out << (d == 0 ? "" : ", ") << list[k].shape[d];
    }
    out << ']';
  }
  if (list.size() > most) {
    out << " and " << list.size() - most << " more";
  }
  out << '\n';
}

inline void write_number(std::ostream& out, double number) {
  if (std::isnan(number)) {
    out << std::setw(12) << "-";
  } else {
    out << std::setw(12) << number;
  }
}

}  // namespace detail

/// Diagnostics as a few lines of text: route, surface, shared parameters and cost, then a row for each task and each modality.
/// "-" stands for what was not measured. Allocates; waits for nothing.
inline std::string describe(const Diagnostics& diagnostics) {
  constexpr std::size_t shown = 12;
  std::ostringstream out;
  out << std::setprecision(4);
  out << "step " << diagnostics.step << ": " << detail::name_of(diagnostics.route) << '\n';
  out << "compares " << detail::name_of(diagnostics.compared) << ": ";
  detail::write_list(out, diagnostics.surface, shown);
  if (!diagnostics.untrained.empty()) {
    out << "passed, since not trained: ";
    detail::write_list(out, diagnostics.untrained, shown);
  }
  out << "shared (" << diagnostics.shared.size() << "): ";
  detail::write_list(out, diagnostics.shared, shown);
  out << "cost: " << diagnostics.passes << " passes for task gradients, " << diagnostics.bytes_kept << " bytes kept";
  if (diagnostics.summed) {
    out << ", their weighted sum trains";
  } else if (!diagnostics.one_more.empty()) {
    out << ", and one that trains (" << diagnostics.one_more << ')';
  }
  if (diagnostics.micro_batches > 1) {
    out << ", in " << diagnostics.micro_batches << " micro-batches";
  }
  if (diagnostics.bytes_averaged > 0) {
    out << ", " << diagnostics.bytes_averaged << " bytes averaged over the ranks";
  }
  out << '\n';
  if (diagnostics.gathered > 0) {
    out << "accumulating: " << diagnostics.gathered << (diagnostics.gathered == 1 ? " micro-batch" : " micro-batches")
        << " of the next step so far\n";
  }
  if (diagnostics.held_for > 0) {
    out << "weights held: the rule was asked " << diagnostics.held_for << (diagnostics.held_for == 1 ? " step" : " steps")
        << " ago\n";
  }
  if (!diagnostics.policy.empty()) {
    out << "policy: " << diagnostics.policy << '\n';
  }
  const auto row = [&](const std::string& name, const std::vector<double>& numbers) {
    out << "  " << std::left << std::setw(16) << name << std::right;
    for (const double number : numbers) {
      detail::write_number(out, number);
    }
  };
  out << "  " << std::left << std::setw(16) << "task" << std::right << std::setw(12) << "weight" << std::setw(12) << "of its head"
      << std::setw(12) << "norm" << '\n';
  for (std::size_t i = 0; i < diagnostics.tasks.size(); ++i) {
    const double norm = diagnostics.norms.empty() ? Diagnostics::none : diagnostics.norms[i];
    row(diagnostics.tasks[i], {diagnostics.weights[i], diagnostics.head_weights[i], norm});
    out << "  " << detail::name_of(diagnostics.conditions[i]) << '\n';
  }
  if (!std::isnan(diagnostics.conflict_share)) {
    out << "conflicts " << diagnostics.conflict_share << ", gamma of tasks " << diagnostics.gamma_task << ", weighted "
        << diagnostics.gamma_task_weighted << '\n';
  }
  if (!std::isnan(diagnostics.weight_ratio)) {
    out << "smallest over largest weight " << diagnostics.weight_ratio;
    if (!std::isnan(diagnostics.step_length)) {
      out << ", step " << diagnostics.step_length << " of the longest gradient";
    }
    out << '\n';
  }
  for (std::size_t k = 0; k < diagnostics.stalled.size(); ++k) {
    out << (k == 0 ? "the step cannot feel '" : "', '") << diagnostics.stalled[k]
        << (k + 1 == diagnostics.stalled.size() ? "'\n" : "");
  }
  for (std::size_t m = 0; m < diagnostics.modalities.size(); ++m) {
    if (m == 0) {
      out << "  " << std::left << std::setw(16) << "modality" << std::right << std::setw(12) << "gate" << std::setw(12) << "norm"
          << (diagnostics.branch_scores.empty() ? "" : "       score") << '\n';
    }
    std::vector<double> numbers{diagnostics.gates[m], diagnostics.branch_norms[m]};
    if (!diagnostics.branch_scores.empty()) {
      numbers.push_back(diagnostics.branch_scores[m]);
    }
    row(diagnostics.modalities[m], numbers);
    out << '\n';
  }
  return out.str();
}

}  // namespace v0_1
}  // namespace fuller

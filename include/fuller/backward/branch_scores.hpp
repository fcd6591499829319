// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/modalities.hpp>
#include <fuller/core/error.hpp>
#include <fuller/core/floating.hpp>

// Scores of branches, on their way to the gates.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// One branch's score, if the host knows it; NaN: there is none.
/// @return whether there is one
inline bool note_score(const Modalities& modalities, std::size_t m, double score) {
  if (modalities.law.divides_scores() && score < 0) {
    fail("scores() got ", score, " for '", modalities.names[m], "': the gate law '", modalities.law.name(),
         "' divides one score by another, so they must be >= 0; hand in a probability, an accuracy, or exp(-loss) of a loss");
  }
  // By value: a copy from the host would be waited for.
  modalities.engine->scores().narrow(0, static_cast<std::int64_t>(m), 1).fill_(score);
  return !std::isnan(score);
}

/// The same of a tensor, which stays where it is if it is on a device.
inline bool note_score(const Modalities& modalities, std::size_t m, const at::Tensor& score) {
  if (!score.defined()) {
    return note_score(modalities, m, quiet_nan);
  }
  if (score.numel() != 1 || at::isComplexType(score.scalar_type()) || score.scalar_type() == at::kBool) {
    fail("scores() got a tensor of shape ", score.sizes(), " and type ", score.dtype().name(), " for '", modalities.names[m],
         "'; a score is one real number for each branch, the mean over the batch");
  }
  if (score.device().is_cpu()) {
    return note_score(modalities, m, score.item<double>());
  }
  modalities.engine->scores().narrow(0, static_cast<std::int64_t>(m), 1).copy_(score.reshape({1}));
  return true;
}

/// The M numbers of a tensor.
inline std::vector<at::Tensor> listed_scores(const at::Tensor& of_branches) {
  if (!of_branches.defined()) {
    fail(
        "scores() got an undefined tensor; give it a number for each branch, a tensor [M], or a list with undefined tensors for ",
        "branches that have none");
  }
  if (of_branches.dim() != 1) {
    fail("scores() got a tensor of shape ", of_branches.sizes(), "; give it a number for each branch, [M]");
  }
  return of_branches.unbind();
}

/// Puts the scores of the step to come where the gates are, M numbers or scalar tensors. Waits for nothing on a device whose
/// gates are there. What throws leaves the step without scores.
template <class Scores>
void note_scores(Modalities& modalities, const Scores& scores) {
  if (!modalities.law.reads_scores()) {
    fail("scores() of gates by the law '", modalities.law.name(),
         "', which compares norms and reads no scores; leave them out, or ",
         "name the modalities with a law that reads them: fuller::OGM(), fuller::AGM(), fuller::CGGM(), or fuller::MLB with ",
         "options.evidence = fuller::GateEvidence::scores");
  }
  const at::NoGradGuard no_grad;
  const c10::OptionalDeviceGuard guard(modalities.engine->scores().device());
  modalities.scored.clear();
  std::vector<std::uint8_t> scored;
  for (std::size_t m = 0; m < scores.size(); ++m) {
    scored.push_back(note_score(modalities, m, scores[m]) ? 1 : 0);
  }
  modalities.scored = std::move(scored);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "bevfusion/metrics/box_errors.hpp"
#include "bevfusion/metrics/detection_box.hpp"
#include "bevfusion/metrics/detection_config.hpp"
#include "bevfusion/metrics/sequences.hpp"

namespace bevfusion {

/// Precision, confidence and errors of one class and matching distance over the recalls 0, 0.01, ..., 1.
struct DetectionCurves {
  static constexpr std::size_t bins = 101;
  using Curve = std::array<double, bins>;

  Curve precision{};            ///< 0 beyond the recall that was reached
  Curve confidence{};           ///< score at which the recall is reached, 0 beyond
  PerError<Curve> errors = {};  ///< running mean over the matches that are at least as sure

  /// Recall of a bin. The product, not the quotient: at a jump of a curve the last bit of it decides.
  static double recall(std::size_t bin) { return bin + 1 == bins ? 1.0 : static_cast<double>(bin) * (1.0 / (bins - 1)); }

  /// Curves where nothing matched: precision 0, errors 1.
  static DetectionCurves without_matches() {
    DetectionCurves curves;
    for (Curve& error : curves.errors) {
      error.fill(1);
    }
    return curves;
  }

  /// Last bin whose confidence is not 0; 0 without any.
  std::size_t max_recall_bin() const {
    for (std::size_t bin = bins; bin-- > 0;) {
      if (confidence[bin] != 0) {
        return bin;
      }
    }
    return 0;
  }
};

namespace detail {

/// Predictions of one class by falling score, each with whether and how it matched.
struct Matches {
  std::size_t truth_count = 0;
  std::vector<double> scores;  ///< of all predictions
  std::vector<bool> matched;   ///< likewise
  std::vector<double> match_scores;
  PerError<std::vector<double>> match_errors;
};

/// The nearest annotation that is not taken, among those closer than `threshold`; the count of annotations if there is none.
inline std::size_t nearest_free(const DetectionBox& prediction, const std::vector<const DetectionBox*>& truth,
                                const std::vector<bool>& taken, double threshold) {
  std::size_t nearest = truth.size();
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (taken[i]) {
      continue;
    }
    const double distance = centre_distance(*truth[i], prediction);
    if (distance < least) {
      least = distance;
      nearest = i;
    }
  }
  return least < threshold ? nearest : truth.size();
}

/// Lets every prediction of the class, surest first, take the nearest free annotation of its class and sample, if it is nearer
/// than `threshold`. Of equal scores the later prediction goes first, as nuScenes sorts upwards and reverses.
inline Matches match(const std::vector<EvaluationSample>& samples, DetectionClass detection_class, double threshold,
                     bool symmetric) {
  struct Candidate {
    const DetectionBox* box;
    std::size_t sample;
  };
  Matches out;
  std::vector<std::vector<const DetectionBox*>> truth(samples.size());
  std::vector<std::vector<bool>> taken(samples.size());
  std::vector<Candidate> candidates;
  for (std::size_t s = 0; s < samples.size(); ++s) {
    for (const DetectionBox& box : samples[s].truth) {
      if (box.detection_class == detection_class) {
        truth[s].push_back(&box);
      }
    }
    for (const DetectionBox& box : samples[s].predictions) {
      if (box.detection_class == detection_class) {
        candidates.push_back({&box, s});
      }
    }
    taken[s].assign(truth[s].size(), false);
    out.truth_count += truth[s].size();
  }
  std::reverse(candidates.begin(), candidates.end());
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.box->score > b.box->score; });
  for (const Candidate& candidate : candidates) {
    const std::size_t s = candidate.sample;
    const std::size_t nearest = nearest_free(*candidate.box, truth[s], taken[s], threshold);
    const bool matched = nearest < truth[s].size();
    out.scores.push_back(candidate.box->score);
    out.matched.push_back(matched);
    if (!matched) {
      continue;
    }
    taken[s][nearest] = true;
    out.match_scores.push_back(candidate.box->score);
    const PerError<double> errors = box_errors(*truth[s][nearest], *candidate.box, symmetric);
    for (std::size_t k = 0; k < box_error_count; ++k) {
      out.match_errors[k].push_back(errors[k]);
    }
  }
  return out;
}

}  // namespace detail

/// Curves of one class and matching distance (m) over all samples, from boxes that `evaluated_only` kept: matching, precision
/// and confidence over recall, and errors over confidence, as nuScenes' devkit accumulates them.
///
/// Equal scores are taken last first over samples and boxes in their order. Throws std::invalid_argument where a matched box has
/// a size <= 0, or scores below 0 make the confidence rise with recall, which the devkit refuses too.
inline DetectionCurves accumulate(const std::vector<EvaluationSample>& samples, const DetectionConfig& config,
                                  DetectionClass detection_class, double threshold) {
  const EvaluatedClass& of = config.classes.at(index_of(detection_class));
  detail::Matches matches = detail::match(samples, detection_class, threshold, of.symmetric);
  if (matches.match_scores.empty()) {
    return DetectionCurves::without_matches();
  }
  std::vector<double> recall;
  std::vector<double> precision;
  double found = 0;
  for (std::size_t i = 0; i < matches.scores.size(); ++i) {
    found += matches.matched[i] ? 1 : 0;
    recall.push_back(found / static_cast<double>(matches.truth_count));
    precision.push_back(found / static_cast<double>(i + 1));
  }
  DetectionCurves curves;
  for (std::size_t bin = 0; bin < DetectionCurves::bins; ++bin) {
    const double r = DetectionCurves::recall(bin);
    curves.precision[bin] = interpolate(r, recall, precision, precision.front(), 0);
    curves.confidence[bin] = interpolate(r, recall, matches.scores, matches.scores.front(), 0);
    if (bin > 0 && curves.confidence[bin] > curves.confidence[bin - 1]) {
      throw std::invalid_argument("class " + of.name + ": scores below 0 cannot be evaluated");
    }
  }
  std::reverse(matches.match_scores.begin(), matches.match_scores.end());
  for (std::size_t k = 0; k < box_error_count; ++k) {
    std::vector<double> means = running_mean(matches.match_errors[k]);
    std::reverse(means.begin(), means.end());
    for (std::size_t bin = 0; bin < DetectionCurves::bins; ++bin) {
      curves.errors[k][bin] = interpolate(curves.confidence[bin], matches.match_scores, means, means.front(), means.back());
    }
  }
  return curves;
}

}  // namespace bevfusion

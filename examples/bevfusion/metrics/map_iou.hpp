// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bevfusion {

/// Cells of a set: predicted and true, predicted only, true only.
struct CellCounts {
  std::uint64_t true_positives = 0;
  std::uint64_t false_positives = 0;
  std::uint64_t false_negatives = 0;

  /// TP / (TP + FP + FN + 1e-7), BEVFusion's IoU: 0 where there is nothing to find and nothing found.
  double iou() const {
    return static_cast<double>(true_positives) / (static_cast<double>(true_positives + false_positives + false_negatives) + 1e-7);
  }
};

/// IoU of one class. Where no cell of it was ever labelled, `labelled` is false and `best` is NaN.
struct ClassIou {
  std::vector<double> at_threshold;
  double best = std::numeric_limits<double>::quiet_NaN();  ///< largest over the thresholds
  float best_threshold = 0;                                ///< the first that yields it
  bool labelled = false;
};

/// Mean IoU of masks in bird's-eye view with BEVFusion's protocol: cells are counted over the whole set, per class and threshold;
/// a class gets the IoU of its best threshold; mIoU is the mean over the classes. Serves map and foreground masks alike.
///
/// A cell is predicted where its probability is >= the threshold, both in single precision. Counts are whole numbers, so neither
/// the order of samples nor their division among workers (`merge`) changes a figure.
class MapIou {
 public:
  /// 0.35, 0.40, ..., 0.65.
  static std::vector<float> default_thresholds() { return {0.35F, 0.40F, 0.45F, 0.50F, 0.55F, 0.60F, 0.65F}; }

  /// Throws std::invalid_argument unless there is a class and the thresholds ascend strictly.
  explicit MapIou(std::size_t classes, std::vector<float> thresholds = default_thresholds())
      : thresholds_(std::move(thresholds)), histograms_(classes) {
    const auto falls = [](float a, float b) { return !(a < b); };
    if (classes == 0 || thresholds_.empty() ||
        std::adjacent_find(thresholds_.begin(), thresholds_.end(), falls) != thresholds_.end()) {
      throw std::invalid_argument("map IoU: needs a class, and thresholds that ascend");
    }
    for (Histogram& histogram : histograms_) {
      histogram.of_true.resize(thresholds_.size() + 1);
      histogram.of_false.resize(thresholds_.size() + 1);
    }
  }

  /// Adds one class's mask of one sample: `cells` probabilities in [0, 1], and its truth, where anything but 0 means the class is
  /// there. `labelled`, where given, is 0 for cells without a label, which are not counted; a class without any label in a sample
  /// is left out by not adding it. Throws std::invalid_argument for an unknown class or a NaN probability, which is never
  /// predicted and would pass for a miss; the counts are then unchanged.
  void add(std::size_t map_class, std::size_t cells, const float* probability, const std::uint8_t* truth,
           const std::uint8_t* labelled = nullptr) {
    if (map_class >= histograms_.size()) {
      throw std::invalid_argument("map IoU: class " + std::to_string(map_class) + " of " + std::to_string(histograms_.size()));
    }
    Histogram sample{std::vector<std::uint64_t>(thresholds_.size() + 1), std::vector<std::uint64_t>(thresholds_.size() + 1)};
    for (std::size_t i = 0; i < cells; ++i) {
      if (labelled != nullptr && labelled[i] == 0) {
        continue;
      }
      const float p = probability[i];
      if (std::isnan(p)) {
        throw std::invalid_argument("map IoU: class " + std::to_string(map_class) + " has a NaN probability");
      }
      const auto passed =
          static_cast<std::size_t>(std::upper_bound(thresholds_.begin(), thresholds_.end(), p) - thresholds_.begin());
      ++(truth[i] != 0 ? sample.of_true : sample.of_false)[passed];
    }
    histograms_[map_class] += sample;
  }

  /// Adds the counts of another part of the set. Throws std::invalid_argument unless it has the same classes and thresholds.
  void merge(const MapIou& other) {
    if (other.thresholds_ != thresholds_ || other.histograms_.size() != histograms_.size()) {
      throw std::invalid_argument("map IoU: only counts of the same classes and thresholds can be merged");
    }
    for (std::size_t c = 0; c < histograms_.size(); ++c) {
      histograms_[c] += other.histograms_[c];
    }
  }

  /// All counts, for add_counts() of another object of as many classes and thresholds.
  std::vector<std::uint64_t> all_counts() const {
    std::vector<std::uint64_t> numbers;
    for (const Histogram& histogram : histograms_) {
      numbers.insert(numbers.end(), histogram.of_true.begin(), histogram.of_true.end());
      numbers.insert(numbers.end(), histogram.of_false.begin(), histogram.of_false.end());
    }
    return numbers;
  }

  /// merge() by the counts alone. Throws std::invalid_argument for another number of them.
  void add_counts(const std::vector<std::uint64_t>& numbers) {
    const std::size_t each = thresholds_.size() + 1;
    if (numbers.size() != 2 * each * histograms_.size()) {
      throw std::invalid_argument("map IoU: " + std::to_string(numbers.size()) + " counts are of other classes or thresholds");
    }
    auto next = numbers.begin();
    for (Histogram& histogram : histograms_) {
      for (std::vector<std::uint64_t>* counts : {&histogram.of_true, &histogram.of_false}) {
        std::transform(counts->begin(), counts->end(), next, counts->begin(), std::plus<>());
        next += static_cast<std::ptrdiff_t>(each);
      }
    }
  }

  const std::vector<float>& thresholds() const { return thresholds_; }
  std::size_t classes() const { return histograms_.size(); }

  /// Cells so far of a class at a threshold, both by position.
  CellCounts counts(std::size_t map_class, std::size_t threshold) const {
    const Histogram& histogram = histograms_.at(map_class);
    CellCounts out;
    for (std::size_t passed = 0; passed <= thresholds_.size(); ++passed) {
      const bool predicted = passed > threshold;
      (predicted ? out.true_positives : out.false_negatives) += histogram.of_true[passed];
      out.false_positives += predicted ? histogram.of_false[passed] : 0;
    }
    return out;
  }

  /// IoU of a class at every threshold, and at its best.
  ClassIou class_iou(std::size_t map_class) const {
    ClassIou out;
    out.labelled = histograms_.at(map_class).total() > 0;
    for (std::size_t t = 0; t < thresholds_.size(); ++t) {
      const double iou = counts(map_class, t).iou();
      out.at_threshold.push_back(iou);
      if (out.labelled && !(iou <= out.best)) {
        out.best = iou;
        out.best_threshold = thresholds_[t];
      }
    }
    return out;
  }

  /// mIoU in [0, 1]: mean of the best IoUs over the classes with a labelled cell; NaN if there is none.
  double mean_iou() const {
    double sum = 0;
    double count = 0;
    for (std::size_t c = 0; c < histograms_.size(); ++c) {
      if (histograms_[c].total() > 0) {
        sum += class_iou(c).best;
        count += 1;
      }
    }
    return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  /// Cells by how many thresholds their probability reaches.
  struct Histogram {
    std::vector<std::uint64_t> of_true;
    std::vector<std::uint64_t> of_false;

    Histogram& operator+=(const Histogram& other) {
      for (std::size_t i = 0; i < of_true.size(); ++i) {
        of_true[i] += other.of_true[i];
        of_false[i] += other.of_false[i];
      }
      return *this;
    }

    std::uint64_t total() const {
      std::uint64_t sum = 0;
      for (std::size_t i = 0; i < of_true.size(); ++i) {
        sum += of_true[i] + of_false[i];
      }
      return sum;
    }
  };

  std::vector<float> thresholds_;
  std::vector<Histogram> histograms_;
};

}  // namespace bevfusion

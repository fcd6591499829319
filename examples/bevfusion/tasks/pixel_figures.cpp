// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/pixel_figures.hpp"

#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/labels/pixel_class.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/packed.hpp"
#include "support/text_table.hpp"

namespace bevfusion {

PixelFigures::PixelFigures(TaskSheet sheet, std::vector<std::string> names)
    : sheet_(std::move(sheet)), names_(std::move(names)), counts_(names_.size() * names_.size(), 0) {}

void PixelFigures::add(const SamplePrediction& prediction) {
  const auto* const said = prediction.of<PixelPrediction>(sheet_.name);
  if (said == nullptr || !said->truth.defined()) {
    return;
  }
  if (said->truth.sizes() != said->predicted.sizes()) {
    throw std::invalid_argument("classes of pixels are predicted at another size than they are labelled at");
  }
  const torch::Tensor truth = said->truth.contiguous();
  const torch::Tensor predicted = said->predicted.contiguous();
  const auto* const known = truth.data_ptr<std::uint8_t>();
  const auto* const called = predicted.data_ptr<std::uint8_t>();
  for (std::int64_t i = 0; i < truth.numel(); ++i) {
    if (known[i] != no_pixel_class) {
      ++counts_.at(known[i] * names_.size() + called[i]);
    }
  }
}

std::optional<std::string> PixelFigures::given() const {
  std::string bytes;
  add_list(bytes, counts_);
  return bytes;
}

void PixelFigures::take(const std::string& bytes) {
  PackedReader reader(bytes);
  const std::vector<std::uint64_t> more = reader.list<std::uint64_t>();
  reader.expect_end();
  if (more.size() != counts_.size()) {
    throw std::invalid_argument(std::to_string(more.size()) + " counts of pixels are of other classes");
  }
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    counts_[i] += more[i];
  }
}

std::uint64_t PixelFigures::shown(std::size_t pixel_class) const {
  const auto first = counts_.begin() + static_cast<std::ptrdiff_t>(pixel_class * names_.size());
  return std::accumulate(first, first + static_cast<std::ptrdiff_t>(names_.size()), std::uint64_t{0});
}

double PixelFigures::iou(std::size_t pixel_class) const {
  const std::uint64_t truly = shown(pixel_class);
  std::uint64_t called = 0;
  for (std::size_t truth = 0; truth < names_.size(); ++truth) {
    called += count(truth, pixel_class);
  }
  const std::uint64_t both = count(pixel_class, pixel_class);
  return truly == 0 ? std::numeric_limits<double>::quiet_NaN()
                    : static_cast<double>(both) / static_cast<double>(truly + called - both);
}

std::vector<std::pair<std::string, double>> PixelFigures::headline() const {
  double sum = 0;
  int classes = 0;
  for (std::size_t c = 0; c < names_.size(); ++c) {
    if (shown(c) > 0) {
      sum += iou(c);
      ++classes;
    }
  }
  return {{sheet_.figures.at(0).name, classes > 0 ? sum / classes : std::numeric_limits<double>::quiet_NaN()}};
}

void PixelFigures::add_details(nlohmann::ordered_json& out) const {
  const std::uint64_t pixels = std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
  nlohmann::ordered_json classes = nlohmann::ordered_json::object();
  for (std::size_t c = 0; c < names_.size(); ++c) {
    if (shown(c) > 0) {
      classes[names_[c]] = {{"IoU", iou(c)}, {"share", static_cast<double>(shown(c)) / static_cast<double>(pixels)}};
    }
  }
  out[sheet_.name] = classes;
}

std::string PixelFigures::text() const {
  std::vector<std::vector<std::string>> rows{{"pixels of", "IoU", "pixels"}};
  for (std::size_t c = 0; c < names_.size(); ++c) {
    rows.push_back({names_[c], shown(c) > 0 ? figure_text(iou(c)) : "-", std::to_string(shown(c))});
  }
  rows.push_back({"mean", figure_text(headline()[0].second), ""});
  return sheet_.figures.at(0).title + " " + figure_text(headline()[0].second, 4) + "\n\n" + example::text_table(rows);
}

}  // namespace bevfusion

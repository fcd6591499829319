// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "../support/bar_plot.hpp"
#include "../support/page.hpp"
#include "../support/png.hpp"
#include "curves.hpp"
#include "overlay.hpp"
#include "summary.hpp"

namespace example {

/// The page that shows what the calibrators did: pictures first, numbers beside them, words under both.
class Report {
 public:
  Report(const Settings& settings, const std::vector<Choice>& all, const std::vector<Run>& runs,
         const std::vector<Summary>& summaries)
      : settings_(settings), all_(all), runs_(runs), summaries_(summaries) {
    for (const auto& summary : summaries) {
      titles_.push_back(summary.title);
    }
  }

  void write(const Pairs& test, const std::string& seconds) {
    introduction(test);
    accuracies();
    page_.heading("On the way");
    page_.paragraph("Means over the seeds. Losses are cross entropies per garment, before any factor is multiplied in.");
    page_.legend(titles_);
    page_.figures({epochs("test accuracy, left garment", "%", [](const EpochRecord& e) { return e.accuracy[0]; }),
                   epochs("test accuracy, right garment", "%", [](const EpochRecord& e) { return e.accuracy[1]; }),
                   epochs("training loss, left garment", "nats", [](const EpochRecord& e) { return e.loss[0]; }),
                   epochs("training loss, right garment", "nats", [](const EpochRecord& e) { return e.loss[1]; })});
    gradients();
    weights();
    conflicts();
    reproduction(seconds);
    page_.write(settings_.out + "/index.html");
  }

 private:
  static constexpr int windows = 40;

  void introduction(const Pairs& test) {
    page_.paragraph(
        "One small network looks at two garments that lie over one another and names both: the left one is the first task, the "
        "right one the second. The layers up to the last are shared; only one linear layer is each task's own.");
    std::vector<std::string> pictures;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(8, test.left.size(0)); ++i) {
      const auto image = test.images[i].contiguous();
      const std::vector<std::uint8_t> pixels(image.data_ptr<std::uint8_t>(), image.data_ptr<std::uint8_t>() + image.numel());
      pictures.push_back("<img alt=\"\" src=\"data:image/png;base64," + base64(png(pixels, 36, 36)) + "\"/><figcaption>" +
                         name(test.left[i]) + "<br/>and " + name(test.right[i]) + "</figcaption>");
    }
    page_.figures(pictures);
    if (settings_.loss_scale[0] != settings_.loss_scale[1]) {
      page_.paragraph(
          "The two losses come in different units, as they do in practice, where one is in metres and the other in nats: here "
          "the "
          "left one is multiplied by " +
          label(settings_.loss_scale[0]) + " and the right one by " + label(settings_.loss_scale[1]) +
          ". Nothing about the tasks says so; a method has to notice from gradients or losses. Only the row 'tuned by hand' is "
          "told.");
    } else {
      page_.paragraph("Both losses come in the same unit, so the plain sum is already a fair balance here.");
    }
  }

  void accuracies() {
    page_.heading("What came out");
    page_.paragraph(verdict());
    BarPlot plot;
    plot.title =
        "test accuracy after the last epoch, mean and standard deviation over " + std::to_string(settings_.seeds) + " seeds";
    plot.y_label = "%";
    plot.groups = titles_;
    plot.bars = {"left garment", "right garment"};
    for (const auto& s : summaries_) {
      plot.values.push_back({s.left.mean, s.right.mean});
      plot.errors.push_back({s.left.deviation, s.right.deviation});
    }
    page_.figures({svg(plot)});
    page_.table(final_table(summaries_));
    page_.paragraph(
        "The best of each column is bold; where two differ by less than their ±, that is chance. Step time is processor time of "
        "a "
        "training step as a ratio to the plain sum's, forward pass and optimizer included.");
    std::string list = "<ul>\n";
    for (const auto& s : summaries_) {
      list += "<li><b>" + escaped(s.title) + "</b>: " + escaped(find_choice(all_, s.key).explain) + "</li>\n";
    }
    page_.raw(list + "</ul>\n");
  }

  /// What the numbers say, and nothing that they do not.
  std::string verdict() const {
    const Summary* sum = nullptr;
    const Summary* best = nullptr;
    for (const auto& s : summaries_) {
      sum = s.key == "sum" ? &s : sum;
      if (s.key != "sum" && s.key != "tuned" && (best == nullptr || s.worst.mean > best->worst.mean)) {
        best = &s;
      }
    }
    if (sum == nullptr || best == nullptr) {
      return "";
    }
    const double gain = best->worst.mean - sum->worst.mean;
    const double noise = best->worst.deviation + sum->worst.deviation;
    std::string text = "With the plain sum the worse task ends at " + fixed(sum->worst.mean, 1) + " %, with " + best->title +
                       " at " + fixed(best->worst.mean, 1) + " %";
    if (gain <= noise) {
      return text + ": no difference that " + std::to_string(settings_.seeds) + " seeds could show.";
    }
    text += ", " + fixed(gain, 1) + " points more; the better task ends at " +
            fixed(std::max(sum->left.mean, sum->right.mean), 1) + " % and " +
            fixed(std::max(best->left.mean, best->right.mean), 1) + " %.";
    return text;
  }

  void gradients() {
    page_.heading("How far apart the gradients are");
    page_.paragraph(
        "The ratio of the larger task gradient to the smaller, measured where each calibrator looks (γ_task in FULLER). Grey: as "
        "the "
        "losses give it. Orange: after the calibrator's weights; at 1 both tasks pull the shared layers equally hard.");
    std::vector<LinePlot> plots;
    for (const auto& s : summaries_) {
      plots.push_back(steps(s.title, "ratio"));
      plots.back().series = {
          {"raw", over_steps(runs_, s.key, windows, true, [](const StepRecord& r) { return r.gamma; }), 0},
          {"weighted", over_steps(runs_, s.key, windows, true, [](const StepRecord& r) { return r.gamma_weighted; }), 1}};
    }
    panels(plots);
    page_.paragraph(
        "The ratio does not say which task is ahead: weights that swing around the balance show a ratio above 1 as well.");
  }

  void weights() {
    page_.heading("The weights");
    page_.paragraph(
        "What each task's gradient is multiplied with on the shared layers. Only the ratio of the two lines steers the training; "
        "IMTL-G's "
        "weights add up to 1, those of the others to about the number of tasks or more. GradNorm moves its weights by steps in "
        "proportion to "
        "the gradients it sees, so a loud loss makes them coarse.");
    std::vector<LinePlot> plots;
    for (const auto& s : summaries_) {
      plots.push_back(steps(s.title, "weight"));
      plots.back().series = {
          {"left garment", over_steps(runs_, s.key, windows, true, [](const StepRecord& r) { return r.weight[0]; }), 2},
          {"right garment", over_steps(runs_, s.key, windows, true, [](const StepRecord& r) { return r.weight[1]; }), 1}};
    }
    panels(plots);
  }

  /// Plots beside each other on one logarithmic scale, so that they compare.
  void panels(std::vector<LinePlot>& plots) {
    double low = 0.9, high = 1.2;
    for (const auto& plot : plots) {
      for (const auto& series : plot.series) {
        for (const auto& point : series.points) {
          low = point.second > 0 ? std::min(low, point.second / 1.2) : low;
          high = std::max(high, point.second * 1.2);
        }
      }
    }
    std::vector<std::string> drawn;
    for (auto& plot : plots) {
      plot.logarithmic = true;
      plot.low = low;
      plot.high = high;
      drawn.push_back(svg(plot));
    }
    page_.figures(drawn);
  }

  void conflicts() {
    page_.heading("Conflicts");
    page_.paragraph(
        "The share of steps in which the two task gradients point against each other (negative cosine), and the cosine itself. "
        "PCGrad "
        "and wPCGrad look at all shared parameters, the others at the last shared layer, unless --surface says otherwise; "
        "conflicts "
        "differ from place to place, so compare a line with its own past rather than with another's.");
    page_.legend(titles_);
    LinePlot share = steps("steps with conflict", "share"), cosine = steps("cosine between the task gradients", "cosine");
    share.low = 0, share.high = 1;
    share.legend = cosine.legend = false;
    share.width = cosine.width = 480;
    for (std::size_t i = 0; i < summaries_.size(); ++i) {
      const auto& key = summaries_[i].key;
      const int colour = static_cast<int>(i);
      share.series.push_back(
          {titles_[i], over_steps(runs_, key, windows / 2, false, [](const StepRecord& r) { return r.conflict; }), colour});
      cosine.series.push_back(
          {titles_[i], over_steps(runs_, key, windows / 2, false, [](const StepRecord& r) { return r.cosine; }), colour});
    }
    page_.figures({svg(share), svg(cosine)});
  }

  void reproduction(const std::string& seconds) {
    page_.heading("How it was made");
    page_.paragraph("Fashion-MNIST, " + std::to_string(settings_.samples) + " training pairs of " +
                    std::to_string(settings_.epochs) + " epochs, " + std::to_string(settings_.test_samples) +
                    " test pairs, batches of " + std::to_string(settings_.batch) + ", " +
                    (settings_.optimizer == "sgd" ? "SGD with momentum 0.9" : "Adam") + ", " + std::to_string(settings_.seeds) +
                    " seeds, the same pairs, initial weights and batches for every calibrator. " + seconds +
                    " Numbers: metrics.jsonl (epochs), steps.csv (steps), results.csv (the table).");
  }

  template <class Value>
  std::string epochs(const std::string& title, const std::string& unit, Value value) const {
    LinePlot plot;
    plot.title = title;
    plot.x_label = "epoch";
    plot.y_label = unit;
    plot.width = 480;
    plot.whole_x = true;
    for (std::size_t i = 0; i < summaries_.size(); ++i) {
      plot.series.push_back({titles_[i], over_epochs(runs_, summaries_[i].key, value), static_cast<int>(i)});
    }
    return svg(plot);
  }

  static LinePlot steps(const std::string& title, const std::string& unit) {
    LinePlot plot;
    plot.title = title;
    plot.x_label = "epoch";
    plot.y_label = unit;
    plot.width = 310;
    plot.height = 220;
    plot.legend = true;
    return plot;
  }

  static std::string name(const torch::Tensor& label) {
    return garment_names[static_cast<std::size_t>(label.item<std::int64_t>())];
  }

  const Settings& settings_;
  const std::vector<Choice>& all_;
  const std::vector<Run>& runs_;
  const std::vector<Summary>& summaries_;
  std::vector<std::string> titles_;
  Page page_{"Two garments at once: what gradient calibration did"};
};

}  // namespace example

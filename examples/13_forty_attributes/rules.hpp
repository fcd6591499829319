// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <fuller/fuller.hpp>

#include "../support/nearest.hpp"

namespace example {

/// A rule that can be chosen by name.
struct Rule {
  std::string key, title;
  int measure_every;  ///< 0: the rule needs the gradients in each step anyway
  std::function<fuller::Calibration(const std::vector<std::string>&, const fuller::CalibrationOptions&)> make;
};

inline std::vector<Rule> rules() {
  const auto rule = [](const char* key, const char* title, int measure_every, const auto& of) {
    return Rule{key, title, measure_every,
                [of](const std::vector<std::string>& tasks, const fuller::CalibrationOptions& options) {
                  return fuller::Calibration(of, tasks, options);
                }};
  };
  fuller::DTPOptions by_loss;
  by_loss.gamma = 4;  // wPCGrad's exponent for the forty attributes of CelebA
  return {rule("sum", "the plain sum", 8, fuller::Uniform()),
          rule("pcgrad", "PCGrad", 0, fuller::PCGrad()),
          rule("wpcgrad", "wPCGrad + DTP", 0, fuller::WPCGrad<fuller::DTP>(fuller::DTP(by_loss))),
          rule("mgda", "MGDA", 0, fuller::MGDA()),
          rule("cagrad", "CAGrad", 0, fuller::CAGrad()),
          rule("imtl_g", "IMTL-G", 0, fuller::IMTL_G()),
          rule("fair_grad", "FairGrad", 0, fuller::FairGrad()),
          rule("nash_mtl", "Nash-MTL", 0, fuller::NashMTL()),
          rule("uw", "UW", 8, fuller::UW()),
          rule("famo", "FAMO", 8, fuller::FAMO())};
}

/// @throws std::invalid_argument for a key that is none, with the one that was probably meant
inline std::vector<Rule> chosen_rules(const std::vector<std::string>& keys) {
  const auto all = rules();
  std::vector<std::string> known;
  for (const auto& rule : all) {
    known.push_back(rule.key);
  }
  std::vector<Rule> chosen;
  for (const auto& key : keys) {
    const auto found = std::find(known.begin(), known.end(), key);
    if (found == known.end()) {
      throw std::invalid_argument("--rules: there is no '" + key + "'" + did_you_mean(key, known));
    }
    chosen.push_back(all[static_cast<std::size_t>(found - known.begin())]);
  }
  return chosen;
}

}  // namespace example

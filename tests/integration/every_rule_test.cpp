// SPDX-License-Identifier: Apache-2.0
// Each rule of the library, in each mode, over ranks and in micro-batches: weights and gradients are those of the one big batch.
// Other tests show it for rules of every kind, and look at more.
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/accumulated_steps.hpp"
#include "support/catch.hpp"
#include "support/ranked_network.hpp"
#include "support/ranks_over_store.hpp"
#include "support/steps.hpp"

namespace every_rule_test {

using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

struct Rule {
  const char* name;
  bool reads_losses;
  fuller::testing::MakesCalibration calibration;
};

/// But those whose answer is a choice element by element: one rank's elements are not another's, and micro-batches refuse them.
std::vector<Rule> every_rule() {
  static_assert(fuller::testing::ranked_tasks == accumulation_test::tasks, "the same rules do for both");
  std::vector<Rule> all;
  fuller::testing::for_every_rule(fuller::testing::ranked_tasks, [&](const auto& rule) {
    using One = std::decay_t<decltype(rule)>;
    if constexpr (!std::is_same_v<One, fuller::GradDrop>) {
      all.push_back({One::name, One::needs.losses, [rule](CalibrationOptions options) {
                       return Calibration(rule, {"a", "b", "c"}, std::move(options));
                     }});
    }
  });
  return all;
}

CalibrationOptions at_surface(Surface surface) {
  CalibrationOptions options;
  options.surface = surface;
  return options;
}

const Surface surfaces[] = {Surface::last_shared, Surface::representation, Surface::all_shared};

TEST_CASE("every rule finds over ranks what one trainer finds with all they have") {
  torch::set_num_threads(1);
  for (const Rule& rule : every_rule()) {
    for (const Surface surface : surfaces) {
      INFO(rule.name << " at surface " << static_cast<int>(surface));
      // A loss of a task that one rank alone has is that rank's mean, while the gradients' mean counts the others with 0.
      fuller::testing::expect_ranks_find(rule.calibration, at_surface(surface), 2, /*joint=*/false, !rule.reads_losses);
    }
  }
}

TEST_CASE("every rule finds in micro-batches what it finds in the one big batch") {
  torch::set_num_threads(1);
  for (const Rule& rule : every_rule()) {
    for (const Surface surface : surfaces) {
      INFO("surface " << static_cast<int>(surface));
      accumulation_test::expect_one_big_batch(rule.name, rule.calibration, at_surface(surface));
    }
  }
}

}  // namespace every_rule_test

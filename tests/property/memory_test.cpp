// SPDX-License-Identifier: Apache-2.0
// What rules and gate laws find in the memory that they are given, and what they leave in it: nothing is read before it is
// written, every weight is written, and a start is a start.
#include <cmath>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"
#include "support/gate_steps.hpp"
#include "support/known.hpp"
#include "support/steps.hpp"

using fuller::testing::BranchStep;
using fuller::testing::for_every_rule;
using fuller::testing::random_jacobian;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

const double not_a_number = std::nan("");

/// Steps in conflict over three epochs, with losses of both sides of 1; every other one lacks a task.
std::vector<Step> training(int T) {
  std::mt19937_64 random(static_cast<unsigned>(31 + T));
  std::lognormal_distribution<double> loss;
  std::vector<Step> all;
  for (int k = 0; k < 6; ++k) {
    Step step = step_of(random_jacobian(T, T + 3, random, 0.6));
    step.step = k;
    step.epoch = k / 2;
    for (double& value : step.losses) {
      value = loss(random);
    }
    step.present[std::size_t(k % T)] = T > 1 && k % 2 == 1 ? 0 : 1;
    all.push_back(step);
  }
  return all;
}

/// Doubles of work space that are allocated to fit, so that an address sanitizer sees a step beyond.
std::vector<double> filled(int size, double with) { return std::vector<double>(std::size_t(size), with); }

/// All that a rule has written in some steps, from what was in state, weights and work space before.
template <class Rule>
std::vector<double> written(const Rule& rule, const std::vector<Step>& steps, double before) {
  const int T = steps.front().tasks;
  std::vector<double> state = filled(rule.state_size(T), before);
  rule.initialise(T, state.data());
  std::vector<double> all;
  for (const Step& step : steps) {
    std::vector<double> scratch = filled(rule.scratch_size(T), before);
    std::vector<double> weights = filled(T, before);
    rule(fuller::Serial{}, step.view(), state.data(), weights.data(), scratch.data());
    all.insert(all.end(), weights.begin(), weights.end());
    all.insert(all.end(), state.begin(), state.end());
  }
  return all;
}

template <class Rule>
std::vector<double> written(const fuller::Weighting<Rule>& weighting, const std::vector<Step>& steps, double before) {
  const int T = steps.front().tasks;
  std::vector<double> state = filled(weighting.state_size(T), before);
  weighting.initialise(T, state.data());
  std::vector<double> all;
  for (Step step : steps) {
    if (step.step == 4 && T > 2) {  // the rule then works on a copy of its state
      step.losses[0] = not_a_number;
    }
    std::vector<double> scratch = filled(weighting.scratch_size(T), before);
    std::vector<double> shared = filled(T, before);
    std::vector<double> heads = filled(T, before);
    std::vector<fuller::Condition> conditions(std::size_t(T), fuller::Condition::non_finite);
    weighting(fuller::Serial{}, step.view(), state.data(), {shared.data(), heads.data(), conditions.data()}, scratch.data());
    for (const std::vector<double>* const part : {&shared, &heads, &state}) {
      all.insert(all.end(), part->begin(), part->end());
    }
  }
  return all;
}

}  // namespace

TEST_CASE("what was in a rule's memory before its first step changes no bit") {
  for (const int T : {1, 2, 3, 5, 8, 20}) {
    const std::vector<Step> steps = training(T);
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      fuller::WeightingOptions options;
      options.before = fuller::TaskVector(std::vector<double>(std::size_t(T), 2.0));
      options.non_finite = fuller::NonFinite::throw_error;
      options.stage = fuller::LossStage::initial;
      options.every = 2;
      options.smoothing = 0.25;
      const fuller::Weighting<Rule> weighting(rule, options);
      const std::vector<double> clean = written(rule, steps, 0);
      const std::vector<double> wrapped = written(weighting, steps, 0);
      for (const double before : {not_a_number, 1e300, -1e300, 3.0}) {
        INFO(Rule::name << ", T = " << T << ", before " << before);
        CHECK(written(rule, steps, before) == clean);
        CHECK(written(weighting, steps, before) == wrapped);
      }
    });
  }
}

TEST_CASE("a rule writes 0 for a task that is not there, whatever its weight was") {
  for (const int T : {2, 3, 5}) {
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      std::vector<double> state = filled(rule.state_size(T), 0);
      rule.initialise(T, state.data());
      for (Step step : training(T)) {
        const std::size_t gone = std::size_t(step.step) % std::size_t(T);
        step.present.assign(std::size_t(T), 1);
        step.present[gone] = 0;
        std::vector<double> scratch = filled(rule.scratch_size(T), not_a_number);
        std::vector<double> weights = filled(T, not_a_number);
        rule(fuller::Serial{}, step.view(), state.data(), weights.data(), scratch.data());
        for (std::size_t i = 0; i < std::size_t(T); ++i) {
          INFO(Rule::name << ", T = " << T << ", task " << i);
          CHECK(std::isfinite(weights[i]));
          CHECK((i != gone || weights[i] == 0));
        }
      }
    });
  }
}

TEST_CASE("what was in a gate law's memory before its first step changes no bit") {
  for (const int M : {2, 3, 7}) {
    fuller::testing::for_every_known_gate([&](const auto& law) {
      using Law = std::decay_t<decltype(law)>;
      const auto scales_from = [&](double before) {
        std::mt19937_64 random(static_cast<unsigned>(M));
        std::lognormal_distribution<double> level;
        std::vector<double> state = filled(law.state_size(M), before);
        law.initialise(M, state.data());
        std::vector<double> all;
        for (int k = 0; k < 5; ++k) {
          std::vector<double> levels;
          for (int m = 0; m < M; ++m) {
            levels.push_back(level(random));
          }
          BranchStep step = BranchStep::of(levels);
          step.present[std::size_t(k % M)] = k % 2 == 0 ? 1 : 0;
          std::vector<double> scratch = filled(law.scratch_size(M), before);
          std::vector<double> scales = filled(M, before);
          law(fuller::Serial{}, step.view(), state.data(), scales.data(), scratch.data());
          all.insert(all.end(), scales.begin(), scales.end());
          all.insert(all.end(), state.begin(), state.end());
        }
        return all;
      };
      const std::vector<double> clean = scales_from(0);
      for (const double before : {not_a_number, 1e300, -7.0}) {
        INFO(Law::name << ", M = " << M << ", before " << before);
        CHECK(scales_from(before) == clean);
      }
    });
  }
}

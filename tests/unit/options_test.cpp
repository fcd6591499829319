// SPDX-License-Identifier: Apache-2.0
// Options that make no sense are refused before the first step, in words that name the option, its value and its range.
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"

namespace {

constexpr int tasks = 3;

/// What the rule says when it is initialised; "" if it does not object.
template <class Rule>
std::string objection(const Rule& rule, int count = tasks) {
  std::vector<double> state(4096);
  try {
    rule.initialise(count, state.data());
  } catch (const fuller::Error& error) {
    return error.what();
  }
  return "";
}

void check_mentions(const std::string& text, const std::vector<std::string>& words) {
  for (const std::string& word : words) {
    INFO("message: '" << text << "', looked for: " << word);
    CHECK(text.find(word) != std::string::npos);
  }
}

template <class Options, class Value>
Options with(Value Options::*member, const Value& value) {
  Options options;
  options.*member = value;
  return options;
}

}  // namespace

TEST_CASE("defaults are accepted") {
  CHECK(objection(fuller::Uniform()).empty());
  CHECK(objection(fuller::IMTL_G()).empty());
  CHECK(objection(fuller::GradNorm()).empty());
  CHECK(objection(fuller::DWA()).empty());
  CHECK(objection(fuller::PCGrad()).empty());
  CHECK(objection(fuller::WPCGrad()).empty());
  CHECK(objection(fuller::WPCGrad(fuller::vel_to_seg(24, 0, 1))).empty());
  CHECK(objection(fuller::Constant({1, 5, 0})).empty());
  CHECK(objection(fuller::ModalityGate()).empty());
  CHECK(objection(fuller::Weighting<fuller::IMTL_G>()).empty());
}

TEST_CASE("GradNorm's options") {
  using Options = fuller::GradNormOptions;
  const auto refused = [](const Options& options) { return objection(fuller::GradNorm(options)); };
  check_mentions(refused(with(&Options::alpha, -1.0)), {"GradNorm", "alpha", "-1", "[0, 100]"});
  check_mentions(refused(with(&Options::learning_rate, 0.0)), {"learning_rate", "is 0", "> 0"});
  check_mentions(refused(with(&Options::beta_1, 1.0)), {"beta_1", "is 1"});
  check_mentions(refused(with(&Options::beta_2, -0.1)), {"beta_2", "-0.1"});
  check_mentions(refused(with(&Options::floor, 0.0)), {"floor", "is 0"});
  check_mentions(refused(with(&Options::initial_losses, fuller::TaskVector{1, 2})), {"initial_losses", "2 values", "3 tasks"});
  check_mentions(refused(with(&Options::initial_losses, fuller::TaskVector{1, 0, 2})), {"initial_losses[1]", "is 0", "> 0"});
}

TEST_CASE("options of DWA, Constant and DTP") {
  check_mentions(objection(fuller::DWA(with(&fuller::DWAOptions::temperature, -2.0))), {"DWA", "temperature", "-2", "> 0"});
  check_mentions(objection(fuller::Constant()), {"Constant", "weights", "empty", "3"});
  check_mentions(objection(fuller::Constant({1, 2})), {"Constant", "2 values", "3 tasks"});
  check_mentions(objection(fuller::Constant({1, -2, 3})), {"weights[1]", "-2", ">= 0"});
  const auto dtp = [](const fuller::DTPOptions& options) { return objection(fuller::WPCGrad(fuller::DTP(options))); };
  check_mentions(dtp(with(&fuller::DTPOptions::gamma, -1.0)), {"DTP", "gamma", "-1"});
  check_mentions(dtp(with(&fuller::DTPOptions::scales, fuller::TaskVector{1, 2, 3, 4})), {"scales", "4 values", "3 tasks"});
}

TEST_CASE("options of schedules") {
  using fuller::PhaseSchedule;
  const auto refused = [](const PhaseSchedule& schedule) { return objection(fuller::WPCGrad(schedule)); };
  check_mentions(refused(PhaseSchedule()), {"epochs", "is 0", "> 0"});
  check_mentions(refused(PhaseSchedule(10, {})), {"count", "is 0"});
  check_mentions(refused(PhaseSchedule(10, {{.5, 0}, {.5, 1}})), {"phases[1].until", "0.5", "(0.5, 1]"});
  check_mentions(refused(PhaseSchedule(10, {{1.5, 0}})), {"phases[0].until", "1.5"});
  check_mentions(refused(PhaseSchedule(10, {{1, 3}})), {"phases[0].favoured", "is 3", "0 to 2"});
  check_mentions(refused(PhaseSchedule(10, {{1, 0, 1.0}})), {"phases[0].probability", "is 1", "(0, 1)"});
  CHECK_THROWS_AS(PhaseSchedule(10, {{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}), fuller::Error);
}

TEST_CASE("options of the gate") {
  using Options = fuller::ModalityGateOptions;
  const auto refused = [](const Options& options) { return objection(fuller::ModalityGate(options)); };
  check_mentions(refused(with(&Options::alpha, 0.0)), {"ModalityGate", "alpha", "is 0"});
  check_mentions(refused(with(&Options::momentum, 1.0)), {"momentum", "is 1"});
  check_mentions(refused(with(&Options::floor, 2.0)), {"floor", "is 2"});
  check_mentions(objection(fuller::ModalityGate(), 1), {"1 branches", "2 to 64"});
}

TEST_CASE("options of Weighting, and numbers of tasks") {
  using Options = fuller::WeightingOptions;
  const auto refused = [](const Options& options) {
    return objection(fuller::Weighting<fuller::IMTL_G>(fuller::IMTL_G(), options));
  };
  check_mentions(refused(with(&Options::before, fuller::TaskVector{1, 2})), {"before", "2 values", "3 tasks"});
  check_mentions(refused(with(&Options::after, fuller::TaskVector{1, -1, 1})), {"after[1]", "-1"});
  check_mentions(refused(with(&Options::before, fuller::TaskVector{1, 1, std::nan("")})), {"before[2]", "nan"});
  check_mentions(objection(fuller::IMTL_G(), 65), {"IMTL-G", "65", "1 to 64"});
  check_mentions(objection(fuller::PCGrad(), 0), {"PCGrad", "0 tasks"});
  CHECK_THROWS_AS(fuller::TaskVector(std::vector<double>(65)), fuller::Error);
}

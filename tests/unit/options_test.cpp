// SPDX-License-Identifier: Apache-2.0
// Options that make no sense are refused before the first step, in words that name the option, its value and its range.
#include <cmath>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

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

/// Takes the numbers of a range and no other: `from` and `to` themselves where the bracket is square.
template <class Rule, class Options>
void check_range(double Options::*member, char opening, double from, double to, char closing) {
  const auto taken = [&](double value) { return objection(Rule(with(member, value))).empty(); };
  INFO(Rule::name << ", " << opening << from << ", " << to << closing);
  CHECK(taken(from) == (opening == '['));
  CHECK(taken(to) == (closing == ']'));
  CHECK(taken(std::nextafter(from, to)));
  CHECK(taken(std::nextafter(to, from)));
  CHECK_FALSE(taken(std::nextafter(from, from - 1)));
  CHECK_FALSE(taken(std::nextafter(to, to + 1)));
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

TEST_CASE("options of the rules from gradients") {
  check_mentions(objection(fuller::FairGrad(with(&fuller::FairGradOptions::alpha, 0.0))), {"FairGrad", "alpha is 0", "Uniform"});
  check_mentions(objection(fuller::FairGrad(with(&fuller::FairGradOptions::ridge, 1.0))), {"FairGrad", "ridge is 1"});
  check_mentions(objection(fuller::NashMTL(with(&fuller::NashMTLOptions::max_norm, -1.0))), {"NashMTL", "max_norm is -1"});
  check_mentions(objection(fuller::GradVac(with(&fuller::GradVacOptions::beta, 1.5))), {"GradVac", "beta is 1.5", "[0, 1]"});
  check_mentions(objection(fuller::DBMTL(with(&fuller::DBMTLOptions::beta, 1.0))), {"DBMTL", "beta is 1", "[0, 1)"});
  check_mentions(objection(fuller::CAGrad(with(&fuller::CAGradOptions::c, -0.5))), {"CAGrad", "c is -0.5"});
  check_mentions(objection(fuller::PCD(with(&fuller::PCDOptions::primary, 3))), {"PCD", "primary is 3", "0 to 2"});
  check_mentions(objection(fuller::PCD(with(&fuller::PCDOptions::tau, 2.0))), {"PCD", "tau is 2"});
  check_mentions(objection(fuller::Balancer(with(&fuller::BalancerOptions::shares, fuller::TaskVector{1, 0, 1}))),
                 {"Balancer", "shares[1]", "> 0"});
}

TEST_CASE("options of the rules from losses") {
  check_mentions(objection(fuller::UW(with(&fuller::UWOptions::learning_rate, 0.0))), {"UW", "learning_rate", "> 0"});
  check_mentions(objection(fuller::UW(with(&fuller::UWOptions::initial, fuller::TaskVector{0, 31, 0}))), {"UW", "initial", "31"});
  check_mentions(objection(fuller::IMTL_L(with(&fuller::IMTL_L_Options::initial, fuller::TaskVector{1}))),
                 {"IMTL_L", "1 values", "3 tasks"});
  check_mentions(objection(fuller::FAMO(with(&fuller::FAMOOptions::gamma, -1.0))), {"FAMO", "gamma is -1"});
  check_mentions(objection(fuller::STCH(with(&fuller::STCHOptions::mu, 0.0))), {"STCH", "mu is 0"});
  check_mentions(objection(fuller::GO4Align(with(&fuller::GO4AlignOptions::groups, 1))), {"GO4Align", "groups is 1", "[2, 64]"});
  check_mentions(objection(fuller::LDC(with(&fuller::LDCOptions::lambda, -1.0))), {"LDC", "lambda is -1"});
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
  CHECK(fuller::TaskVector(std::vector<double>(64)).size() == 64);
}

TEST_CASE("a share below which gradients count as zero lies in [0, 1)") {
  for (const double share : {0.0, std::nextafter(1.0, 0.0)}) {
    const auto options = with(&fuller::WeightingOptions::zero_below, share);
    CHECK(objection(fuller::Weighting<fuller::IMTL_G>(fuller::IMTL_G(), options)).empty());
  }
  for (const double share : {-1e-3, 1.0, std::nan("")}) {
    const auto options = with(&fuller::WeightingOptions::zero_below, share);
    check_mentions(objection(fuller::Weighting<fuller::IMTL_G>(fuller::IMTL_G(), options)), {"zero_below", "[0, 1)"});
  }
}

TEST_CASE("too many tasks: the message names the rule, the number and what to do") {
  const std::string text = objection(fuller::Weighting<fuller::GradNorm>(), 65);
  check_mentions(text, {"GradNorm", "65 tasks", "1 to 64", "add up the losses"});
  CHECK(text.find("Weighting") == std::string::npos);
  try {
    fuller::TaskVector(std::vector<double>(65));
    FAIL("65 numbers were taken");
  } catch (const fuller::Error& error) {
    check_mentions(error.what(), {"65 numbers", "64 tasks", "add up the losses"});
  }
}

TEST_CASE("what lies next to a bound that is no part of the range is taken, and the bound is refused in its words") {
  using Gate = fuller::ModalityGateOptions;
  CHECK(objection(fuller::ModalityGate(with(&Gate::momentum, std::nextafter(1.0, 0.0)))).empty());
  check_mentions(objection(fuller::ModalityGate(with(&Gate::momentum, 1.0))), {"momentum is 1", "[0, 1)"});
  check_mentions(objection(fuller::ModalityGate(with(&Gate::floor, 0.0))), {"floor is 0", "(0, 1]"});
  using Norm = fuller::GradNormOptions;
  CHECK(objection(fuller::GradNorm(with(&Norm::beta_2, std::nextafter(1.0, 0.0)))).empty());
  check_mentions(objection(fuller::GradNorm(with(&Norm::beta_1, 1.0))), {"beta_1 is 1", "[0, 1)"});
  check_mentions(objection(fuller::GradNorm(with(&Norm::floor, 1.0))), {"floor is 1", "(0, 1)"});
}

TEST_CASE("an option's range ends where it is said to end") {
  using namespace fuller;
  check_range<GradNorm>(&GradNormOptions::alpha, '[', 0, 100, ']');
  check_range<GradNorm>(&GradNormOptions::beta_1, '[', 0, 1, ')');
  check_range<GradNorm>(&GradNormOptions::beta_2, '[', 0, 1, ')');
  check_range<GradNorm>(&GradNormOptions::floor, '(', 0, 1, ')');
  check_range<FairGrad>(&FairGradOptions::alpha, '[', 0.1, 10, ']');
  check_range<FairGrad>(&FairGradOptions::ridge, '[', 1e-12, 1e-2, ']');
  check_range<NashMTL>(&NashMTLOptions::ridge, '[', 1e-12, 1e-2, ']');
  CHECK(objection(FAMO(with(&FAMOOptions::gamma, 0.0))).empty());
  CHECK_FALSE(objection(FAMO(with(&FAMOOptions::gamma, HUGE_VAL))).empty());
  check_range<LDC>(&LDCOptions::lambda, '[', 0, 1000, ']');
  check_range<CAGrad>(&CAGradOptions::c, '[', 0, 100, ']');
  check_range<DBMTL>(&DBMTLOptions::beta, '[', 0, 1, ')');
  check_range<DBMTL>(&DBMTLOptions::sigma, '[', 0, 100, ']');
  check_range<PCD>(&PCDOptions::tau, '[', 0, 1, ']');
  check_range<PCD>(&PCDOptions::beta, '[', 0, 1, ')');
  check_range<Balancer>(&BalancerOptions::decay, '[', 0, 1, ')');
  check_range<GradVac>(&GradVacOptions::beta, '[', 0, 1, ']');
  check_range<DTP>(&DTPOptions::gamma, '[', 0, 1000, ']');
  check_range<MLB>(&MLBOptions::alpha, '(', 0, 100, ']');
  check_range<MLB>(&MLBOptions::beta, '[', 1, 100, ']');
  check_range<OGM>(&OGMOptions::floor, '(', 0, 1, ']');
  check_range<AGM>(&AGMOptions::alpha, '(', 0, 50, ']');
  check_range<AGM>(&AGMOptions::most, '(', 0, 10, ']');
  check_range<AGM>(&AGMOptions::floor, '(', 0, 1, ']');
  check_range<ModalityGate>(&ModalityGateOptions::momentum, '[', 0, 1, ')');
  check_range<ModalityGate>(&ModalityGateOptions::floor, '(', 0, 1, ']');
  check_range<CGGM>(&CGGMOptions::rho, '[', 0, 64, ']');
}

TEST_CASE("a saved state with numbers that no step leaves is refused, rule by rule; one that steps leave is not") {
  const auto damage = [](const auto& rule, int place, double value) {
    const fuller::Weighting weighting(rule);
    std::vector<double> state(std::size_t(weighting.state_size(tasks)));
    weighting.initialise(tasks, state.data());
    weighting.check_state(tasks, state.data());
    state[std::size_t(place)] = value;
    try {
      weighting.check_state(tasks, state.data());
    } catch (const fuller::Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const double nan = std::nan("");
  check_mentions(damage(fuller::GradNorm(), 1, nan), {"GradNorm", "weight of number 1", "nan", "damaged"});
  check_mentions(damage(fuller::GradNorm(), 0, -1), {"weight of number 0", "-1"});
  check_mentions(damage(fuller::GradNorm(), 9, -2), {"second moment of number 0", "-2"});
  check_mentions(damage(fuller::GradNorm(), 15, nan), {"last weight of number 0", "nan"});
  check_mentions(damage(fuller::IMTL_G(), 2, -.5), {"IMTL-G", "last weight of number 2"});
  check_mentions(damage(fuller::DWA(), 15, 1e300), {"DWA", "epoch means", "1e+300"});
  check_mentions(damage(fuller::WPCGrad(), 18, -1), {"DTP", "scale of number 0"});
  check_mentions(damage(fuller::GradVac(), 4, 2), {"GradVac", "target cosine of number 4"});
  check_mentions(damage(fuller::DBMTL(), 1, -1), {"DB-MTL", "mean length of number 1"});
  check_mentions(damage(fuller::PCD(), 3, nan), {"PCD", "count of steps of number 0"});
  check_mentions(damage(fuller::PCD(), 4, 1.5), {"count of steps of number 1", "1.5"});
  check_mentions(damage(fuller::PCD(), 1, 1e307), {"PCD", "mean square of number 1"});  // of no step
  check_mentions(damage(fuller::UW(), 2, 31), {"UW", "log scale of number 2"});
  check_mentions(damage(fuller::IMTL_L(), 6, -1), {"IMTL-L", "moment of number 0"});
  check_mentions(damage(fuller::FAMO(), 12, nan), {"FAMO", "last logarithm of number 0"});
  check_mentions(damage(fuller::FAMO(), 13, 1e5), {"FAMO", "last logarithm of number 1"});  // of no double
  check_mentions(damage(fuller::FAMO(), 1, -1e200), {"FAMO", "logit of number 1"});
  check_mentions(damage(fuller::GO4Align(), 1, 1e200), {"GO4Align", "log q of number 1"});
  check_mentions(damage(fuller::GO4Align(), 0, nan), {"GO4Align", "log q of number 0"});
  check_mentions(damage(fuller::LDC(), 13, -1), {"LDC-MTL", "L(0) of number 1", "-1"});
  check_mentions(damage(fuller::GradNorm(), 7, nan), {"first moment of number 1", "nan"});
  check_mentions(damage(fuller::GradNorm(), 13, -3), {"step count of number 1", "-3"});
  check_mentions(damage(fuller::Balancer(), 2, -1), {"Balancer", "sum of norms of number 2"});
  CHECK(damage(fuller::GradNorm(), 6, -.25).empty());  // a first moment may be negative
  CHECK(damage(fuller::DWA(), 10, -3).empty());        // so may a mean loss
  for (const double bound : {-30, 30}) {
    CHECK(damage(fuller::UW(), 1, bound).empty());
  }
  const fuller::ModalityGate gate;
  const std::vector<double> gates{1, 1.5};
  CHECK_THROWS_AS(gate.check_state(2, gates.data()), fuller::Error);
}

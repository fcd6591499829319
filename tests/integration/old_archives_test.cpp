// SPDX-License-Identifier: Apache-2.0
// Archives that 0.1.0 wrote (archives/write.cpp): each loads, and the steps after it are those that 0.1.0 took, or it is refused
// with the reason.
#include <cmath>
#include <string>
#include <vector>

#include "integration/archives/steps.hpp"

#include "support/calibrated.hpp"
#include "support/catch.hpp"

namespace {

/// What the diagnostics of 0.1.0 showed of a step.
struct Seen {
  std::vector<double> weights;
  std::vector<double> gates;
};

struct Expected {
  std::string file;
  std::vector<Seen> steps;
};

/// As write.cpp printed it, in the steps after the archive was written.
std::vector<Expected> expected() {
  return {{"grad_norm",
           {{{2.129772616104705, 0.001, 0.86922738389529486}, {}},
            {{0.27237860890595905, 1.7555663690293271, 0.97205502206471384}, {}},
            {{1.7442867314320321, 0.001, 1.2547132685679678}, {}},
            {{0.001, 2.9980000000000002, 0.001}, {}}}},
          {"grad_norm_adam",
           {{{1.0816567489007143, 0.84140682188447558, 1.07693642921481}, {}},
            {{1.097293108554229, 0.81147461780585328, 1.0912322736399178}, {}},
            {{1.1129500494835041, 0.78135700128070906, 1.1056929492357872}, {}},
            {{1.1285654886958383, 0.75093956558017205, 1.1204949457239906}, {}}}},
          {"dwa",
           {{{1.0138260700632762, 0.92527059267086809, 1.0609033372658558}, {}},
            {{1.0942292281752108, 0.94351857687437579, 0.96225219495041325}, {}},
            {{1.0942292281752108, 0.94351857687437579, 0.96225219495041325}, {}},
            {{1.2177430334854082, 0.9718682756552508, 0.8103886908593414}, {}}}},
          {"pcgrad",
           {{{1, 1.0985645656978438, 1.9588214533281252}, {}},
            {{1, 1.0991177423862206, 2.6370652864926933}, {}},
            {{1.0821876283082013, 1, 1.6798207702127008}, {}},
            {{1.2842382814424442, 1, 1.1952067034198626}, {}}}},
          {"wpcgrad_dtp",
           {{{1, 1, 1.9588214533281252}, {}},
            {{1, 1, 2.6370652864926933}, {}},
            {{1.0821876283082013, 1, 1}, {}},
            {{1, 1, 1.1952067034198626}, {}}}},
          {"wpcgrad_phases",
           {{{1, 1, 1.9588214533281252}, {}},
            {{1, 1, 2.6370652864926933}, {}},
            {{1.0821876283082013, 1, 1}, {}},
            {{1, 1, 1.1952067034198626}, {}}}},
          {"uniform", {{{1, 1, 1}, {}}, {{1, 1, 1}, {}}, {{1, 1, 1}, {}}, {{1, 1, 1}, {}}}},
          {"imtl_g_gated",
           {{{-1.0144403860765374, 0.62845644582054039, 1.3859839402559968}, {1, 0.83901403997555546}},
            {{-1.0707129482146553, 0.58402897605031989, 1.4866839721643355}, {1, 0.85812411631530838}},
            {{0.40604515093348703, -0.18255799360309607, 0.77651284266960896}, {1, 0.85570591735506962}},
            {{0.85431326121456574, -0.32831755340651647, 0.47400429219195078}, {1, 0.85031757601582392}}}},
          {"grad_norm_gated",
           {{{2.129772616104705, 0.001, 0.86922738389529486}, {1, 0.64514318422856309}},
            {{0.27237860890595905, 1.7555663690293271, 0.97205502206471384}, {1, 0.6168977279129525}},
            {{1.7442867314320321, 0.001, 1.2547132685679678}, {1, 0.64848949568005376}},
            {{0.001, 2.9980000000000002, 0.001}, {1, 0.68164003017214791}}}}};
}

std::string archive(const std::string& name) { return std::string(FULLER_TEST_ARCHIVES) + "/" + name + ".pt"; }

/// To the rounding of another version, of fuller or LibTorch.
bool close(const std::vector<double>& found, const std::vector<double>& wanted) {
  if (found.size() != wanted.size()) {
    return false;
  }
  for (std::size_t k = 0; k < found.size(); ++k) {
    if (!(std::abs(found[k] - wanted[k]) <= 1e-9 * (1 + std::abs(wanted[k])))) {
      return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("Archives of 0.1.0 load, and go on as 0.1.0 did") {
  const std::vector<archives::Case> cases = archives::cases();
  const std::vector<Expected> all = expected();
  REQUIRE(cases.size() == all.size());
  for (std::size_t c = 0; c < cases.size(); ++c) {
    INFO(cases[c].file);
    REQUIRE(cases[c].file == all[c].file);
    fuller::Calibration calibration = cases[c].make();
    torch::load(calibration, archive(cases[c].file));
    CHECK(calibration.steps() == archives::saved_after);
    for (int k = archives::saved_after; k < archives::steps; ++k) {
      INFO("step " << k);
      archives::step(calibration, cases[c].gated, k);
      const fuller::Diagnostics seen = calibration.diagnostics();
      const Seen& wanted = all[c].steps[static_cast<std::size_t>(k - archives::saved_after)];
      CHECK(close(seen.weights, wanted.weights));
      CHECK(close(seen.gates, wanted.gates));
    }
  }
}

TEST_CASE("An archive of 0.1.0 with a custom rule is refused: the rule has another name now") {
  fuller::Calibration calibration(fuller::EigenRule<archives::Inverse>(archives::Inverse()), {"a", "b", "c"});
  const std::string said = fuller::testing::thrown_by([&] { torch::load(calibration, archive("custom_rule")); });
  INFO(said);
  CHECK(fuller::testing::contains(said, "the rule of the saved calibration: "));
  CHECK(fuller::testing::contains(said, "of this one: 'custom rule'; load into a calibration made as the saved one was"));
  CHECK(calibration.steps() == 0);
}

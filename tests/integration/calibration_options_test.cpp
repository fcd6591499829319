// SPDX-License-Identifier: Apache-2.0
// Options of a calibration that mean nothing, or not what they seem to, are refused when it is made, with the way out.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace {

template <class Rule>
std::string said_of(const Rule& rule, const std::function<void(CalibrationOptions&)>& change) {
  CalibrationOptions options;
  change(options);
  return thrown_by([&] { Calibration(rule, {"a", "b"}, options); });
}

void average_of_none(std::vector<Tensor>& /*tensors*/) {}

}  // namespace

TEST_CASE("Ranks: a count without an average, an average without a count, a count that is none") {
  for (const int count : {0, -1, -2}) {
    for (const bool with_average : {false, true}) {
      const std::string said = said_of(fuller::IMTL_G(), [&](CalibrationOptions& options) {
        options.ranks.count = count;
        options.ranks.average = with_average ? average_of_none : std::function<void(std::vector<Tensor>&)>();
      });
      CHECK(contains(said, "options.ranks.count is " + std::to_string(count)));
    }
  }
  const std::string no_average = said_of(fuller::IMTL_G(), [](CalibrationOptions& options) { options.ranks.count = 2; });
  CHECK(contains(no_average, "options.ranks.count is 2"));
  CHECK(contains(no_average, "options.ranks.average"));
  const std::string no_count =
      said_of(fuller::IMTL_G(), [](CalibrationOptions& options) { options.ranks.average = average_of_none; });
  CHECK(contains(no_count, "options.ranks.average is given"));
  CHECK(contains(no_count, "number of ranks"));
  CHECK(said_of(fuller::IMTL_G(), [](CalibrationOptions& options) {
          options.ranks.average = average_of_none;
          options.ranks.count = 2;
        }).empty());
}

TEST_CASE("A bias of the last shared layer where there is none") {
  const auto with_bias = [](std::optional<Surface> surface) {
    return [surface](CalibrationOptions& options) {
      options.last_shared_bias = true;
      options.surface = surface;
    };
  };
  CHECK(said_of(fuller::IMTL_G(), with_bias({})).empty());
  CHECK(contains(said_of(fuller::IMTL_G(), with_bias(Surface::representation)), "Surface::last_shared"));
  CHECK(contains(said_of(fuller::IMTL_G(), with_bias(Surface::all_shared)), "Surface::last_shared"));
  CHECK(contains(said_of(fuller::PCGrad(), with_bias({})), "Surface::last_shared"));  // all_shared as published
}

TEST_CASE("A bias, or a stage, of which the rule sees nothing") {
  const auto with_bias = [](CalibrationOptions& options) { options.last_shared_bias = true; };
  const std::string unseen = said_of(fuller::DWA(), with_bias);
  CHECK(contains(unseen, "'DWA' compares no task gradients"));
  CHECK(contains(unseen, "options.measure_every"));
  const auto measured = [&](const std::function<void(CalibrationOptions&)>& by) {
    return said_of(fuller::DWA(), [&](CalibrationOptions& options) {
      with_bias(options);
      by(options);
    });
  };
  CHECK(measured([](CalibrationOptions& options) { options.measure_every = 5; }).empty());
  CHECK(measured([](CalibrationOptions& options) { options.non_finite = fuller::NonFinite::skip; }).empty());
  CHECK(measured([](CalibrationOptions& options) { options.stage = fuller::LossStage::l2; }).empty());
  // Each loss over itself is 1: DWA, which divides them by earlier ones, would give 1 to each for ever.
  const auto by_itself = [](CalibrationOptions& options) { options.stage = fuller::LossStage::loss; };
  const std::string blind = said_of(fuller::DWA(), by_itself);
  CHECK(contains(blind, "'DWA', which compares losses, would see 1 for each"));
  CHECK(contains(blind, "fuller::Uniform()"));
  CHECK_FALSE(said_of(fuller::UW(), by_itself).empty());
  CHECK(said_of(fuller::Uniform(), by_itself).empty());
  CHECK(said_of(fuller::IMTL_G(), by_itself).empty());
  CHECK(said_of(fuller::GradNorm(), by_itself).empty());
}

TEST_CASE("Logarithms of losses for rules that are made for losses > 0") {
  // With losses of 0.02 and 74 their weights were 2e7 and 7e-9 by GLS, 2e13 and 7e-3 by GO4Align.
  const auto logarithms = [](CalibrationOptions& options) { options.stage = fuller::LossStage::log; };
  CHECK(contains(said_of(fuller::GLS(), logarithms), "'GLS' is made for losses > 0"));
  CHECK_FALSE(said_of(fuller::FAMO(), logarithms).empty());
  CHECK_FALSE(said_of(fuller::GO4Align(), logarithms).empty());
  CHECK_FALSE(said_of(fuller::DBMTL(), logarithms).empty());
  CHECK_FALSE(said_of(fuller::UW(), logarithms).empty());
  CHECK_FALSE(said_of(fuller::IMTL_L(), logarithms).empty());
  CHECK_FALSE(said_of(fuller::LDC(), logarithms).empty());
  CHECK(said_of(fuller::DWA(), logarithms).empty());
  CHECK(said_of(fuller::STCH(), logarithms).empty());
  CHECK(said_of(fuller::IMTL_G(), logarithms).empty());
}

TEST_CASE("A loss that is complex") {
  const Tensor weight = torch::ones({2, 3}).requires_grad_();
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const auto z = calibration.fork<2>(torch::linear(torch::ones({4, 3}), weight));
  const Tensor wave = torch::complex(z[0].sum(), z[0].sum());
  CHECK(contains(thrown_by([&] { calibration.sum({wave, z[1].sum()}); }), "the loss of 'a' is complex"));
  CHECK(thrown_by([&] { calibration.sum({wave.abs(), z[1].sum()}).backward(); }).empty());
}

TEST_CASE("A head's parameters that are none") {
  Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const Tensor leaf = torch::randn({2}).requires_grad_();
  CHECK(contains(thrown_by([&] { calibration.head("a", {leaf, Tensor()}); }), "undefined"));
  CHECK(contains(thrown_by([&] { calibration.head("a", {leaf * 2}); }), "parameters themselves"));
  CHECK(contains(thrown_by([&] { calibration.head("c", {leaf}); }), "no task is called 'c'"));
  CHECK(thrown_by([&] { calibration.head("a", {leaf, torch::randn({2})}); }).empty());  // a frozen one among them
}

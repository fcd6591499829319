// SPDX-License-Identifier: Apache-2.0
// Numbers of model.numbers that no part of the network reads.
#include <functional>
#include <stdexcept>
#include <string>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/training/trainer.hpp"
#include "bevfusion/training/twin_networks.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::has;

/// What making the tiny network says of a config; empty where it is made.
std::string verdict(const std::string& numbers, const std::function<void(ModelConfig&)>& change) {
  RunConfig config = run_of_size("tiny");
  config.calibration.rule = config.calibration.gate = "none";
  change(config.model);
  config.model.numbers = numbers;
  check(config);
  return bevfusion::testing::refusal<std::invalid_argument>([&config] { make_network(config); });
}

void unified(ModelConfig& model) { model.detection_head = model.segmentation_head = "unified"; }
void centerpoint(ModelConfig& model) { model.detection_head = "centerpoint"; }

TEST_CASE("a number that no part of the network reads is refused with those that are read", "[bevfusion][training]") {
  CHECK(verdict("unified.layers = 1, unified.patches=5", unified).empty());
  CHECK(has(verdict("unified.layers=1, unified.layer=3", unified),
            "unified.layer, which no part of this network reads; its parts read unified.layers, unified.patches"));
  CHECK(has(verdict("concat.scale=2", [](ModelConfig&) {}), "its parts read none"));
  const auto attends = [](ModelConfig& model) { model.fuser = "cross_attention"; };
  CHECK(verdict("cross_attention.tokens=8", attends).empty());
  CHECK(has(verdict("cross_attention.token=8", attends), "cross_attention.tokens"));
  CHECK(verdict("centerpoint.min_radius.bus=2", centerpoint).empty());
  CHECK(has(verdict("centerpoint.min_radius.tram=1", centerpoint), "centerpoint.min_radius.truck"));
  CHECK(has(verdict("centerpoint.top=5", centerpoint), "centerpoint.candidates"));
  CHECK(has(verdict("efficientnet_b0.drop_path=0.1",
                    [](ModelConfig& model) {
                      model.image_backbone = "efficientnet_b0";
                      model.parts.camera = false;
                    }),
            "efficientnet_b0.drop_path"));
}

TEST_CASE("towers and twins read the numbers of their tasks, and leave the others'", "[bevfusion][training]") {
  CHECK(verdict("centerpoint.candidates=50", [](ModelConfig& model) {
          centerpoint(model);
          model.separate_towers = true;
        }).empty());
  RunConfig config = run_of_size("tiny");
  centerpoint(config.model);
  config.model.numbers = "centerpoint.candidates=50";
  CHECK_NOTHROW(TwinNetwork("segmentation", config, kinds(), nullptr));
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// Parts by name, towers, modalities left out, label sets.
#include <numeric>
#include <set>

#include <torch/torch.h>

#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/labels.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/tests/support/random_input.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::testing::random_input;

std::int64_t count(const std::vector<torch::Tensor>& parameters) {
  return std::accumulate(parameters.begin(), parameters.end(), std::int64_t{0},
                         [](std::int64_t sum, const torch::Tensor& parameter) { return sum + parameter.numel(); });
}

TEST_CASE("towers share nothing", "[bevfusion][model]") {
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.parts.tasks["foreground"] = true;
  const std::int64_t shared = count(bevfusion::Network(config)->parameters());
  config.separate_towers = true;
  bevfusion::Network network(config);
  REQUIRE(network->towers().size() == 3);
  std::set<const void*> storages;
  std::int64_t of_towers = 0;
  for (const bevfusion::BevFusion& tower : network->towers()) {
    of_towers += count(tower->parameters());
    for (const torch::Tensor& parameter : tower->parameters()) {
      CHECK(storages.insert(parameter.data_ptr()).second);
    }
  }
  CHECK(of_towers == count(network->parameters()));
  // Each tower has a trunk of its own and one of the three heads: two trunks more than the shared network.
  config.parts.tasks["detection"] = config.parts.tasks["segmentation"] = config.parts.tasks["foreground"] = false;
  CHECK(of_towers == shared + 2 * count(bevfusion::BevFusion(config)->parameters()));
}

TEST_CASE("tasks may have a BEV backbone each after one fuser", "[bevfusion][model]") {
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.parts.tasks["foreground"] = true;
  const std::int64_t shared = count(bevfusion::BevFusion(config)->parameters());
  config.separate_bev = true;
  torch::manual_seed(15);
  bevfusion::BevFusion model(config);
  std::int64_t of_backbones = 0;
  for (const char* name : {"detection_bev", "segmentation_bev", "foreground_bev"}) {
    of_backbones += count(model->named_children()[name]->parameters());
  }
  CHECK(count(model->parameters()) == shared + of_backbones / 3 * 2);
  model->eval();
  const torch::NoGradGuard no_grad;
  const auto input = random_input(config, 1);
  const torch::Tensor z = model->fuse(model->branches(input));
  CHECK(z.size(1) == config.fused);  // the fuser's map
  CHECK(model->last_shared().is_same(model->fusion_weight()));
  const torch::Tensor before = model->say_as<torch::Tensor>("foreground", z);
  for (torch::Tensor& parameter : model->named_children()["segmentation_bev"]->parameters()) {
    parameter.zero_();
  }
  CHECK(torch::equal(model->say_as<torch::Tensor>("foreground", z), before));
  bevfusion::Network network(config);
  CHECK(network->forward(input).count("detection") == 1);
}

torch::Tensor map_of(const bevfusion::Outputs& outputs) { return std::any_cast<torch::Tensor>(outputs.at("segmentation")); }

TEST_CASE("leaving a modality out is a map of zeros", "[bevfusion][model]") {
  torch::manual_seed(11);
  const bevfusion::ModelConfig config = bevfusion::tiny_model();
  bevfusion::Network network(config);
  network->eval();
  const torch::NoGradGuard no_grad;
  const auto input = random_input(config, 1);
  bevfusion::BevFusion model = network->towers().front();
  const auto maps = model->branches(input);
  const torch::Tensor expected = model->say_as<torch::Tensor>("segmentation", model->fuse({maps[0], torch::zeros_like(maps[1])}));
  const bevfusion::Outputs without = network->forward(input, {"camera"});
  CHECK(torch::equal(map_of(without), expected));
  CHECK_FALSE(torch::equal(map_of(without), map_of(network->forward(input))));
  CHECK_THROWS_AS(network->forward(input, {"radar"}), std::invalid_argument);
}

TEST_CASE("the direct fuser leaves the branches to the BEV backbone's first layer", "[bevfusion][model]") {
  bevfusion::ModelConfig config;
  config.fuser = "direct";
  bevfusion::BevFusion model(config);
  // The shared 37 366 581 less the fuser's 774 656, and 336 instead of 256 channels into the first 128 of 3 x 3.
  CHECK(count(model->parameters()) == 37366581 - 774656 + (336 - 256) * 9 * 128 + 1034910 + 2695168);
  CHECK(model->fusion_weight().sizes() == at::IntArrayRef({128, 336, 3, 3}));
  const auto slices = model->fusion_slices();
  CHECK((slices[0].first == 0 && slices[0].count == 256 && slices[1].first == 256 && slices[1].count == 80));
  bool among_parameters = false;
  for (const torch::Tensor& parameter : model->parameters()) {
    among_parameters = among_parameters || parameter.is_same(model->fusion_weight());
  }
  CHECK(among_parameters);
}

TEST_CASE("pillars serve as LiDAR branch at every size", "[bevfusion][model]") {
  torch::manual_seed(12);
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.lidar_backbone = "pillars";
  bevfusion::Network network(config);
  CHECK(map_of(network->forward(random_input(config, 2))).sizes() == at::IntArrayRef({2, 6, 50, 50}));
  for (bevfusion::ModelConfig larger : {bevfusion::small_model(), bevfusion::full_model()}) {
    larger.lidar_backbone = "pillars";
    larger.parts.camera = false;
    bevfusion::BevFusion model(larger);
    CHECK(model->branches(random_input(larger, 1))[0].sizes() == at::IntArrayRef({1, larger.pillars.map_channels, 128, 128}));
  }
}

/// A fuser that only this test knows.
struct SumFuser final : bevfusion::Fuser {
  torch::Tensor forward(const std::vector<torch::Tensor>& maps) override {
    return maps[0] + maps[1].mean(1, /*keepdim=*/true) * scale;
  }
  std::int64_t channels() const override { return width; }
  std::vector<bevfusion::ChannelSlice> fusion_slices() const override { return {{0, width}, {0, width}}; }
  std::int64_t width = 0;
  double scale = 0;
};

TEST_CASE("a new kind needs no change of the model, and has numbers of its own", "[bevfusion][model]") {
  bevfusion::Kinds kinds = bevfusion::kinds();
  kinds.fusers.add("sum", [](const bevfusion::ModelConfig& config, const std::vector<std::int64_t>& in) {
    auto fuser = std::make_shared<SumFuser>();
    fuser->width = in[0];
    fuser->scale = number_of(config, "sum.scale", 1);
    return fuser;
  });
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.fuser = "sum";
  CHECK_THROWS_AS(bevfusion::BevFusion(config), std::invalid_argument);  // the program's own kinds do not know it
  config.numbers = "other.x=3, sum.scale=0";
  torch::manual_seed(13);
  bevfusion::BevFusion model(config, kinds);
  model->eval();
  const torch::NoGradGuard no_grad;
  const auto maps = model->branches(random_input(config, 1));
  CHECK(torch::equal(model->fuse(maps), model->fuse({maps[0], torch::zeros_like(maps[1])})));
  CHECK_THROWS_AS(kinds.fusers.add("sum", nullptr), std::logic_error);
  for (const char* wrong :
       {"sum.scale", "=3", "sum.scale=", "sum.scale=2x", "sum.scale=2 3", "sum.scale=nan", "sum.scale=1, sum.scale=2"}) {
    INFO(wrong);
    config.numbers = wrong;
    CHECK_THROWS_AS(bevfusion::number_of(config, "sum.scale", 1), std::invalid_argument);
  }
  for (const char* right : {"sum.scale=2", " sum.scale = 2 ", "sum.scales=3,sum.scale =2"}) {
    INFO(right);
    config.numbers = right;
    CHECK(bevfusion::number_of(config, "sum.scale", 1) == 2);
  }
  try {
    kinds.lidar_backbones.make("cones", config);
    FAIL("an unknown kind was made");
  } catch (const std::invalid_argument& error) {
    CHECK(std::string(error.what()).find("pillars, voxel_net") != std::string::npos);
  }
}

TEST_CASE("label sets come from the config", "[bevfusion][model]") {
  using bevfusion::DetectionClass;
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.detection_classes = "pedestrian, car";
  config.map_classes = "divider,drivable_area";
  CHECK((bevfusion::detection_labels(config) == std::vector<DetectionClass>{DetectionClass::pedestrian, DetectionClass::car}));
  const bevfusion::MapLabels map = bevfusion::map_labels(config);
  REQUIRE(map.size() == 2);
  CHECK((map[0].name == "divider" && map[1].name == "drivable_area"));

  torch::manual_seed(14);
  bevfusion::BevFusion model(config);
  const auto input = random_input(config, 1);
  const torch::Tensor shared = model->fuse(model->branches(input));
  CHECK(model->say_as<torch::Tensor>("segmentation", shared).size(1) == 2);
  const bevfusion::Detections said = model->say_as<bevfusion::Detections>("detection", shared);
  REQUIRE(said.class_logits.size(1) == 2);
  CHECK(said.label_of(0) == DetectionClass::pedestrian);

  bevfusion::Box3D walker;
  walker.label = DetectionClass::pedestrian;
  walker.center = {4.2, -7.1, 0};
  walker.velocity = {0, 0};
  bevfusion::Box3D bus = walker;
  bus.label = DetectionClass::bus;
  const torch::Tensor target = bevfusion::heat_map_target({{walker}}, 2, config.bev_grid(), {}, said.labels);
  CHECK(target[0][0].max().item<float>() == 1.0F);
  CHECK(target[0][1].max().item<float>() == 0.0F);
  const auto detection_loss = [&](const std::vector<std::vector<bevfusion::Box3D>>& truth) {
    const auto& head = bevfusion::head_as<bevfusion::DetectionHead>(model->head("detection"));
    return head.loss(said, truth, bevfusion::BoxCoder{config.bev_grid()}, {});
  };
  // A bus has no output here: with it or without, the loss is the same.
  CHECK(detection_loss({{walker, bus}}).total.item<double>() == detection_loss({{walker}}).total.item<double>());

  bevfusion::TrainingSample sample;
  sample.masks = bevfusion::MapMasks(bevfusion::loading_options(config).map_labels, 2);
  sample.masks.values[1] = 1;
  sample.masks.labelled[1] = true;
  const bevfusion::Batch batch = bevfusion::collate({sample});
  REQUIRE(batch.masks.sizes() == at::IntArrayRef({1, 2, 2, 2}));
  CHECK(batch.masks[0][0][0][1].item<float>() == 1.0F);
  CHECK(batch.masks.sum().item<float>() == 1.0F);
  CHECK_FALSE(batch.labelled[0][0].item<bool>());
  CHECK(batch.labelled[0][1].item<bool>());

  bevfusion::TrainingSample other = sample;
  other.masks = bevfusion::MapMasks(bevfusion::map_labels(bevfusion::tiny_model()), 2);
  CHECK_THROWS_AS(bevfusion::collate({sample, other}), std::invalid_argument);

  config.map_classes = "divider,river";
  CHECK_THROWS_AS(bevfusion::map_labels(config), std::invalid_argument);
  config.map_classes = "divider,divider";
  CHECK_THROWS_AS(bevfusion::map_labels(config), std::invalid_argument);
  config.map_classes = " , ";
  CHECK_THROWS_AS(bevfusion::map_labels(config), std::invalid_argument);
  config.map_classes = "";
  CHECK(bevfusion::map_labels(config).size() == 6);
  config.map_label_set = "moon";
  CHECK_THROWS_AS(bevfusion::map_labels(config), std::invalid_argument);
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
// The unified decoder: its parameters counted by hand, patches that tile the map, object queries against Fuller-det's, who looks
// at whom, and what it costs to be told of what it cannot do.
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/heads/fuller_det.hpp"
#include "bevfusion/heads/unified_decoder.hpp"
#include "bevfusion/heads/unified_heads.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/tests/support/random_input.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::random_input;
using bevfusion::testing::refusal;

std::int64_t count(const torch::nn::Module& module) {
  std::int64_t sum = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    sum += parameter.numel();
  }
  return sum;
}

ModelConfig unified(ModelConfig config) {
  config.detection_head = config.segmentation_head = "unified";
  return config;
}

/// A decoder that a test can look through: 5 x 5 patches of 3 x 3 cells on a map of 10 x 10.
UnifiedDecoderOptions small_options() {
  UnifiedDecoderOptions options;
  options.inputs = 6;
  options.channels = 8;
  options.heads = 2;
  options.feed_forward = 12;
  options.dropout = 0;
  options.queries = 7;
  options.side = 5;
  options.samples = 2;
  options.map_range = 10;
  options.mask = {10, 15};
  return options;
}

QueriesAsked asked(std::int64_t classes, bool patches) {
  QueriesAsked both;
  both.objects.classes = classes;
  both.patches = patches;
  return both;
}

}  // namespace

TEST_CASE("the unified decoder has the parameters counted layer by layer", "[bevfusion][unified]") {
  const ModelConfig config = unified(full_model());
  const UnifiedDecoderOptions options = unified_options(config);
  REQUIRE((options.side == 20 && options.patch_cells() == 10 && options.layers == 2 && options.samples == 4));
  const std::int64_t c = 128;
  const std::int64_t project = 512 * c * 9 + c;
  const std::int64_t position = (2 * c + c) + 2 * c + (c * c + c);
  const std::int64_t attention = (3 * c * c + 3 * c) + (c * c + c);
  const std::int64_t layer = 2 * attention + (c * 256 + 256) + (256 * c + c) + 3 * 2 * c;
  const std::int64_t heat = (c * c * 9 + 2 * c) + (c * 10 * 9 + 10);
  const std::int64_t objects = heat + (10 * c + c);
  const std::int64_t patches = (c * c * 16 + c) + 400 * c;
  const std::int64_t decoder = project + 2 * position + 2 * layer + objects + patches;
  // Centre, height, size, heading, velocity and classes are 20 numbers.
  const std::int64_t boxes = 6 * (c * 64 + 2 * 64) + 20 * (64 + 1);
  // Patches of 10 x 10 cells: deconvolutions by 2 and by 5, then six masks.
  const std::int64_t masks = (c * 64 * 4 + 2 * 64) + (64 * 32 * 25 + 2 * 32) + (32 * 6 + 6);
  CHECK(decoder == 1495946);
  BevFusion model(config);
  CHECK(count(*model->named_children()["decoder"]) == decoder);
  CHECK(count(model->head("detection")) == boxes);
  CHECK(count(model->head("segmentation")) == masks);
  CHECK(count(*model) == 37366581 + decoder + boxes + masks);
}

TEST_CASE("patches tile the map, and a query draws its patch alone", "[bevfusion][unified]") {
  torch::manual_seed(21);
  const torch::NoGradGuard no_grad;
  for (const std::int64_t cells : {1, 3, 6, 10}) {
    const std::int64_t side = 4;
    INFO(cells << " cells along a patch");
    PatchHead head(24, side, cells, 3);
    PatchHead of_one(24, 1, cells, 3);
    for (auto& parameter : of_one->named_parameters()) {
      parameter.value().copy_(head->named_parameters()[parameter.key()]);
    }
    head->eval();
    of_one->eval();
    DecodedQueries said;
    said.patches = torch::randn({2, 24, side * side});
    const torch::Tensor before = head->forward_queries(said);
    REQUIRE(before.sizes() == torch::IntArrayRef({2, 3, side * cells, side * cells}));
    torch::Tensor owners = torch::zeros({side * cells, side * cells});
    for (std::int64_t i = 0; i < side; ++i) {
      for (std::int64_t j = 0; j < side; ++j) {
        DecodedQueries moved = said;
        moved.patches = said.patches.clone();
        moved.patches.select(2, i * side + j).add_(torch::randn({2, 24}) * 5);
        const torch::Tensor changed = (head->forward_queries(moved) != before).any(1).all(0);
        const torch::Tensor unchanged = (head->forward_queries(moved) == before).all(1).all(0);
        for (std::int64_t x = 0; x < side * cells; ++x) {
          for (std::int64_t y = 0; y < side * cells; ++y) {
            const bool own = x / cells == i && y / cells == j;
            INFO("patch " << i << ", " << j << ", cell " << x << ", " << y);
            CHECK((own ? changed : unchanged)[x][y].item<bool>());
            owners[x][y] += own ? 1 : 0;
          }
        }
        // What a query draws does not hang on where its patch is.
        DecodedQueries alone;
        alone.patches = said.patches.narrow(2, i * side + j, 1);
        const torch::Tensor block = before.narrow(2, i * cells, cells).narrow(3, j * cells, cells);
        CHECK(torch::allclose(of_one->forward_queries(alone), block, 1e-5, 1e-6));
      }
    }
    CHECK((owners == 1).all().item<bool>());
  }
}

TEST_CASE("a patch's centre is that of its cells", "[bevfusion][unified]") {
  UnifiedDecoderOptions options = small_options();
  options.map_range = 12.8;
  options.mask = {10, 15};
  const torch::Tensor centres = patch_centres(options, 32, 64, torch::kDouble);
  REQUIRE(centres.sizes() == torch::IntArrayRef({2, 25}));
  const double mask_cell = 20.0 / 15;
  for (std::int64_t i = 0; i < 5; ++i) {
    for (std::int64_t j = 0; j < 5; ++j) {
      double x = 0;
      double y = 0;
      for (std::int64_t k = 0; k < 3; ++k) {
        x += (-10 + (static_cast<double>(3 * i + k) + 0.5) * mask_cell) / 3;
        y += (-10 + (static_cast<double>(3 * j + k) + 0.5) * mask_cell) / 3;
      }
      // The map has 32 x 64 cells over 25.6 m each way.
      CHECK(centres[0][i * 5 + j].item<double>() == Approx((x + 12.8) / 0.8));
      CHECK(centres[1][i * 5 + j].item<double>() == Approx((y + 12.8) / 0.4));
    }
  }
}

TEST_CASE("with object queries alone and one layer it is Fuller-det", "[bevfusion][unified]") {
  torch::manual_seed(22);
  UnifiedDecoderOptions options = small_options();
  options.layers = 1;
  FullerDetOptions alike;
  alike.inputs = options.inputs;
  alike.channels = options.channels;
  alike.classes = 4;
  alike.queries = options.queries;
  alike.heads = options.heads;
  alike.feed_forward = options.feed_forward;
  alike.branch = 5;
  alike.dropout = 0;
  alike.point_classes = {2};
  QueriesAsked objects = asked(4, false);
  objects.objects.points = {2};
  FullerDet expected(alike);
  UnifiedDecoder decoder(options, objects);
  ObjectHead head(8, 5, 4, -2.19);
  {
    const torch::NoGradGuard no_grad;
    const std::vector<std::pair<std::string, std::string>> renamed = {{"project.", "shared."}, {"layer0.", "layer."}};
    const auto known = expected->named_parameters();
    for (auto& parameter : decoder->named_parameters()) {
      std::string name = parameter.key();
      for (const auto& [from, to] : renamed) {
        name = name.rfind(from, 0) == 0 ? to + name.substr(from.size()) : name;
      }
      INFO(name);
      REQUIRE(known.contains(name));
      parameter.value().copy_(known[name]);
    }
    for (auto& parameter : head->named_parameters()) {
      REQUIRE(known.contains(parameter.key()));
      parameter.value().copy_(known[parameter.key()]);
    }
  }
  const torch::Tensor map = torch::randn({2, 6, 10, 10});
  const Detections said = head->forward_queries(decoder->forward(map));
  const Detections wanted = expected->forward(map);
  CHECK(torch::equal(said.query_class, wanted.query_class));
  CHECK(torch::equal(said.query_score, wanted.query_score));
  for (const auto& [a, b] :
       {std::pair(said.heat_map, wanted.heat_map), std::pair(said.class_logits, wanted.class_logits),
        std::pair(said.centre, wanted.centre), std::pair(said.height, wanted.height), std::pair(said.size, wanted.size),
        std::pair(said.heading, wanted.heading), std::pair(said.velocity, wanted.velocity)}) {
    CHECK(torch::allclose(a, b, 1e-5, 1e-6));
  }
}

TEST_CASE("queries of both kinds look at each other and at the whole map", "[bevfusion][unified]") {
  torch::manual_seed(23);
  UnifiedDecoder decoder(small_options(), asked(3, true));
  decoder->to(torch::kDouble);
  const torch::Tensor map = torch::randn({1, 6, 10, 10}, torch::dtype(torch::kDouble).requires_grad(true));
  DecodedQueries said = decoder->forward(map);
  REQUIRE(said.objects.sizes() == torch::IntArrayRef({1, 8, 7}));
  REQUIRE(said.patches.sizes() == torch::IntArrayRef({1, 8, 25}));
  REQUIRE(said.heat_map.sizes() == torch::IntArrayRef({1, 3, 10, 10}));
  CHECK(said.levels().size() == 3);
  const auto parameters = decoder->named_parameters();
  const auto gradient = [](const torch::Tensor& of, const torch::Tensor& by) {
    // A square: the sum over channels of what a layer norm with weights of 1 gives is 0 whatever comes in.
    return torch::autograd::grad({of.square().sum() + of.sum()}, {by}, {}, true, false, true).front();
  };
  for (const torch::Tensor& one : {said.objects.select(2, 3), said.patches.select(2, 12)}) {
    CHECK((gradient(one, map).abs().amax({0, 1}) > 0).all().item<bool>());                      // each cell of the map
    CHECK(gradient(one, parameters["class_embedding.weight"]).abs().max().item<double>() > 0);  // of objects
    const torch::Tensor by_patch = gradient(one, parameters["patch_query"]).abs().amax(0);
    CHECK((by_patch > 0).all().item<bool>());  // every patch
  }
}

TEST_CASE("a patch query starts as what lies in its patch", "[bevfusion][unified]") {
  torch::manual_seed(24);
  UnifiedDecoder decoder(small_options(), asked(0, true));
  decoder->to(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;  // attention says nothing: what is left is the start
    for (auto& parameter : decoder->named_parameters()) {
      if (has(parameter.key(), "out_proj")) {
        parameter.value().zero_();
      }
    }
  }
  const torch::Tensor map = torch::randn({1, 6, 10, 10}, torch::dtype(torch::kDouble).requires_grad(true));
  const torch::Tensor said = decoder->forward(map).patches;
  for (const std::int64_t i : {0, 1, 4}) {
    for (const std::int64_t j : {0, 3}) {
      const torch::Tensor one = said.select(2, i * 5 + j);
      const torch::Tensor read = torch::autograd::grad({(one.square() + one).sum()}, {map}, {}, true).front().abs().amax({0, 1});
      const double most = read.max().item<double>();
      // The patch is 4 m wide, 2 x 2 cells of the map; it is read at their centres, by a 3 x 3 convolution.
      for (std::int64_t x = 0; x < 10; ++x) {
        for (std::int64_t y = 0; y < 10; ++y) {
          const bool near = x >= 2 * i - 1 && x <= 2 * i + 2 && y >= 2 * j - 1 && y <= 2 * j + 2;
          INFO("patch " << i << ", " << j << ", cell " << x << ", " << y);
          CHECK((read[x][y].item<double>() > 1e-9 * most) == near);  // a place between cells is one of them but for rounding
        }
      }
    }
  }
}

TEST_CASE("what a decoder shares is what both kinds of queries train", "[bevfusion][unified]") {
  torch::manual_seed(25);
  UnifiedDecoder decoder(small_options(), asked(3, true));
  const DecodedQueries said = decoder->forward(torch::randn({2, 6, 10, 10}));
  const std::vector<torch::Tensor> all = decoder->parameters();
  const auto reached = [&all](const torch::Tensor& loss) { return torch::autograd::grad({loss}, all, {}, true, false, true); };
  const auto by_objects = reached(said.objects.square().sum() + said.heat_map.sum());
  const auto by_patches = reached(said.patches.square().sum());
  std::vector<torch::Tensor> expected;
  for (std::size_t k = 0; k < all.size(); ++k) {
    CHECK(by_objects[k].defined());
    if (by_patches[k].defined()) {
      expected.push_back(all[k]);
    }
  }
  CHECK(expected.size() + 5 == all.size());  // a convolution, its norm's two, a convolution and its bias make the heat map
  const std::vector<torch::Tensor> shared = decoder->shared_parameters();
  REQUIRE(shared.size() == expected.size());
  for (std::size_t k = 0; k < shared.size(); ++k) {
    CHECK(shared[k].is_same(expected[k]));
  }
}

TEST_CASE("networks of one task start with the weights that they share with the one of both", "[bevfusion][unified]") {
  const auto made = [](bool boxes, bool masks) {
    ModelConfig config = unified(tiny_model());
    config.parts.tasks["detection"] = boxes;
    config.parts.tasks["segmentation"] = masks;
    torch::manual_seed(26);
    return BevFusion(config);
  };
  const auto both = made(true, true)->named_parameters();
  for (const bool boxes : {true, false}) {
    BevFusion one = made(boxes, !boxes);
    CHECK(one->named_parameters().contains("decoder.patch_query") == !boxes);
    CHECK(one->named_parameters().contains("decoder.class_embedding.weight") == boxes);
    for (const auto& parameter : one->named_parameters()) {
      INFO(parameter.key());
      REQUIRE(both.contains(parameter.key()));
      CHECK(torch::equal(parameter.value(), both[parameter.key()]));
    }
    CHECK(one->decoder_parameters().empty());
  }
}

TEST_CASE("the unified network answers at every size, with a sensor lost, and in towers", "[bevfusion][unified]") {
  torch::manual_seed(27);
  const torch::NoGradGuard no_grad;
  ModelConfig config = unified(tiny_model());
  for (const bool towers : {false, true}) {
    config.separate_towers = towers;
    Network network(config);
    network->eval();
    for (const std::vector<std::string>& without : {std::vector<std::string>{}, std::vector<std::string>{"lidar"}}) {
      const Outputs said = network->forward(random_input(config, 2), without);
      CHECK(std::any_cast<torch::Tensor>(said.at("segmentation")).sizes() == torch::IntArrayRef({2, 6, 50, 50}));
      CHECK(std::any_cast<Detections>(said.at("detection")).centre.sizes() == torch::IntArrayRef({2, 2, 40}));
    }
  }
  for (const ModelConfig& larger : {unified(small_model()), unified(full_model())}) {
    UnifiedDecoderOptions options = unified_options(larger);
    options.inputs = 2 * larger.bev.up;
    UnifiedDecoder decoder(options, asked(10, true));
    decoder->eval();
    const auto cells = static_cast<std::int64_t>(larger.bev_grid().cells_x);
    PatchHead head(options.channels, options.side, options.patch_cells(), 6);
    const torch::Tensor masks = head->forward_queries(decoder->forward(torch::randn({1, options.inputs, cells, cells})));
    CHECK(masks.sizes() == torch::IntArrayRef({1, 6, 200, 200}));
  }
}

TEST_CASE("other tasks read the map beside the decoder", "[bevfusion][unified]") {
  torch::manual_seed(28);
  ModelConfig config = unified(tiny_model());
  config.parts.tasks["foreground"] = true;
  BevFusion three(config);
  CHECK(three->last_shared(false).size() == 2);
  const SharedFeatures z = three->share(three->branches(random_input(config, 1)));
  CHECK(three->say_as<torch::Tensor>("foreground", z).sizes() == torch::IntArrayRef({1, 3, 50, 50}));
  CHECK(z.levels().size() == 4);
  config.parts.tasks["foreground"] = false;
  config.parts.tasks["speed"] = true;
  BevFusion with_speed(config);
  // What all three share ends with the BEV backbone.
  REQUIRE(with_speed->last_shared(false).size() == 1);
  bool in_bev = false;
  for (const torch::Tensor& parameter : with_speed->named_children()["bev"]->parameters()) {
    in_bev = in_bev || parameter.is_same(with_speed->last_shared());
  }
  CHECK(in_bev);
}

TEST_CASE("the unified decoder refuses in words what it cannot do", "[bevfusion][unified]") {
  const auto words = [](const auto& change) {
    RunConfig config = run_of_size("tiny");
    config.model = unified(config.model);
    change(config);
    return refusal<std::invalid_argument>([&config] { check(config); });
  };
  CHECK(words([](RunConfig&) {}).empty());
  const std::string one = words([](RunConfig& config) { config.model.segmentation_head = "fuller_seg"; });
  CHECK((has(one, "model.detection_head is unified") && has(one, "model.segmentation_head fuller_seg")));
  CHECK(has(words([](RunConfig& config) { config.model.detection_head = "fuller_det"; }), "set both to unified"));
  CHECK(has(words([](RunConfig& config) { config.model.separate_bev = true; }), "model.separate_bev"));
  CHECK(has(words([](RunConfig& config) { config.calibration.both_last_shared = true; }), "calibration.both_last_shared"));
  CHECK(has(words([](RunConfig& config) { config.model.numbers = "unified.patches=20"; }), "50 cells"));
  CHECK(has(words([](RunConfig& config) { config.model.numbers = "unified.layers=1.5"; }), "unified.layers is 1.5"));
  CHECK(has(words([](RunConfig& config) { config.model.numbers = "unified.samples=0"; }), "unified.samples is 0"));
  CHECK(has(words([](RunConfig& config) { config.model.detection.heads = 3; }), "model.detection.heads"));
  CHECK(has(words([](RunConfig& config) {
              config.distillation.twins = "detection,segmentation";
              config.distillation.twins_share = "trunk";
            }),
            "distillation.twins_share trunk"));
  CHECK(words([](RunConfig& config) { config.model.numbers = "unified.patches=25, unified.layers=3"; }).empty());
  CHECK(words([](RunConfig& config) {
          config.model.parts.tasks["segmentation"] = false;
          config.model.segmentation_head = "fuller_seg";
          config.calibration.rule = "none";
          config.calibration.gate = "none";
        }).empty());

  BevFusion model(unified(tiny_model()));
  CHECK(has(refusal<std::invalid_argument>([&] { model->say("detection", torch::zeros({1, 64, 64, 64})); }), "share()"));
  CHECK_THROWS_AS(head_as<DetectionHead>(model->head("detection")).forward(torch::zeros({1})), std::logic_error);
  CHECK_THROWS_AS(SharedFeatures(torch::zeros({1})).with({}), std::logic_error);
}

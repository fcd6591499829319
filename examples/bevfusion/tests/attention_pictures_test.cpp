// SPDX-License-Identifier: Apache-2.0
// Attention in pictures: a hand-made one has its peak where it must, weights add up to 1, and pixels are tinted where windows
// lie.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/evaluation/attention_gallery.hpp"
#include "bevfusion/fusion/cross_attention_fuser.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/pictures/ground_weights.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/random_input.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
namespace fs = std::filesystem;

bool is_tinted(const Image& image, int x, int y, Colour colour) {
  return std::equal(colour.begin(), colour.end(), image.pixel(x, y));
}

template <class Error>
std::string complaint(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

ModelConfig attending() {
  ModelConfig config = tiny_model();
  config.fuser = "cross_attention";
  return config;
}

}  // namespace

TEST_CASE("an attention made by hand looks where it must", "[bevfusion][attention]") {
  // Four windows, each the only one with something in its channel. Window w of the first branch asks for what window 3 - w of the
  // second has.
  CrossAttentionOptions options;
  options.width = 4;
  options.heads = 1;
  CrossAttentionScale scale(std::vector<std::int64_t>{4, 4}, 2, options);
  const torch::NoGradGuard no_grad;
  auto parameters = scale->named_parameters();
  for (const char* side : {"0", "1"}) {
    parameters["embed" + std::string(side) + ".weight"].copy_(torch::eye(4));
    parameters["embed" + std::string(side) + ".bias"].zero_();
    parameters["position" + std::string(side)].zero_();
    parameters["attention" + std::string(side) + ".in_proj_bias"].zero_();
  }
  parameters["attention0.in_proj_weight"].copy_(torch::cat({torch::eye(4).flip(0), torch::eye(4), torch::eye(4)}));
  const torch::Tensor map = torch::eye(4).view({1, 4, 2, 2});
  std::vector<AttentionMap> seen;
  scale->forward({map, map}, &seen);
  REQUIRE(seen.size() == 2);
  CHECK(seen[0].asking == 0);
  CHECK(seen[0].asked == 1);
  CHECK(seen[0].side == 2);
  // One of four channels, normalised: sqrt 3 there and -1 / sqrt 3 elsewhere. Products are 4 and -4 / 3, over sqrt 4.
  const double peak = std::exp(2.0) / (std::exp(2.0) + 3 * std::exp(-2.0 / 3));
  for (std::int64_t w = 0; w < 4; ++w) {
    for (std::int64_t k = 0; k < 4; ++k) {
      INFO(w << " reads " << k);
      CHECK(seen[0].weights[0][w][k].item<double>() == Approx(k == 3 - w ? peak : (1 - peak) / 3).epsilon(1e-3));
    }
  }
  // And it is drawn there: window 0 is the left lower one, x and y below 0, and reads window 3.
  GroundWeights weights{10, 2, {}};
  for (std::int64_t k = 0; k < 4; ++k) {
    weights.weights.push_back(seen[0].weights[0][0][k].item<double>());
  }
  CHECK(weights.window(-5, -5) == 0U);
  BevPicture picture({10, 200});
  picture.draw(weights);
  CHECK(is_tinted(picture.image(), 150, 50, attention_colour));
  CHECK(is_tinted(picture.image(), 101, 99, attention_colour));
  CHECK_FALSE(is_tinted(picture.image(), 50, 50, attention_colour));
  CHECK(is_tinted(picture.image(), 50, 150, Colour{255, 255, 255}));  // less than an even share
}

TEST_CASE("a fuser shows its attention on request, in evaluation mode alone", "[bevfusion][attention]") {
  torch::manual_seed(3);
  CrossAttentionOptions options;
  options.scales = 2;
  options.tokens = 4;
  options.width = 8;
  CrossAttentionFuser fuser({3, 2}, 5, 8, options);
  const std::vector<torch::Tensor> maps{torch::randn({2, 3, 8, 8}), torch::randn({2, 2, 8, 8})};
  CHECK(complaint<std::logic_error>([&] { fuser.attention(maps); }).find("evaluation mode") != std::string::npos);
  fuser.eval();
  const torch::Tensor before = fuser.forward(maps);
  const std::vector<AttentionMap> seen = fuser.attention(maps);
  CHECK(torch::equal(fuser.forward(maps), before));
  REQUIRE(seen.size() == 4);
  for (std::size_t k = 0; k < 4; ++k) {
    const std::int64_t side = k < 2 ? 4 : 2;
    CHECK(seen[k].side == side);
    CHECK(seen[k].asking == k % 2);
    CHECK(seen[k].asked == 1 - k % 2);
    REQUIRE(seen[k].weights.sizes() == at::IntArrayRef({2, side * side, side * side}));
    CHECK_FALSE(seen[k].weights.requires_grad());
    CHECK(torch::allclose(seen[k].weights.sum(2), torch::ones({2, side * side})));
    CHECK(seen[k].weights.min().item<double>() > 0);
  }
}

TEST_CASE("ground is tinted by the weight of the window that a pixel shows", "[bevfusion][attention]") {
  CameraView view;  // 1.5 m above the ground of a frame with z up, looking along its y
  view.intrinsic << 100, 0, 100, 0, 100, 50, 0, 0, 1;
  Eigen::Matrix3d rotation;
  rotation << 1, 0, 0, 0, 0, -1, 0, 1, 0;
  view.camera_from_lidar = {rotation, {0, 1.5, 0}};
  GroundWeights weights{10, 4, std::vector<double>(16, 0)};
  weights.weights[2 * 4 + 3] = 0.6;  // x 0 ... 5 m, y 5 ... 10 m
  weights.weights[1 * 4 + 3] = 0.3;  // x -5 ... 0 m, as far
  constexpr double mean = 0.9 / 16;
  Image image(200, 100, {0, 0, 0});
  draw_weights(image, view, weights, RigidTransform());
  // 7.5 m ahead the ground is at v = 50 + 100 * 1.5 / 7.5 = 70; 2.5 m to the right of it at u = 133.
  CHECK(is_tinted(image, 133, 70, mixed({0, 0, 0}, attention_colour, 0.8)));
  CHECK(is_tinted(image, 66, 70, mixed({0, 0, 0}, attention_colour, 0.8 * (0.3 - mean) / (0.6 - mean))));
  CHECK(is_tinted(image, 133, 85, {0, 0, 0}));  // 4.3 m ahead
  CHECK(is_tinted(image, 133, 62, {0, 0, 0}));  // 12 m
  CHECK(is_tinted(image, 180, 70, {0, 0, 0}));  // 6 m to the right
  CHECK(is_tinted(image, 133, 40, {0, 0, 0}));  // sky
  // A ground that lies lower, as with the LiDAR's frame above the ego frame: 3 m below the camera, 70 is 15 m ahead.
  Image lower(200, 100, {0, 0, 0});
  draw_weights(lower, view, weights, {Eigen::Matrix3d::Identity(), {0, 0, 1.5}});
  CHECK(is_tinted(lower, 133, 70, {0, 0, 0}));
  CHECK(is_tinted(lower, 133, 90, mixed({0, 0, 0}, attention_colour, 0.8)));  // 7.5 m
  CHECK_FALSE(weights.window(10.1, 0));
  // An even share everywhere but for the rounding of a softmax: nothing stands out.
  GroundWeights even{10, 3, std::vector<double>(9, static_cast<double>(1.0F / 9))};
  CHECK(even.strengths() == std::vector<double>(9, 0));
  even.weights[4] = static_cast<double>(std::nextafter(1.0F / 9, 1.0F));
  CHECK(even.strengths() == std::vector<double>(9, 0));
  CHECK(GroundWeights{10, 2, {0.5, 0.1, 0.1, 0.3}}.strengths()[3] == Approx(0.2));
  CHECK(weights.window(2, 7) == 11U);
  const DrawnPath border = weights.border(11, -1.5, asking_colour);
  CHECK(border.places.front() == Eigen::Vector3d(0, 5, -1.5));
  CHECK(border.places[2] == Eigen::Vector3d(5, 10, -1.5));
}

TEST_CASE("what is looked at from a place adds up to one", "[bevfusion][attention]") {
  torch::manual_seed(5);
  BevFusion tower(attending());
  tower->eval();
  const ModelInput input = bevfusion::testing::random_input(tower->config(), 1);
  const std::vector<Look> looks = looks_from(tower, input, {4, 20});
  REQUIRE(looks.size() == 6);
  for (std::size_t k = 0; k < 6; ++k) {
    CHECK(looks[k].asking == (k % 2 == 0 ? "lidar" : "camera"));
    CHECK(looks[k].asked == (k % 2 == 0 ? "camera" : "lidar"));
    CHECK(looks[k].weights.side == 16U >> (k / 2));
    CHECK(looks[k].window == looks[k].weights.window(4, 20));
    const auto& weights = looks[k].weights.weights;
    CHECK(std::accumulate(weights.begin(), weights.end(), 0.0) == Approx(1));
  }
  CHECK(complaint<std::invalid_argument>([&] {
          looks_from(tower, input, {0, 300});
        }).find("--at 0 300 is not on the map") != std::string::npos);
  BevFusion plain(tiny_model());
  plain->eval();
  CHECK(complaint<std::invalid_argument>([&] {
          looks_from(plain, input, {0, 0});
        }).find("lets no sensor look at another") != std::string::npos);
}

TEST_CASE("attention of a sample is drawn at each scale, and a page shows it", "[bevfusion][attention]") {
  const bevfusion::testing::TemporaryFolder folder;
  SynthOptions set = SynthOptions::tiny();
  set.out = folder.path() / "set";
  set.scenes = 1;
  set.samples = 2;
  set.sweeps = 1;
  set.seed = 3;
  generate(set);
  const Tables tables = read_tables(set.out, set.version);
  RunConfig config;
  config.model = attending();
  config.loading = loading_options(config.model);
  torch::manual_seed(5);
  Network network(config.model);
  AttentionOptions options;
  options.out = folder.path() / "out";
  options.title = "attention";
  options.width = 200;
  fs::create_directories(options.out);
  AttentionGallery gallery(options, tables, config);
  gallery.add(network, 1);
  gallery.write();
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(options.out)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  REQUIRE(names.size() == 7);
  for (std::size_t k = 0; k < 3; ++k) {
    const std::string scale = "_scale" + std::to_string(k + 1);
    CHECK(names[2 * k].find(scale + "_bev.png") != std::string::npos);
    CHECK(names[2 * k + 1].find(scale + "_cameras.png") != std::string::npos);
  }
  CHECK(names.back() == "index.html");
  std::ifstream in(options.out / "index.html");
  const std::string page((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  CHECK(page.find("the nearest annotated box, ") != std::string::npos);
  CHECK(page.find("of 256 windows") != std::string::npos);
  for (std::size_t k = 0; k + 1 < names.size(); ++k) {
    CHECK(page.find(names[k]) != std::string::npos);
  }
}

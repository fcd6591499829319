// SPDX-License-Identifier: Apache-2.0
// Weights from other programs' files: what Python wrote, what a stranger may hand in, the names and layouts of known networks.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <torch/torch.h>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/weights/init_from.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::DataError;
using bevfusion::NameMap;
using bevfusion::StateFile;
using bevfusion::testing::TemporaryFolder;

const std::filesystem::path source = FULLER_SOURCE_DIR;
const std::filesystem::path python_state = source / "examples/bevfusion/tests/data/python_state.bin";
const std::filesystem::path maps = source / "examples/bevfusion/weights";

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const std::filesystem::path& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

/// A file with these tensors under `root`, as LibTorch's own pickler writes it.
void write_state(const std::filesystem::path& file, const std::string& root,
                 const std::vector<std::pair<std::string, torch::Tensor>>& tensors) {
  c10::Dict<std::string, torch::Tensor> state;
  for (const auto& [name, tensor] : tensors) {
    state.insert(name, tensor);
  }
  c10::Dict<std::string, c10::Dict<std::string, torch::Tensor>> outer;
  outer.insert(root, state);
  const std::vector<char> bytes = torch::pickle_save(outer);
  write(file, std::string(bytes.begin(), bytes.end()));
}

TEST_CASE("what Python saved is read by name", "[bevfusion][weights]") {
  // The values are those of make_python_state.py.
  StateFile file(python_state);
  const std::vector<std::string> expected = {"counts",     "empty",        "flags",     "halves",
                                             "model.bias", "model.weight", "parameter", "view"};
  std::vector<std::string> names = file.names();
  CHECK(names == expected);
  CHECK(torch::equal(file.tensor("model.weight"), torch::arange(6.0).view({2, 3}).to(torch::kFloat) / 4));
  CHECK(torch::equal(file.tensor("model.bias"), torch::tensor({-1.0F, 2.5F})));
  CHECK(torch::equal(file.tensor("view"), torch::tensor({2.0F, 5.0F, 3.0F, 6.0F, 4.0F, 7.0F}).view({3, 2})));
  CHECK(torch::equal(file.tensor("halves"), torch::tensor({0.5F, -2.0F}).to(torch::kHalf)));
  CHECK(torch::equal(file.tensor("counts"), torch::tensor({1, -2}, torch::kLong)));
  CHECK(torch::equal(file.tensor("flags"), torch::tensor({true, false})));
  CHECK(torch::equal(file.tensor("parameter"), torch::ones({2})));
  CHECK(file.tensor("empty").sizes() == at::IntArrayRef({0, 4}));
}

TEST_CASE("a damaged file is an error, never worse", "[bevfusion][weights]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "damaged";
  const std::string whole = bytes_of(python_state);
  REQUIRE(whole.size() > 1000);
  const auto read_all = [&](const std::string& bytes) {
    write(file, bytes);
    try {
      StateFile state(file);
      for (const std::string& name : state.names()) {
        state.tensor(name);
      }
      return true;
    } catch (const DataError& error) {
      CHECK(std::string(error.what()).find(file.string()) == 0);
      return false;
    }
  };
  REQUIRE(read_all(whole));
  for (std::size_t length = 0; length < whole.size(); length += 7) {
    INFO("cut at " << length);
    CHECK_FALSE(read_all(whole.substr(0, length)));
  }
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xFF}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ flip);
      refused += read_all(bytes) ? 0 : 1;  // anything else than DataError ends the test
    }
  }
  CHECK(refused > 500);
  CHECK_THROWS_AS(StateFile(folder.path() / "absent"), DataError);
  CHECK_THROWS_AS(StateFile(folder.path()), DataError);
}

TEST_CASE("names are mapped by lines with stars", "[bevfusion][weights]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "names";
  write(file, "# a comment\na.*.w  x*+1.w   # raised\na.*.*   y.*.*  subtracted\n\nb  c sparse_zyx\n");
  const NameMap map(file);
  CHECK(map.find("a.9.w")->name == "x10.w");
  CHECK(map.find("a.9.v")->name == "y.9.v");
  CHECK(map.find("a.9.v")->conversion == bevfusion::Conversion::subtracted);
  CHECK(map.find("a.q.w")->name == "y.q.w");  // q plus one is nothing: the next line that fits
  CHECK_FALSE(map.find("a.9.w.z").has_value());
  CHECK_FALSE(map.find("a.9").has_value());
  CHECK(map.find("b")->conversion == bevfusion::Conversion::sparse_zyx);
  for (const char* bad : {"alone\n", "a b nonsense\n", "a *\n", "a b subtracted more\n"}) {
    write(file, bad);
    CHECK_THROWS_AS(NameMap(file), DataError);
  }
  CHECK_THROWS_AS(NameMap(folder.path() / "absent"), DataError);
}

TEST_CASE("spconv's kernels become ours in both of its layouts", "[bevfusion][weights]") {
  torch::manual_seed(42);
  const std::int64_t in = 5;
  const std::int64_t out = 4;
  const torch::Tensor kernel = torch::randn({out, 3, 2, 1, in});  // [out, kz, ky, kx, in]
  const torch::Tensor mine = bevfusion::converted(kernel, bevfusion::Conversion::sparse_zyx, {1 * 2 * 3 * in, out});
  const torch::Tensor older =
      bevfusion::converted(kernel.permute({1, 2, 3, 4, 0}), bevfusion::Conversion::sparse_zyx, {1 * 2 * 3 * in, out});
  const torch::Tensor turned =
      bevfusion::converted(kernel.permute({0, 3, 2, 1, 4}), bevfusion::Conversion::sparse_xyz, {1 * 2 * 3 * in, out});
  REQUIRE(mine.defined());
  for (std::int64_t z = 0; z < 3; ++z) {
    for (std::int64_t y = 0; y < 2; ++y) {
      CHECK(
          torch::equal(mine.slice(0, (y * 3 + z) * in, (y * 3 + z + 1) * in), kernel.select(3, 0).select(2, y).select(1, z).t()));
    }
  }
  CHECK(torch::equal(mine, older));
  CHECK(torch::equal(mine, turned));
  CHECK_FALSE(bevfusion::converted(kernel, bevfusion::Conversion::sparse_zyx, {1 * 2 * 3 * in, out + 1}).defined());
  CHECK_FALSE(bevfusion::converted(kernel, bevfusion::Conversion::copied, {30, out}).defined());
}

/// Fills the branch through a map from tensors that have its names in the other program; checks that all but `but` are filled.
void check_map(const std::string& map, const std::string& root, const std::vector<std::pair<std::string, torch::Tensor>>& state,
               const std::string& branch, std::size_t unmatched, const std::vector<std::string>& but) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "theirs.pth";
  write_state(file, root, state);
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  config.voxel_net.channels = {16, 32, 64, 128};
  config.image_backbone = "swin";
  config.swin.embedding = 24;
  config.neck = 32;
  bevfusion::BevFusion model(config);
  StateFile theirs(file);
  const bevfusion::InitReport report = bevfusion::init_from(theirs, NameMap(maps / map), *model, branch);
  CHECK(report.unmatched.size() == unmatched);
  CHECK(report.mismatched.empty());
  std::vector<std::string> unfilled;
  for (const std::string& name : report.unfilled) {
    if (std::none_of(but.begin(), but.end(), [&](const std::string& part) { return name.find(part) != std::string::npos; })) {
      unfilled.push_back(name);
    }
  }
  CAPTURE(unfilled);
  CHECK(unfilled.empty());
}

TEST_CASE("the published Swin transformer's names are known", "[bevfusion][weights]") {
  const std::int64_t width = 24;
  std::vector<std::pair<std::string, torch::Tensor>> state;
  const auto both = [&](const std::string& name, std::int64_t size) {
    state.emplace_back(name + ".weight", torch::randn({size}));
    state.emplace_back(name + ".bias", torch::randn({size}));
  };
  const auto linear = [&](const std::string& name, std::int64_t in, std::int64_t out) {
    state.emplace_back(name + ".weight", torch::randn({out, in}));
    state.emplace_back(name + ".bias", torch::randn({out}));
  };
  state.emplace_back("patch_embed.proj.weight", torch::randn({width, 3, 4, 4}));
  state.emplace_back("patch_embed.proj.bias", torch::randn({width}));
  both("patch_embed.norm", width);
  const std::int64_t depths[] = {2, 2, 6, 2};
  const std::int64_t heads[] = {3, 6, 12, 24};
  std::int64_t channels = width;
  for (int layer = 0; layer < 4; ++layer, channels *= 2) {
    const std::string of_layer = "layers." + std::to_string(layer);
    for (int block = 0; block < depths[layer]; ++block) {
      const std::string name = of_layer + ".blocks." + std::to_string(block);
      both(name + ".norm1", channels);
      both(name + ".norm2", channels);
      linear(name + ".attn.qkv", channels, 3 * channels);
      linear(name + ".attn.proj", channels, channels);
      linear(name + ".mlp.fc1", channels, 4 * channels);
      linear(name + ".mlp.fc2", 4 * channels, channels);
      state.emplace_back(name + ".attn.relative_position_bias_table", torch::randn({13 * 13, heads[layer]}));
    }
    if (layer < 3) {
      both(of_layer + ".downsample.norm", 4 * channels);
      state.emplace_back(of_layer + ".downsample.reduction.weight", torch::randn({2 * channels, 4 * channels}));
    }
  }
  both("norm", 8 * width);
  linear("head", 8 * width, 10);
  check_map("swin.names", "model", state, "images.", 2, {"bias_index", "stage2_norm", "stage3_norm", "images.neck"});
}

TEST_CASE("the published sparse encoders' names are known", "[bevfusion][weights]") {
  const auto encoder = [](bool openpcdet) {
    std::vector<std::pair<std::string, torch::Tensor>> state;
    const std::string prefix = openpcdet ? "backbone_3d." : "pts_middle_encoder.";
    const auto conv = [&](const std::string& name, std::int64_t in, std::int64_t out, at::IntArrayRef kernel) {
      state.emplace_back(prefix + name + ".weight", torch::randn({out, kernel[0], kernel[1], kernel[2], in}));
    };
    const auto norm = [&](const std::string& name, std::int64_t size) {
      for (const char* each : {".weight", ".bias", ".running_mean", ".running_var"}) {
        state.emplace_back(prefix + name + each, torch::rand({size}));
      }
    };
    const std::int64_t channels[] = {16, 32, 64, 128};
    conv("conv_input.0", 5, 16, {3, 3, 3});
    norm("conv_input.1", 16);
    for (int stage = 1; stage <= 4; ++stage) {
      const std::int64_t width = channels[stage - 1];
      const std::string layer =
          openpcdet ? "conv" + std::to_string(stage) : "encoder_layers.encoder_layer" + std::to_string(stage);
      for (int block = 0; block < 2; ++block) {
        const std::string name = layer + '.' + std::to_string(openpcdet && stage > 1 ? block + 1 : block);
        for (const std::string& each : {std::string("1"), std::string("2")}) {
          conv(name + ".conv" + each, width, width, {3, 3, 3});
          norm(name + ".bn" + each, width);
          if (openpcdet) {
            state.emplace_back(prefix + name + ".conv" + each + ".bias", torch::randn({width}));
          }
        }
      }
      if (openpcdet && stage > 1) {
        conv(layer + ".0.0", width / 2, width, {3, 3, 3});
        norm(layer + ".0.1", width);
      } else if (!openpcdet && stage < 4) {
        conv(layer + ".2.0", width, 2 * width, {3, 3, 3});
        norm(layer + ".2.1", 2 * width);
      }
    }
    conv("conv_out.0", 128, 128, {3, 1, 1});
    norm("conv_out.1", 128);
    return state;
  };
  check_map("openpcdet_voxel_net.names", "model_state", encoder(true), "lidar.", 0, {"num_batches_tracked"});
  check_map("mmdet3d_voxel_net.names", "state_dict", encoder(false), "lidar.", 0, {"num_batches_tracked"});
}

TEST_CASE("a bias in front of a normalisation comes off its mean", "[bevfusion][weights]") {
  const TemporaryFolder folder;
  write(folder.path() / "names", "mean running_mean\nbias running_mean subtracted\n");
  torch::nn::BatchNorm1d norm(2);
  const std::vector<char> bytes = [] {
    c10::Dict<std::string, torch::Tensor> state;
    state.insert("bias", torch::tensor({1.0F, -2.0F}));
    state.insert("mean", torch::tensor({5.0F, 5.0F}));
    return torch::pickle_save(state);
  }();
  write(folder.path() / "state", std::string(bytes.begin(), bytes.end()));
  StateFile file(folder.path() / "state");
  bevfusion::init_from(file, NameMap(folder.path() / "names"), *norm);
  // BN(conv + bias) with mean 5 is BN(conv) with mean 5 - bias.
  CHECK(torch::equal(norm->running_mean, torch::tensor({4.0F, 7.0F})));
}

}  // namespace

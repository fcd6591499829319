// SPDX-License-Identifier: Apache-2.0
// ResNet-50 and EfficientNet-B0 against torchvision's values (reference/torchvision_backbones.py), evaluated and trained, through
// the maps of names by which its weights are read.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "bevfusion/camera/efficientnet_b0.hpp"
#include "bevfusion/camera/neck.hpp"
#include "bevfusion/camera/resnet50.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/weights/init_from.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using Json = nlohmann::json;

const std::filesystem::path folder_of_maps = FULLER_SOURCE_DIR "/examples/bevfusion/weights";
constexpr std::int64_t number_of_pictures = 1000;
constexpr std::int64_t number_of_cotangents = 2000;
constexpr std::int64_t number_of_products = 3000;

/// As noise() of torchvision_backbones.py, in doubles.
torch::Tensor noise(torch::IntArrayRef sizes, std::int64_t number) {
  const torch::Tensor step = torch::arange(c10::multiply_integers(sizes), torch::kLong) + 1 + 7919 * number;
  const torch::Tensor cube = (step * step).remainder(65537).mul(step).remainder(65537);
  return (cube.to(torch::kDouble) / 65537 - 0.5).reshape(sizes);
}

double product(const torch::Tensor& value, std::int64_t number) {
  return (value.detach() * noise(value.sizes(), number_of_products + number)).sum().item<double>();
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

Json reference(const std::string& network) {
  std::ifstream in(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/torchvision_backbones.json");
  return Json::parse(in).at(network);
}

/// A tensor of torchvision's network and the one that it is here.
struct Pair {
  std::int64_t number = 0;  ///< of torchvision's, in the order of its state
  torch::Tensor ours;
  Json theirs;
};

/// All tensors of a network in pairs, by the map of names.
std::vector<Pair> pairs(const torch::nn::Module& network, const std::string& name, const Json& theirs) {
  std::map<std::string, torch::Tensor> ours;
  for (const auto& parameter : network.named_parameters()) {
    ours["images." + name + "." + parameter.key()] = parameter.value();
  }
  for (const auto& buffer : network.named_buffers()) {
    ours["images." + name + "." + buffer.key()] = buffer.value();
  }
  const NameMap map(folder_of_maps / ("torchvision_" + name + ".names"));
  std::vector<Pair> found;
  std::vector<std::string> without;
  std::set<std::string> taken;
  for (std::size_t number = 0; number < theirs.size(); ++number) {
    const Json& entry = theirs[number];
    const std::string of_torchvision = entry.at("name");
    const auto renamed = map.find(of_torchvision);
    if (!renamed) {
      without.push_back(of_torchvision);
      continue;
    }
    INFO(of_torchvision << " is " << renamed->name);
    REQUIRE(ours.count(renamed->name) == 1);
    CHECK(taken.insert(renamed->name).second);
    CHECK(renamed->conversion == Conversion::copied);
    found.push_back({static_cast<std::int64_t>(number), ours[renamed->name], entry});
    CHECK(found.back().ours.sizes().vec() == entry.at("sizes").get<std::vector<std::int64_t>>());
  }
  CHECK(taken.size() == ours.size());
  const std::string classifier = name == "resnet50" ? "fc" : "classifier.1";
  CHECK(without == std::vector<std::string>{classifier + ".weight", classifier + ".bias"});
  return found;
}

/// As fill() of torchvision_backbones.py.
void fill(const std::vector<Pair>& pairs) {
  const torch::NoGradGuard no_grad;
  for (const Pair& pair : pairs) {
    torch::Tensor ours = pair.ours;
    const std::string name = pair.theirs.at("name");
    const torch::Tensor values = noise(ours.sizes(), pair.number);
    if (ours.dim() == 4) {
      ours.copy_(values * std::sqrt(24.0 / static_cast<double>(ours[0].numel())));
    } else if (ends_with(name, "weight") || ends_with(name, "running_var")) {
      ours.copy_(1 + values);
    } else if (ours.dim() == 1) {
      ours.copy_(values / 5);
    }
  }
}

template <class Network>
void compare_with_torchvision(Network network, const std::string& name) {
  const Json json = reference(name);
  network->to(torch::kDouble);
  const std::vector<Pair> both = pairs(*network, name, json.at("state"));
  fill(both);
  const torch::Tensor pictures = 4 * noise({2, 3, 40, 56}, number_of_pictures);
  const auto maps_of = [&] {
    torch::Tensor first;
    std::vector<torch::Tensor> maps = network->forward(pictures, &first);
    maps.insert(maps.begin(), first);
    return maps;
  };
  const auto compare_maps = [&](const std::vector<torch::Tensor>& maps, const char* way) {
    REQUIRE(maps.size() == 4);
    for (std::size_t level = 0; level < maps.size(); ++level) {
      INFO(name << ", " << way << ", map " << level);
      CHECK(maps[level].sizes().vec() == json.at("maps")[level].get<std::vector<std::int64_t>>());
      CHECK(product(maps[level], static_cast<std::int64_t>(level)) == Approx(json.at(way)[level].get<double>()).epsilon(1e-8));
    }
  };
  network->eval();
  {
    const torch::NoGradGuard no_grad;
    compare_maps(maps_of(), "evaluated");
  }
  network->train();
  const std::vector<torch::Tensor> maps = maps_of();
  compare_maps(maps, "trained");
  std::vector<torch::Tensor> cotangents;
  for (std::size_t level = 0; level < maps.size(); ++level) {
    cotangents.push_back(noise(maps[level].sizes(), number_of_cotangents + static_cast<std::int64_t>(level)));
  }
  torch::autograd::backward(maps, cotangents);
  std::size_t gradients = 0;
  std::size_t statistics = 0;
  for (const Pair& pair : both) {
    INFO(pair.theirs.at("name").get<std::string>());
    // Where another normalisation follows, a bias has no gradient but rounding: the margin.
    if (pair.theirs.count("gradient") > 0) {
      ++gradients;
      REQUIRE(pair.ours.grad().defined());
      CHECK(product(pair.ours.grad(), pair.number) ==
            Approx(pair.theirs.at("gradient").get<double>()).epsilon(1e-8).margin(1e-9));
    } else if (pair.theirs.count("after") > 0) {
      ++statistics;
      CHECK(product(pair.ours, pair.number) == Approx(pair.theirs.at("after").get<double>()).epsilon(1e-8));
    } else {
      CHECK(pair.ours.item<std::int64_t>() == 1);  // num_batches_tracked
    }
  }
  CHECK(gradients == network->parameters().size());
  CHECK(3 * statistics == 2 * network->buffers().size());
}

std::int64_t parameters_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    count += parameter.numel();
  }
  return count;
}

}  // namespace

TEST_CASE("ResNet-50 and EfficientNet-B0 have the parameters of torchvision's without their classifiers", "[bevfusion][model]") {
  // torchvision names 25 557 032 and 5 288 548; the classifiers have 1000 outputs of 2048 and of 1280 channels.
  CHECK(parameters_of(*ResNet50()) == 25557032 - 1000 * 2049);
  CHECK(parameters_of(*EfficientNetB0()) == 5288548 - 1000 * 1281);
  // A neck's level: 1 x 1 from two maps to 256 channels, 3 x 3 from 256 to 256, two norms.
  const auto neck = [](std::int64_t fine, std::int64_t middle, std::int64_t coarse) {
    return (middle + coarse + fine + 256) * 256 + 2 * 9 * 256 * 256 + 4 * 2 * 256;
  };
  CHECK(parameters_of(*Neck(std::vector<std::int64_t>{512, 1024, 2048}, 256)) == neck(512, 1024, 2048));
  CHECK(neck(512, 1024, 2048) == 2164736);
  CHECK(neck(40, 112, 1280) == 1613824);
}

TEST_CASE("ResNet-50 gives what torchvision's gives, maps, gradients and running statistics", "[bevfusion][model][torchvision]") {
  compare_with_torchvision(ResNet50(), "resnet50");
}

TEST_CASE("EfficientNet-B0 gives what torchvision's gives, maps, gradients and running statistics",
          "[bevfusion][model][torchvision]") {
  compare_with_torchvision(EfficientNetB0(0.0), "efficientnet_b0");
  const Json drops = reference("efficientnet_b0").at("drops");
  std::size_t block = 0;
  for (const std::vector<MBConvOptions>& stage : EfficientNetB0Impl::stages()) {
    for (const MBConvOptions& options : stage) {
      REQUIRE(block < drops.size());
      CHECK(options.drop_path == Approx(drops[block++].get<double>()));
    }
  }
  CHECK(block == drops.size());
}

TEST_CASE("a block's path is dropped by sample in training alone, and only beside a residual", "[bevfusion][model]") {
  torch::manual_seed(31);
  MBConvOptions options;
  options.in = options.out = 4;
  options.drop_path = 0.25;
  constexpr std::int64_t samples = 2000;
  const torch::Tensor map = torch::randn({samples, 4, 3, 3});
  const torch::NoGradGuard no_grad;
  MBConv block(options);
  options.drop_path = 0;
  MBConv whole(options);
  for (const auto& parameter : whole->named_parameters()) {
    torch::Tensor value = parameter.value();
    value.copy_(block->named_parameters()[parameter.key()]);
  }
  const torch::Tensor branch = whole->forward(map) - map;
  const torch::Tensor seen = block->forward(map) - map;
  std::int64_t dropped = 0;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    const bool none = seen[sample].eq(0).all().item<bool>();
    dropped += none ? 1 : 0;
    if (!none) {
      CHECK(torch::allclose(seen[sample], branch[sample] / 0.75, 1e-4, 1e-5));
    }
  }
  CHECK(std::abs(static_cast<double>(dropped) - 0.25 * samples) < 5 * std::sqrt(samples * 0.25 * 0.75));
  block->eval();
  CHECK_FALSE((block->forward(map) - map).flatten(1).eq(0).all(1).any().item<bool>());
  options.drop_path = 0.25;
  options.out = 6;
  MBConv other(options);
  CHECK_FALSE(other->forward(map).flatten(1).eq(0).all(1).any().item<bool>());
}

TEST_CASE("networks of stages give the neck's map at stride 8, and train in every weight", "[bevfusion][model]") {
  for (const auto& [name, at_stride_4] : {std::pair("resnet50", 256), std::pair("efficientnet_b0", 24)}) {
    INFO(name);
    torch::manual_seed(32);
    ModelConfig config = tiny_model();
    config.neck = 24;
    config.numbers = "efficientnet_b0.drop_path=0";  // with few samples a block may be dropped by all
    const std::shared_ptr<ImageBackbone> backbone = kinds().image_backbones.make(name, config);
    const torch::Tensor pictures = torch::randn({2, 3, 64, 176});  // the tiny model's, no multiple of 32
    const std::vector<torch::Tensor> maps = backbone->forward_levels(pictures);
    REQUIRE(maps.size() == 2);
    CHECK(maps[0].sizes() == torch::IntArrayRef({2, at_stride_4, 16, 44}));
    CHECK(maps[1].sizes() == torch::IntArrayRef({2, 24, 8, 22}));
    const std::vector<ImageLevel> levels = backbone->levels();
    CHECK((levels[0].channels == at_stride_4 && levels[0].stride == 4 && levels[1].channels == 24 && levels[1].stride == 8));
    CHECK(backbone->channels() == 24);
    maps[1].square().sum().backward();
    bool names_one = false;
    for (const auto& parameter : backbone->named_parameters()) {
      INFO(parameter.key());
      CHECK(parameter.value().grad().defined());
      names_one = names_one || parameter.value().is_same(backbone->last_weight());
    }
    CHECK(names_one);
    backbone->eval();
    const torch::NoGradGuard no_grad;
    CHECK(torch::equal(backbone->forward(pictures), backbone->forward_levels(pictures)[1]));
  }
}

TEST_CASE("EfficientNet's share of dropped paths is a number of the config", "[bevfusion][model]") {
  ModelConfig config = tiny_model();
  const auto make = [&config](const std::string& numbers) {
    config.numbers = numbers;
    return kinds().image_backbones.make("efficientnet_b0", config);
  };
  for (const char* bad : {"efficientnet_b0.drop_path=1", "efficientnet_b0.drop_path=-0.1", "efficientnet_b0.drop_path=nan"}) {
    try {
      make(bad);
      FAIL(bad << " was taken");
    } catch (const std::invalid_argument& error) {
      CHECK(std::string(error.what()).find("efficientnet_b0.drop_path") != std::string::npos);
    }
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor pictures = torch::randn({1, 3, 64, 64});
  const auto twice_the_same = [&](const std::string& numbers) {
    const std::shared_ptr<ImageBackbone> backbone = make(numbers);
    torch::manual_seed(33);
    const torch::Tensor once = backbone->forward(pictures);
    torch::manual_seed(34);
    return torch::equal(once, backbone->forward(pictures));
  };
  CHECK(twice_the_same("efficientnet_b0.drop_path=0"));
  CHECK_FALSE(twice_the_same("efficientnet_b0.drop_path=0.9"));
}

TEST_CASE("a file of torchvision's EfficientNet fills the image backbone but for its neck", "[bevfusion][weights]") {
  const testing::TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "efficientnet_b0.pth";
  const Json state = reference("efficientnet_b0").at("state");
  c10::Dict<std::string, torch::Tensor> theirs;
  for (const Json& entry : state) {
    const auto sizes = entry.at("sizes").get<std::vector<std::int64_t>>();
    theirs.insert(entry.at("name").get<std::string>(), sizes.empty() ? torch::tensor(std::int64_t{7}) : torch::rand(sizes));
  }
  const std::vector<char> bytes = torch::pickle_save(theirs);
  std::ofstream(file, std::ios::binary) << std::string(bytes.begin(), bytes.end());
  ModelConfig config = tiny_model();
  config.image_backbone = "efficientnet_b0";
  BevFusion model(config);
  StateFile in(file);
  const InitReport report = init_from(in, NameMap(folder_of_maps / "torchvision_efficientnet_b0.names"), *model, "images.");
  CHECK(report.mismatched.empty());
  CHECK(report.unmatched.size() == 2);
  CHECK(report.matched.size() == state.size() - 2);
  REQUIRE_FALSE(report.unfilled.empty());
  for (const std::string& name : report.unfilled) {
    CHECK(name.rfind("images.neck.", 0) == 0);
  }
}

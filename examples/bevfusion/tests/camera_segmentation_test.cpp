// SPDX-License-Identifier: Apache-2.0
// Camera segmentation as a task: its head counted by hand, loss and figures by hand, labels against pictures that show them, what
// it shares with the other tasks in weights by hand, and a network that learns it.
#include <algorithm>
#include <any>
#include <array>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/camera/conv_backbone.hpp"
#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/gallery.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/heads/pixel_head.hpp"
#include "bevfusion/losses/pixel_loss.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/camera_masks.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tasks/pixel_figures.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "bevfusion/training/tower_trainer.hpp"
#include "bevfusion/training/trainer.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::refusal;

const std::string task_name = "camera_segmentation";

/// Two scenes of a driver for training, four samples each, and one for validation; pictures without loss.
struct MaskedData {
  MaskedData() {
    SynthOptions options = SynthOptions::tiny();
    options.out = folder.path();
    options.scenes = 3;
    options.samples = 4;
    options.sweeps = 1;
    options.seed = 23;
    options.supersample = 1;
    options.jpeg_quality = 0;
    options.validation_scenes = 1;
    options.driving = true;
    generate(options);
    tables = read_tables(folder.path(), options.version);
    training = samples_of_split(tables, "train").rows;
  }
  static const MaskedData& get() {
    static const MaskedData data;
    return data;
  }
  bevfusion::testing::TemporaryFolder folder;
  Tables tables;
  std::vector<RowIndex> training;
};

/// Cameras alone, with these tasks and no calibration.
RunConfig camera_config(const std::vector<std::string>& tasks) {
  RunConfig config = run_of_size("tiny");
  config.data.root = MaskedData::get().folder.path();
  config.loading.sweeps = 1;
  config.training.batch = 2;
  config.training.evaluate_every = 0;
  config.model.parts.lidar = false;
  config.model.parts.tasks["detection"] = config.model.parts.tasks["segmentation"] = false;
  for (const std::string& task : tasks) {
    config.model.parts.tasks[task] = true;
  }
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  complete(config);
  return config;
}

std::int64_t parameters_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    count += parameter.numel();
  }
  return count;
}

double figure(const EvaluationFigures& figures) {
  for (const auto& one : figures.tasks) {
    if (one.first == task_name) {
      return one.second->headline().at(0).second;
    }
  }
  throw std::out_of_range(task_name);
}

torch::Tensor flat(const std::vector<torch::Tensor>& gradients, const std::vector<torch::Tensor>& like) {
  std::vector<torch::Tensor> parts;
  for (std::size_t k = 0; k < like.size(); ++k) {
    parts.push_back((gradients[k].defined() ? gradients[k] : torch::zeros_like(like[k])).to(torch::kDouble).flatten());
  }
  return torch::cat(parts);
}

}  // namespace

TEST_CASE("the decoder of pixels has the parameters counted by hand", "[bevfusion][masks]") {
  // From 48 channels at stride 8 and 32 at stride 4: 1 x 1 from 80 to 32, 3 x 3 from 32 to 32, norms of 2 x 32, then 12 classes.
  ConvBackbone tiny;
  PixelHead head(tiny.levels(), 32, 12);
  CHECK(parameters_of(*head) == (80 * 32 + 64) + (32 * 32 * 9 + 64) + (32 * 12 + 12));
  CHECK(parameters_of(*PixelHead(std::vector<ImageLevel>{{6, 8}}, 4, 3)) == 6 * 4 * 9 + 8 + 4 * 3 + 3);
  // Of Swin-T: 96 channels of the first stage, 256 of the neck.
  ModelConfig config;
  const auto full = kinds().image_backbones.make("swin", config);
  CHECK(parameters_of(*PixelHead(full->levels(), 32, 12)) == (352 * 32 + 64) + (32 * 32 * 9 + 64) + (32 * 12 + 12));

  tiny.eval();
  const torch::Tensor images = torch::randn({2, 3, 32, 48});
  const std::vector<torch::Tensor> maps = tiny.forward_levels(images);
  REQUIRE(maps.size() == 2);
  CHECK(maps[0].sizes() == torch::IntArrayRef({2, 32, 8, 12}));
  CHECK(torch::equal(maps[1], tiny.forward(images)));
  CHECK(head->forward(maps).sizes() == torch::IntArrayRef({2, 12, 8, 12}));
  config.swin.embedding = 12;
  config.swin.heads = {2, 2, 4, 4};
  config.swin.window = 4;
  config.neck = 16;
  const auto swin = kinds().image_backbones.make("swin", config);
  swin->eval();
  const std::vector<torch::Tensor> of_swin = swin->forward_levels(torch::ones({1, 3, 64, 96}));
  CHECK(of_swin[0].sizes() == torch::IntArrayRef({1, 12, 16, 24}));
  CHECK(torch::equal(of_swin[1], swin->forward(torch::ones({1, 3, 64, 96}))));
  CHECK(swin->levels()[0].channels == 12);
}

TEST_CASE("the loss of pixels is binary cross entropy and Dice over labelled pixels, by hand", "[bevfusion][masks]") {
  torch::manual_seed(2);
  const torch::Tensor logits = torch::randn({2, 3, 2, 2});
  const torch::Tensor classes = torch::tensor({0, 1, 2, 2, 255, 0, 1, 255}, torch::kByte).view({2, 2, 2});
  double entropy = 0, both = 0, said = 0, known = 0;
  for (std::int64_t n = 0; n < 2; ++n) {
    for (std::int64_t y = 0; y < 2; ++y) {
      for (std::int64_t x = 0; x < 2; ++x) {
        const auto label = classes[n][y][x].item<std::int64_t>();
        for (std::int64_t k = 0; label != 255 && k < 3; ++k) {
          const double p = 1 / (1 + std::exp(-logits[n][k][y][x].item<double>()));
          entropy -= k == label ? std::log(p) : std::log(1 - p);
          both += k == label ? p : 0;
          said += p;
          known += k == label ? 1 : 0;
        }
      }
    }
  }
  REQUIRE(known == 6);
  CHECK(pixel_loss(logits, classes).item<double>() == Approx(entropy / 18 + 1 - 2 * both / (said + 6)).epsilon(1e-6));
  // Surely right: nothing is left. What is not labelled counts for nothing.
  const torch::Tensor right = torch::full({2, 3, 2, 2}, -40.0);
  for (const auto& [n, k, y, x] : std::vector<std::array<std::int64_t, 4>>{
           {0, 0, 0, 0}, {0, 1, 0, 1}, {0, 2, 1, 0}, {0, 2, 1, 1}, {1, 0, 0, 1}, {1, 1, 1, 0}}) {
    right[n][k][y][x] = 40;
  }
  CHECK(pixel_loss(right, classes).item<double>() == Approx(0).margin(1e-6));
  right[1].select(1, 0).select(1, 0).fill_(40);
  CHECK(pixel_loss(right, classes).item<double>() == Approx(0).margin(1e-6));
}

TEST_CASE("IoU of pixels by a confusion matrix counted by hand", "[bevfusion][masks]") {
  TaskSheet sheet;
  sheet.name = task_name;
  sheet.figures = {{"camera_mIoU", "camera mIoU"}};
  const auto of = [&] { return PixelFigures(sheet, {"a", "b", "c", "d"}); };
  const auto said = [](const std::vector<int>& truth, const std::vector<int>& predicted) {
    const auto bytes = [](const std::vector<int>& values) {
      return torch::tensor(values, torch::kByte).view({1, 2, static_cast<std::int64_t>(values.size()) / 2});
    };
    SamplePrediction one;
    one.said[task_name] = PixelPrediction{bytes(predicted), truth.empty() ? torch::Tensor() : bytes(truth)};
    return one;
  };
  PixelFigures figures = of();
  CHECK(std::isnan(figures.headline().at(0).second));
  figures.add(said({}, {1, 1}));
  CHECK(std::isnan(figures.headline().at(0).second));
  figures.add(said({0, 0, 0, 1, 1, 255}, {0, 0, 1, 1, 3, 2}));
  PixelFigures more = of();
  more.add(said({0, 2}, {2, 2}));
  figures.take(more.given().value());
  // a: 2 of 4, no other called so; b: 1 found, 1 missed, 1 too much; c: 1 found, 1 too much; d: in no label, and called once.
  CHECK(figures.count(0, 0) == 2);
  CHECK(figures.count(1, 3) == 1);
  CHECK(figures.iou(0) == Approx(2.0 / 4));
  CHECK(figures.iou(1) == Approx(1.0 / 3));
  CHECK(figures.iou(2) == Approx(1.0 / 2));
  CHECK(std::isnan(figures.iou(3)));
  CHECK(figures.headline().at(0).second == Approx((0.5 + 1.0 / 3 + 0.5) / 3));
  nlohmann::ordered_json json;
  figures.add_details(json);
  CHECK(json.at(task_name).at("b").at("share").get<double>() == Approx(2.0 / 7));
  CHECK(json.at(task_name).count("d") == 0);
  CHECK_THROWS_AS(figures.take(PixelFigures(sheet, {"a"}).given().value()), std::invalid_argument);
}

TEST_CASE("labels of pixels lie on the network's pictures, through every augmentation", "[bevfusion][masks]") {
  const MaskedData& data = MaskedData::get();
  // Masks of a sample replaced by blocks of 12 pixels, its pictures by ones that show them: 20 times the class, as grey.
  const KeyFrame frame = key_frame_of(data.tables, 2);
  Random random({31});
  std::vector<std::pair<std::filesystem::path, std::vector<std::uint8_t>>> kept;
  for (const CameraFrame& camera : frame.cameras) {
    const std::filesystem::path file = mask_file_of(data.folder.path(), camera.file);
    kept.emplace_back(camera.file, read_bytes(camera.file));
    kept.emplace_back(file, read_bytes(file));
    GreyImage mask(camera.view.width, camera.view.height);
    Image shown(mask.width, mask.height);
    for (int top = 0; top < mask.height; top += 12) {
      for (int left = 0; left < mask.width; left += 12) {
        const auto block = static_cast<std::uint8_t>(random.integer(0, 11));
        for (int y = top; y < std::min(top + 12, mask.height); ++y) {
          for (int x = left; x < std::min(left + 12, mask.width); ++x) {
            mask.at(x, y) = block;
            const auto grey = static_cast<std::uint8_t>(20 * block);
            shown.set(x, y, {grey, grey, grey});
          }
        }
      }
    }
    write_png(file, mask);
    const std::vector<std::uint8_t> bytes = encode_ppm(shown);
    write_bytes(camera.file, bytes.data(), bytes.size());
  }
  const RunConfig config = camera_config({task_name});
  LoadingOptions loading = config.loading;
  loading.image.rotation = 15;
  for (const bool augment : {false, true}) {
    loading.augment = augment;
    const SampleLoader loader(data.tables, loading);
    int compared = 0;
    int beyond = 0;
    for (std::uint64_t epoch = 0; epoch < (augment ? 6U : 1U); ++epoch) {
      const TrainingSample sample = loader.load(2, epoch);
      const torch::Tensor labels = kinds().tasks.at(task_name)->labels({data.tables, 2, sample});
      REQUIRE(labels.sizes() == torch::IntArrayRef({6, 64, 176}));
      const auto label = labels.accessor<std::uint8_t, 3>();
      for (std::int64_t c = 0; c < 6; ++c) {
        const Image& picture = sample.cameras[static_cast<std::size_t>(c)].image;
        for (std::int64_t y = 0; y < 64; ++y) {
          for (std::int64_t x = 0; x < 176; ++x) {
            beyond += label[c][y][x] == no_pixel_class ? 1 : 0;
            bool even = y > 1 && x > 1 && y < 62 && x < 174;  // as far as a pixel of the picture may mix
            for (std::int64_t j = -2; even && j <= 2; ++j) {
              for (std::int64_t i = -2; even && i <= 2; ++i) {
                even = label[c][y + j][x + i] == label[c][y][x] && label[c][y][x] != no_pixel_class;
              }
            }
            if (even) {
              REQUIRE(picture.pixel(static_cast<int>(x), static_cast<int>(y))[1] == 20 * label[c][y][x]);
              ++compared;
            }
          }
        }
      }
    }
    CHECK(compared > 10000);
    CHECK((beyond > 0) == augment);
  }
  for (const auto& [file, bytes] : kept) {
    write_bytes(file, bytes.data(), bytes.size());
  }
}

TEST_CASE("weights with a task in the pictures are those of a Gram matrix by hand", "[bevfusion][masks]") {
  for (const std::string surface : {"last_shared", "representation", "all_shared"}) {
    INFO(surface);
    RunConfig config = camera_config({"segmentation", task_name});
    config.model.segmentation.dropout = 0;
    config.calibration.rule = "imtl_g";
    config.calibration.surface = surface;
    config.calibration.apply_to = "all";
    check(config);
    Network network = make_network(config);
    network->to(torch::kDouble);
    BevFusion tower = network->towers().front();
    const TrainingData data(MaskedData::get().tables, MaskedData::get().training, config, network->tasks());
    const TrainingBatch batch = data.load(0, 0);
    ModelInput input = batch.batch.input;
    input.images = input.images.to(torch::kDouble);

    std::vector<torch::Tensor> pictures;
    const torch::Tensor z = tower->fuse(tower->branches(input, {}, &pictures));
    REQUIRE(pictures.size() == 2);
    REQUIRE(pictures[1].scalar_type() == torch::kDouble);
    const std::vector<torch::Tensor> losses =
        task_losses(tower, labelled_outputs(tower, {SharedFeatures(z, pictures)}, input, batch), batch, config);
    REQUIRE(losses.size() == 2);
    std::vector<torch::Tensor> compared;
    const auto images = [&] { return tower->named_children()["images"]->parameters(); };
    if (surface == "last_shared") {
      compared = tower->last_shared_of_all(false);
      REQUIRE(compared.size() == 2);
      CHECK(compared[0].is_same(tower->last_shared()));
      CHECK(compared[1].is_same(*(images().end() - 3)));  // the last block's weight, then its norm's two
    } else if (surface == "all_shared") {
      for (const auto& child : tower->named_children()) {  // everything upstream of what is forked
        const std::vector<torch::Tensor> own = child.value()->parameters();
        if (child.key() != "segmentation" && child.key() != task_name) {
          compared.insert(compared.end(), own.begin(), own.end());
        }
      }
    } else {
      compared = {z, pictures[0], pictures[1]};
    }
    const std::vector<torch::Tensor> trained = images();
    std::vector<torch::Tensor> gradients;
    std::vector<torch::Tensor> of_images;
    for (const torch::Tensor& loss : losses) {
      // Of the outputs alone, where they are compared: a picture's map also reaches the shared one.
      std::vector<torch::Tensor> wanted = compared;
      if (surface == "representation") {
        wanted = loss.is_same(losses[0]) ? std::vector<torch::Tensor>{z} : std::vector<torch::Tensor>{pictures[0], pictures[1]};
      }
      std::vector<torch::Tensor> own = torch::autograd::grad({loss}, wanted, {}, true, false, true);
      if (surface == "representation") {
        own =
            loss.is_same(losses[0]) ? std::vector<torch::Tensor>{own[0], {}, {}} : std::vector<torch::Tensor>{{}, own[0], own[1]};
      }
      gradients.push_back(flat(own, compared));
      of_images.push_back(flat(torch::autograd::grad({loss}, trained, {}, true, false, true), trained));
    }
    const torch::Tensor stacked = torch::stack(gradients);
    const torch::Tensor gram = stacked.matmul(stacked.t());
    const double n0 = std::sqrt(gram[0][0].item<double>());
    const double n1 = std::sqrt(gram[1][1].item<double>());
    REQUIRE((n0 > 0 && n1 > 0));
    const double w0 = n1 / (n0 + n1);  // IMTL-G of two tasks: equal projections
    const double w1 = n0 / (n0 + n1);

    TowerTrainer trainer(tower, config);
    trainer.backward(input, batch, 1);
    const fuller::Diagnostics seen = trainer.diagnostics().value();
    CHECK(seen.norms[0] == Approx(n0).epsilon(1e-9));
    CHECK(seen.norms[1] == Approx(n1).epsilon(1e-9));
    CHECK(seen.cosines[1] == Approx(gram[0][1].item<double>() / (n0 * n1)).margin(1e-9));
    CHECK(seen.weights[0] == Approx(w0).epsilon(1e-9));
    CHECK(seen.weights[1] == Approx(w1).epsilon(1e-9));
    if (surface == "representation") {
      CHECK(seen.cosines[1] == 0);  // what one task reads the other does not
    } else {
      CHECK(std::abs(seen.cosines[1]) > 1e-6);
    }
    const torch::Tensor expected = w0 * of_images[0] + w1 * of_images[1];
    std::vector<torch::Tensor> arrived;
    for (const torch::Tensor& parameter : trained) {
      arrived.push_back(parameter.grad());
    }
    CHECK((flat(arrived, trained) - expected).norm().item<double>() < 1e-9 * expected.norm().item<double>());
  }
}

TEST_CASE("pixels are learnt beside a driver's tasks, with gates and a sensor lost", "[bevfusion][masks]") {
  RunConfig config = camera_config({"waypoints", "speed", "segmentation", task_name});
  config.model.parts.lidar = true;
  config.calibration = run_of_size("tiny").calibration;
  config.training.epochs = 2;
  config.training.modality_dropout = 0.4;
  config.distillation.twins = task_name;  // a network of its own, without LiDAR, also where that is what a batch lacks
  complete(config);
  check(config);
  REQUIRE(config.calibration.gate != "none");
  const MaskedData& data = MaskedData::get();
  Network network = make_network(config);
  const bevfusion::testing::TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  CHECK(Trainer(config, network, data.tables, data.training, options).run().finished);
  // An evaluation without cameras goes by zeros in the place of their maps.
  SensorFailure failure;
  failure.modalities = {"camera"};
  int samples = 0;
  predict(
      network, data.tables, {data.training.front()}, config,
      [&](const SamplePrediction& one) {
        const auto* const said = one.of<PixelPrediction>(task_name);
        REQUIRE(said != nullptr);
        CHECK(said->truth.defined());
        CHECK(said->predicted.sizes() == torch::IntArrayRef({6, 64, 176}));
        ++samples;
      },
      failure);
  CHECK(samples == 1);
}

TEST_CASE("a network learns what pixels show, far beyond a constant guess", "[bevfusion][masks]") {
  RunConfig config = camera_config({task_name});
  config.training.epochs = 8;
  config.training.learning_rate = 4e-3;
  config.loading.augment = false;
  check(config);
  const MaskedData& data = MaskedData::get();
  Network network = make_network(config);
  // The image backbone and the decoder are all there is.
  for (const auto& child : network->towers().front()->named_children()) {
    CHECK((child.key() == "images" || child.key() == task_name));
  }
  const bevfusion::testing::TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  CHECK(Trainer(config, network, data.tables, data.training, options).run().finished);
  Network read = make_network(config);
  load_network(folder.path() / "checkpoint.pt", read);
  const EvaluationFigures after = evaluate(read, data.tables, data.training, config);
  nlohmann::ordered_json json;
  after.tasks.front().second->add_details(json);
  double most = 0;
  for (const auto& [name, of_class] : json.at(task_name).items()) {
    most = std::max(most, of_class.at("share").get<double>());
  }
  // A guess of the most frequent class everywhere has its share as that class's IoU, and 0 of the others.
  const double constant = most / static_cast<double>(json.at(task_name).size());
  INFO("constant " << constant);
  CHECK(figure(after) > 2 * constant);

  // On a page of pictures: the six, above as annotated, below as predicted.
  GalleryOptions gallery_options;
  gallery_options.out = folder.path();
  gallery_options.width = 88;
  Gallery gallery(gallery_options, data.tables, config);
  predict(read, data.tables, {data.training.front()}, config, [&](const SamplePrediction& one) { gallery.add(one); });
  gallery.write();
  int painted = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    painted += has(entry.path().filename().string(), "_pixels.png") ? 1 : 0;
  }
  CHECK(painted == 1);
}

TEST_CASE("camera segmentation is refused where it cannot be, with the way out", "[bevfusion][masks]") {
  RunConfig config = camera_config({task_name});
  config.model.parts.lidar = true;
  CHECK(has(refusal<std::exception>([&] { check(config); }), "model.parts.lidar"));
  config = camera_config({"speed", task_name});
  config.model.parts.lidar = true;
  config.model.parts.camera = false;
  CHECK(has(refusal<std::exception>([&] { check(config); }), "model.parts.camera_segmentation is on"));

  config.model.parts.camera = true;
  config.distillation.twins = task_name;
  config.distillation.twins_share = "trunk";
  CHECK(has(refusal<std::exception>([&] { check(config); }), "distillation.twins_share"));

  // Data without masks: nothing to learn from; what is predicted can still be.
  const bevfusion::testing::TemporaryFolder folder;
  SynthOptions options = SynthOptions::tiny();
  options.out = folder.path();
  options.scenes = 1;
  options.samples = 1;
  options.sweeps = 0;
  options.supersample = 1;
  options.validation_scenes = 0;
  generate(options);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "camera_masks"));
  const Tables tables = read_tables(folder.path(), options.version);
  config = camera_config({task_name});
  config.data.root = folder.path();
  Network network = make_network(config);
  const std::string none = refusal<std::exception>([&] { const TrainingData data(tables, {0}, config, network->tasks()); });
  CHECK(has(none, "camera_masks"));
  CHECK(has(none, "bevfusion synth --driving"));
  const EvaluationFigures figures = evaluate(network, tables, {0}, config);
  CHECK(std::isnan(figure(figures)));

  // A head that is given the shared map alone.
  BevFusion tower = make_network(camera_config({"speed", task_name}))->towers().front();
  CHECK(has(refusal<std::exception>([&] { tower->say(task_name, torch::zeros({1, 1, 1, 1})); }), "branches()"));
}

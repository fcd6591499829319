// SPDX-License-Identifier: Apache-2.0
// What the trainer is made of: schedule, samplers, loss scale, checksum, event files, targets.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/losses/foreground_target.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/training/class_balance.hpp"
#include "bevfusion/training/crc32c.hpp"
#include "bevfusion/training/event_file.hpp"
#include "bevfusion/training/loss_scale.hpp"
#include "bevfusion/training/one_cycle.hpp"
#include "bevfusion/training/optimizer_choice.hpp"
#include "bevfusion/training/sampler.hpp"
#include "bevfusion/training/step_record.hpp"
#include "support/catch.hpp"

namespace {

TEST_CASE("the one-cycle schedule has OpenPCDet's values", "[bevfusion][training]") {
  bevfusion::TrainingConfig config;
  config.learning_rate = 1e-3;
  config.warm_up = 0.4;
  config.initial_divisor = 10;
  config.final_divisor = 1e5;
  // 10 steps: 4 rise, 6 fall. A half cosine is at 0, (2 - sqrt 2)/4, 1/2, (2 + sqrt 2)/4 of its way after 0, 1, 2, 3 quarters,
  // and at 1/4, 1/2, 3/4 after 2, 3, 4 sixths.
  const auto at = [&config](std::int64_t step) { return bevfusion::one_cycle(config, step, 10); };
  CHECK(at(0).learning_rate == Approx(1e-4));
  CHECK(at(0).beta1 == Approx(0.95));
  CHECK(at(1).learning_rate == Approx(1e-4 + 9e-4 * (2 - std::sqrt(2.0)) / 4));
  CHECK(at(2).learning_rate == Approx(5.5e-4));
  CHECK(at(2).beta1 == Approx(0.90));
  CHECK(at(3).learning_rate == Approx(1e-4 + 9e-4 * (2 + std::sqrt(2.0)) / 4));
  CHECK(at(4).learning_rate == Approx(1e-3));
  CHECK(at(4).beta1 == Approx(0.85));
  CHECK(at(6).learning_rate == Approx(1e-3 - (1e-3 - 1e-8) / 4));
  CHECK(at(7).learning_rate == Approx((1e-3 + 1e-8) / 2));
  CHECK(at(7).beta1 == Approx(0.90));
  CHECK(at(8).learning_rate == Approx(1e-3 - (1e-3 - 1e-8) * 3 / 4));
  CHECK(at(9).learning_rate > 1e-8);
}

TEST_CASE("a schedule of one step, and one without a rise, start at the largest learning rate", "[bevfusion][training]") {
  bevfusion::TrainingConfig config;
  CHECK(bevfusion::one_cycle(config, 0, 1).learning_rate == Approx(config.learning_rate));
  config.warm_up = 0;
  CHECK(bevfusion::one_cycle(config, 0, 8).learning_rate == Approx(config.learning_rate));
  config.warm_up = 1;  // nothing but the rise
  CHECK(bevfusion::one_cycle(config, 4, 8).learning_rate == Approx(config.learning_rate * (1 + 0.1) / 2));
}

TEST_CASE("an epoch's batches hold every sample once, in an order of the epoch's own", "[bevfusion][training]") {
  const bevfusion::Sampler sampler(11, 4, 5);
  REQUIRE(sampler.batches() == 3);
  const auto order_of = [&sampler](std::int64_t epoch) {
    std::vector<std::size_t> order;
    for (std::size_t k = 0; k < sampler.batches(); ++k) {
      const auto batch = sampler.batch(epoch, k);
      CHECK(batch.size() == (k < 2 ? 4 : 3));
      order.insert(order.end(), batch.begin(), batch.end());
    }
    return order;
  };
  const auto first = order_of(0);
  CHECK(std::set<std::size_t>(first.begin(), first.end()).size() == 11);
  CHECK(*std::max_element(first.begin(), first.end()) == 10);
  CHECK(first == order_of(0));
  CHECK(first != order_of(1));
  CHECK(bevfusion::Sampler(11, 4, 6).batch(0, 0) != sampler.batch(0, 0));
  CHECK_THROWS_AS(bevfusion::Sampler(0, 4, 5), std::invalid_argument);
}

TEST_CASE("batches of one group each hold every sample once, the groups mixed over the epoch", "[bevfusion][training]") {
  std::vector<std::size_t> group_of(23, 0);
  for (std::size_t sample = 1; sample < 23; sample += 3) {
    group_of[sample] = 1;  // 8 of them: 4, 4; the 15 others: 4, 4, 4, 3
  }
  const bevfusion::Sampler sampler(group_of, 4, 5);
  REQUIRE(sampler.batches() == 6);
  std::set<std::string> orders;
  for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
    std::set<std::size_t> seen;
    std::string order;
    for (std::size_t k = 0; k < 6; ++k) {
      const auto batch = sampler.batch(epoch, k);
      REQUIRE_FALSE(batch.empty());
      for (const std::size_t sample : batch) {
        CHECK(group_of[sample] == group_of[batch.front()]);
        CHECK(seen.insert(sample).second);
      }
      order += group_of[batch.front()] == 0 ? 'a' : 'b';
    }
    CHECK(seen.size() == 23);
    orders.insert(order);
  }
  CHECK(orders.size() > 3);  // of 15 that there are
  CHECK(bevfusion::Sampler(std::vector<std::size_t>(11, 0), 4, 5).batch(2, 1) == bevfusion::Sampler(11, 4, 5).batch(2, 1));
}

TEST_CASE("SGD's momentum follows the schedule", "[bevfusion][training]") {
  bevfusion::TrainingConfig config;
  config.optimizer = "sgd";
  config.weight_decay = 0.1;
  torch::Tensor weight = torch::full({1}, 2.0, torch::kDouble).requires_grad_();
  const auto optimizer = bevfusion::make_optimizer({weight}, config);
  const auto step = [&](double gradient, double rate, double momentum) {
    weight.mutable_grad() = torch::full({1}, gradient, torch::kDouble);
    bevfusion::follow(*optimizer, {rate, momentum}, config);
    optimizer->step();
    return weight.item<double>();
  };
  // b = g + 0.1 w; then b <- m b + (g + 0.1 w); w <- w - r b.
  CHECK(step(3, 0.5, 0.9) == Approx(2 - 0.5 * 3.2));
  CHECK(step(1, 0.25, 0.8) == Approx(0.4 - 0.25 * (0.8 * 3.2 + 1.04)));
}

TEST_CASE("resampling draws equally often from each class's samples", "[bevfusion][training]") {
  // Class 0 in samples 0 to 7, class 2 in 7 and 8, class 3 in 9; class 1 and sample 10 have nothing. 11 appearances, 3 classes.
  std::vector<std::vector<std::size_t>> classes(11);
  for (std::size_t sample = 0; sample < 8; ++sample) {
    classes[sample].push_back(0);
  }
  classes[7].push_back(2);
  classes[8].push_back(2);
  classes[9].push_back(3);
  const auto drawn = bevfusion::class_balanced(classes, 5);
  REQUIRE(drawn.size() == 9);  // int(11 / 3) = 3 draws for each class, class after class
  for (std::size_t k = 0; k < 9; ++k) {
    CHECK((k < 3 ? drawn[k] < 8 : k < 6 ? drawn[k] == 7 || drawn[k] == 8 : drawn[k] == 9));
  }
  CHECK(drawn == bevfusion::class_balanced(classes, 5));
  // With replacement and evenly: over many seeds each of class 0's samples comes 3/8 of the time on average.
  std::map<std::size_t, int> seen;
  bool repeated = false;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    const auto once = bevfusion::class_balanced(classes, seed);
    repeated = repeated || once[0] == once[1];
    for (std::size_t k = 0; k < 3; ++k) {
      ++seen[once[k]];
    }
  }
  CHECK(repeated);
  for (std::size_t sample = 0; sample < 8; ++sample) {
    CHECK(seen[sample] == Approx(1500).epsilon(0.15));  // four standard deviations of 36 are a tenth
  }
  CHECK_THROWS_AS(bevfusion::class_balanced({{}, {}}, 1), std::invalid_argument);
}

TEST_CASE("a shuffle prefers no order", "[bevfusion][training]") {
  // All 24 orders of 4 are equally likely: chi square with 23 degrees of freedom is below 58 with probability 0.9999.
  std::map<std::vector<std::size_t>, int> seen;
  constexpr int draws = 24000;
  for (std::uint64_t key = 0; key < draws; ++key) {
    ++seen[bevfusion::shuffled(4, {key, 99})];
  }
  REQUIRE(seen.size() == 24);
  double chi_square = 0;
  for (const auto& entry : seen) {
    chi_square += std::pow(entry.second - draws / 24, 2) / (draws / 24);
  }
  CHECK(chi_square < 58);
}

TEST_CASE("labels are parted 3 : 1 and 1 : 1", "[bevfusion][training]") {
  const auto count = [](const std::vector<bevfusion::SampleLabels>& labels) {
    std::pair<int, int> counts;
    for (const auto& label : labels) {
      CHECK(label.detection != label.segmentation);
      counts.first += label.detection ? 1 : 0;
      counts.second += label.segmentation ? 1 : 0;
    }
    return counts;
  };
  CHECK(count(bevfusion::assign_labels(40, "disjoint_normal", 1)) == std::make_pair(30, 10));
  CHECK(count(bevfusion::assign_labels(40, "disjoint_balance", 1)) == std::make_pair(20, 20));
  CHECK(count(bevfusion::assign_labels(7, "disjoint_normal", 1)) == std::make_pair(6, 1));
  for (const auto& label : bevfusion::assign_labels(5, "full", 1)) {
    CHECK((label.detection && label.segmentation));
  }
  const auto same = [](const auto& a, const auto& b) {
    return std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) { return x.detection == y.detection; });
  };
  CHECK(same(bevfusion::assign_labels(40, "disjoint_balance", 1), bevfusion::assign_labels(40, "disjoint_balance", 1)));
  CHECK_FALSE(same(bevfusion::assign_labels(40, "disjoint_balance", 1), bevfusion::assign_labels(40, "disjoint_balance", 2)));
  CHECK_THROWS_AS(bevfusion::assign_labels(5, "half", 1), std::invalid_argument);
}

TEST_CASE("the loss scale halves after an overflow and doubles after a good while", "[bevfusion][training]") {
  const torch::Tensor parameter = torch::ones({1}).requires_grad_();
  torch::optim::SGD optimizer({parameter}, 0.0);
  fuller::GradScaler scaler = bevfusion::loss_scaler(true);
  const auto steps = [&](int count, double gradient) {
    for (int i = 0; i < count; ++i) {
      static_cast<void>(scaler.scale(torch::ones({})));
      parameter.mutable_grad() = torch::full({1}, gradient);
      scaler.step(optimizer);
      scaler.update();
    }
  };
  CHECK(scaler.get_scale() == 65536);
  steps(1, INFINITY);
  CHECK(scaler.get_scale() == 32768);
  steps(1999, 1);
  CHECK(scaler.get_scale() == 32768);
  steps(1, 1);
  CHECK(scaler.get_scale() == 65536);
  steps(100, NAN);
  CHECK(scaler.get_scale() == 1);
  scaler.update(16777216.0);
  steps(2000, 1);
  CHECK(scaler.get_scale() == 16777216);
  CHECK(bevfusion::loss_scaler(false).get_scale() == 1);
}

TEST_CASE("a checkpoint's loss scale is taken over, whichever program has written it", "[bevfusion][training]") {
  fuller::GradScaler scaler = bevfusion::loss_scaler(true);
  CHECK(bevfusion::load_loss_scale(scaler, torch::tensor({4096.0, 17.0, 3.0}, torch::kDouble)) == 3);
  CHECK(scaler.get_scale() == 4096);
  CHECK(scaler.finite_steps() == 17);
  CHECK(bevfusion::saved_loss_scale(scaler, 3).equal(torch::tensor({4096.0, 17.0, 3.0}, torch::kDouble)));
  CHECK_THROWS_AS(bevfusion::load_loss_scale(scaler, torch::zeros({2})), std::runtime_error);
  CHECK_THROWS_AS(bevfusion::load_loss_scale(scaler, torch::zeros({3}, torch::kDouble)), fuller::Error);
  fuller::GradScaler off = bevfusion::loss_scaler(false);
  CHECK(bevfusion::load_loss_scale(off, torch::tensor({1.0, 0.0, 0.0}, torch::kDouble)) == 0);
  CHECK(off.get_scale() == 1);
}

TEST_CASE("gammas have the papers' direction, detection over segmentation and LiDAR over camera", "[bevfusion][training]") {
  fuller::Diagnostics seen;
  seen.tasks = {"detection", "segmentation"};
  seen.norms = {1, 4};
  seen.weights = {0.5, 0.25};
  seen.cosines = {1, 0, 0, 1};
  seen.gamma_task = 4;  // the library's: largest over smallest
  seen.modalities = {"camera", "lidar"};
  seen.branch_norms = {8, 2};
  seen.gates = {0.7, 1};
  seen.gamma_modal = 4;
  bevfusion::StepRecord record;
  record.add(seen, true);
  CHECK(record.gamma_task == 0.25);
  CHECK(record.gamma_task_weighted == 0.5);
  CHECK(std::isnan(record.gamma_task_spread));
  CHECK(record.gamma_modal == 0.25);
  CHECK(record.branch_norms == bevfusion::NamedValues{{"camera", 8}, {"lidar", 2}});
  CHECK(record.json().find("\"gamma_modal\":0.25,\"branch_norms\":{\"camera\":8.0,\"lidar\":2.0}") != std::string::npos);
  const auto scalars = record.scalars();
  const auto scalar = [&scalars](const std::string& tag) {
    const auto found = std::find_if(scalars.begin(), scalars.end(), [&tag](const auto& one) { return one.first == tag; });
    return found == scalars.end() ? std::nan("") : found->second;
  };
  CHECK(scalar("calibration/branch_norm/lidar") == 2);
  CHECK(scalar("calibration/gamma_task") == 0.25);

  // An absent task has no norm, and so the pair no ratio.
  seen.norms[1] = fuller::Diagnostics::none;
  bevfusion::StepRecord alone;
  alone.add(seen, true);
  CHECK(std::isnan(alone.gamma_task));

  // Of three tasks: the named pair, and the spread of all.
  seen.tasks = {"detection", "segmentation", "foreground"};
  seen.norms = {1, 4, 10};
  seen.weights = {1, 1, 1};
  seen.gamma_task = 10;
  bevfusion::StepRecord three;
  three.add(seen, true);
  CHECK(three.gamma_task == 0.25);
  CHECK(three.gamma_task_spread == 10);

  // Towers have branches each.
  bevfusion::StepRecord towers;
  towers.add(seen, false, "detection");
  towers.add(seen, false, "segmentation");
  CHECK(std::isnan(towers.gamma_task));
  CHECK(std::isnan(towers.gamma_modal));
  CHECK(towers.branch_norms ==
        bevfusion::NamedValues{
            {"detection/camera", 8}, {"detection/lidar", 2}, {"segmentation/camera", 8}, {"segmentation/lidar", 2}});
}

TEST_CASE("gamma_task compares the first task with segmentation, or with the second", "[bevfusion][training]") {
  using Pair = std::pair<std::string, std::string>;
  CHECK(bevfusion::gamma_pair({"detection", "segmentation"}) == Pair{"detection", "segmentation"});
  CHECK(bevfusion::gamma_pair({"detection", "foreground"}) == Pair{"detection", "foreground"});
  CHECK(bevfusion::gamma_pair({"segmentation", "foreground"}) == Pair{"segmentation", "foreground"});
  CHECK(bevfusion::gamma_pair({"box", "classification", "velocity", "segmentation"}) == Pair{"box", "segmentation"});
  CHECK_FALSE(bevfusion::gamma_pair({"detection"}).has_value());
}

TEST_CASE("CRC-32C has its published check values", "[bevfusion][training]") {
  CHECK(bevfusion::crc32c("123456789") == 0xE3069283U);
  CHECK(bevfusion::crc32c("") == 0);
  CHECK(bevfusion::crc32c(std::string(32, '\0')) == 0x8A9136AAU);    // RFC 3720, B.4
  CHECK(bevfusion::crc32c(std::string(32, '\xFF')) == 0x62A8AB43U);  // likewise
  // ((crc >> 15) | (crc << 17)) + 0xa282ead8 of 0xE3069283, by hand: 0x2507C60D + 0xA282EAD8 (mod 2^32).
  CHECK(bevfusion::masked_crc32c("123456789") == 0xC78AB0E5U);
}

/// A reader of protobuf's wire format, apart from the writer.
struct Field {
  unsigned number = 0;
  unsigned type = 0;
  std::uint64_t integer = 0;  ///< of a varint, or the bits of a fixed number
  std::string text;
};

std::uint64_t read_varint(const std::string& bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    value += static_cast<std::uint64_t>(byte % 128) << shift;
    if (byte < 128) {
      return value;
    }
  }
}

std::uint64_t read_fixed(const std::string& bytes, std::size_t& at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;) {
    value = value * 256 + static_cast<unsigned char>(bytes.at(at + i));
  }
  at += size;
  return value;
}

std::vector<Field> fields_of(const std::string& message) {
  std::vector<Field> fields;
  for (std::size_t at = 0; at < message.size();) {
    const std::uint64_t key = read_varint(message, at);
    Field field{static_cast<unsigned>(key / 8), static_cast<unsigned>(key % 8), 0, ""};
    switch (field.type) {
      case 0:
        field.integer = read_varint(message, at);
        break;
      case 1:
        field.integer = read_fixed(message, at, 8);
        break;
      case 5:
        field.integer = read_fixed(message, at, 4);
        break;
      default: {
        REQUIRE(field.type == 2);
        const std::uint64_t length = read_varint(message, at);
        REQUIRE(at + length <= message.size());
        field.text = message.substr(at, length);
        at += length;
      }
    }
    fields.push_back(field);
  }
  return fields;
}

/// The records of a TFRecord file, their checksums verified.
std::vector<std::string> records_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::vector<std::string> records;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::string length_bytes = bytes.substr(at, 8);
    const std::uint64_t length = read_fixed(bytes, at, 8);
    CHECK(read_fixed(bytes, at, 4) == bevfusion::masked_crc32c(length_bytes));
    records.push_back(bytes.substr(at, length));
    at += length;
    CHECK(read_fixed(bytes, at, 4) == bevfusion::masked_crc32c(records.back()));
  }
  return records;
}

TEST_CASE("event files read back as TensorBoard reads them", "[bevfusion][training]") {
  const bevfusion::testing::TemporaryFolder folder;
  std::filesystem::path path;
  {
    bevfusion::EventFile file(folder.path(), 8);
    file.add(300, {{"loss/total", 1.5}, {"gradient/norm", -0.25}});
    path = file.path();
    const bevfusion::EventFile second(folder.path(), 9);
    CHECK(second.path() != path);
    CHECK(second.path() > path);
  }
  CHECK(path.filename().string().rfind("events.out.tfevents.", 0) == 0);
  const auto records = records_of(path);
  REQUIRE(records.size() == 3);
  const auto version = fields_of(records[0]);
  REQUIRE(version.size() == 3);
  CHECK((version[0].number == 1 && version[0].type == 1));  // wall_time, double
  CHECK((version[1].number == 2 && version[1].integer == 0));
  CHECK((version[2].number == 3 && version[2].text == "brain.Event:2"));
  const auto start = fields_of(records[1]);
  CHECK(start[1].integer == 8);
  CHECK((start[2].number == 7 && start[2].text == std::string("\x08\x01")));  // session_log { status: START }
  const auto event = fields_of(records[2]);
  REQUIRE(event.size() == 3);
  double wall_time = 0;
  std::memcpy(&wall_time, &event[0].integer, sizeof wall_time);
  CHECK(wall_time > 1.6e9);
  CHECK((event[1].number == 2 && event[1].integer == 300));
  CHECK(event[2].number == 5);
  const auto values = fields_of(event[2].text);
  REQUIRE(values.size() == 2);
  const auto expect_value = [](const Field& field, const std::string& tag, std::uint64_t bits) {
    CHECK((field.number == 1 && field.type == 2));
    const auto parts = fields_of(field.text);
    REQUIRE(parts.size() == 2);
    CHECK((parts[0].number == 1 && parts[0].text == tag));
    CHECK((parts[1].number == 2 && parts[1].type == 5 && parts[1].integer == bits));
  };
  expect_value(values[0], "loss/total", 0x3FC00000);     // 1.5F
  expect_value(values[1], "gradient/norm", 0xBE800000);  // -0.25F
}

TEST_CASE("foreground targets are the boxes' footprints in their masks", "[bevfusion][training]") {
  bevfusion::Box3D car;
  car.center = {4.0, -6.0, 0.0};
  car.size = {2.0, 4.0, 1.5};  // width along y, length along x
  bevfusion::Box3D walker = car;
  walker.center = {-3.5, 2.5, 0.0};
  walker.size = {0.5, 0.5, 1.8};
  walker.label = bevfusion::DetectionClass::pedestrian;
  // Cells of 1 m over +-10 m: the car covers x in [2, 6], y in [-7, -5], so the cells 12 ... 15 by 3 ... 4.
  const torch::Tensor target = bevfusion::foreground_target({{car, walker}, {}}, 3, {10, 20});
  REQUIRE(target.sizes() == at::IntArrayRef({2, 3, 20, 20}));
  torch::Tensor expected = torch::zeros({2, 3, 20, 20});
  expected[0][0].slice(0, 12, 16).slice(1, 3, 5).fill_(1);
  expected[0][1][6][12] = 1;
  CHECK(torch::equal(target, expected));
  CHECK_THROWS_AS(bevfusion::foreground_target({{car}}, 4, {10, 20}), std::invalid_argument);
}

}  // namespace

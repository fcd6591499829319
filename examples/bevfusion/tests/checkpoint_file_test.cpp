// SPDX-License-Identifier: Apache-2.0
// Checkpoints as files: names that TorchScript reads, checksums, the first format, disks that are full.
#include <csignal>
#include <fstream>
#include <map>
#include <sstream>

#include <sys/resource.h>

#include <torch/script.h>
#include <torch/torch.h>

#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/program_run.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/training/archive_file.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/trained_data.hpp"
#include "bevfusion/weights/state_file.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::testing::content_of;
using bevfusion::testing::refusal;
using bevfusion::testing::TemporaryFolder;

bevfusion::Network network_of_seed(std::uint64_t seed) {
  torch::manual_seed(seed);
  return bevfusion::Network(bevfusion::tiny_model());
}

using Tensors = std::map<std::string, torch::Tensor>;

Tensors tensors_of(const bevfusion::Network& network) {
  Tensors all;
  for (const auto& parameter : network->named_parameters()) {
    all[parameter.key()] = parameter.value();
  }
  for (const auto& buffer : network->named_buffers()) {
    all[buffer.key()] = buffer.value();
  }
  return all;
}

bool equal(const Tensors& a, const Tensors& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.first == y.first && torch::equal(x.second, y.second);
         });
}

/// As the first version of the program wrote checkpoints: tensors t0, t1, ... and a layout with their names; no checksum.
void write_first_format(const std::filesystem::path& file, const bevfusion::Network& network) {
  const auto bytes_of = [](const std::string& text) {
    return torch::tensor(std::vector<std::int64_t>(text.begin(), text.end())).to(torch::kByte);
  };
  torch::serialize::OutputArchive archive;
  torch::serialize::OutputArchive tensors(archive.compilation_unit());
  std::ostringstream layout;
  int number = 0;
  const auto write = [&](const std::string& name, const torch::Tensor& tensor) {
    layout << name << ' ' << tensor.sizes() << '\n';
    tensors.write("t" + std::to_string(number++), tensor.detach());
  };
  for (const auto& parameter : network->named_parameters()) {
    write(parameter.key(), parameter.value());
  }
  for (const auto& buffer : network->named_buffers()) {
    write(buffer.key(), buffer.value());
  }
  archive.write("format", bytes_of("fuller bevfusion checkpoint 1"));
  archive.write("layout", bytes_of(layout.str()));
  archive.write("network", tensors);
  archive.save_to(file.string());
}

TEST_CASE("a checkpoint's tensors have the network's names for every reader", "[bevfusion][training][checkpoint]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint.pt";
  const bevfusion::Network network = network_of_seed(1);
  bevfusion::save_checkpoint(file, network, {}, {}, torch::kCPU);
  // What Python's torch.jit.load does.
  const torch::jit::Module module = torch::jit::load(file.string()).attr("network").toModule();
  Tensors read;
  for (const auto& parameter : module.named_parameters()) {
    read[parameter.name] = parameter.value;
  }
  for (const auto& buffer : module.named_buffers()) {
    read[buffer.name] = buffer.value;
  }
  CHECK(equal(read, tensors_of(network)));
  bevfusion::StateFile state(file);
  const Tensors expected = tensors_of(network);
  REQUIRE(state.names().size() == expected.size());
  for (const std::string& name : state.names()) {
    REQUIRE(expected.count(name) == 1);
    CHECK(torch::equal(state.tensor(name), expected.at(name)));
  }
  bevfusion::Network other = network_of_seed(2);
  bevfusion::load_network(file, other);
  CHECK(equal(tensors_of(other), expected));
}

TEST_CASE("checkpoints of the first format are read", "[bevfusion][training][checkpoint]") {
  const TemporaryFolder folder;
  const bevfusion::Network network = network_of_seed(3);
  write_first_format(folder.path() / "old.pt", network);
  bevfusion::Network other = network_of_seed(4);
  bevfusion::load_network(folder.path() / "old.pt", other);
  CHECK(equal(tensors_of(other), tensors_of(network)));
  CHECK(bevfusion::checksum_of(folder.path() / "old.pt") == bevfusion::Checksum::absent);
}

TEST_CASE("no byte of a checkpoint changes unnoticed", "[bevfusion][training][checkpoint]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint.pt";
  bevfusion::Network network = network_of_seed(5);
  bevfusion::save_checkpoint(file, network, {}, {}, torch::kCPU);
  CHECK(bevfusion::checksum_of(file) == bevfusion::Checksum::agrees);
  const std::string whole = content_of(file);
  const std::size_t size = whole.size();
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{40}, size / 3, size / 2, size - 60, size - 30, size - 17, size - 9, size - 1}) {
    INFO(at << " of " << size);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    std::ofstream(file, std::ios::binary) << damaged;
    const std::string said = refusal<std::exception>([&] { bevfusion::load_network(file, network); });
    CHECK(said.find(file.string()) == 0);
    CHECK(said.find("damaged") != std::string::npos);
  }
  std::ofstream(file, std::ios::binary) << whole.substr(0, size - 16);
  CHECK_FALSE(refusal<std::exception>([&] { bevfusion::load_network(file, network); }).empty());
  std::ofstream(file, std::ios::binary) << whole;
  CHECK(refusal<std::exception>([&] { bevfusion::load_network(file, network); }).empty());
}

TEST_CASE("a checkpoint that cannot be written leaves the old one", "[bevfusion][training][checkpoint]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "checkpoint.pt";
  bevfusion::save_checkpoint(file, network_of_seed(6), {}, {}, torch::kCPU);
  const std::string before = content_of(file);
  const bevfusion::Network other = network_of_seed(7);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit unlimited{};
  getrlimit(RLIMIT_FSIZE, &unlimited);
  for (const rlim_t most : {0UL, 100UL, 100'000UL, before.size() - 1}) {
    rlimit less = unlimited;
    less.rlim_cur = most;
    setrlimit(RLIMIT_FSIZE, &less);
    const std::string said = refusal<std::exception>([&] { bevfusion::save_checkpoint(file, other, {}, {}, torch::kCPU); });
    setrlimit(RLIMIT_FSIZE, &unlimited);
    INFO(said);
    CHECK(said.find("checkpoint.pt") != std::string::npos);
    CHECK(said.find("(File too large)") != std::string::npos);
    CHECK(content_of(file) == before);
  }
  CHECK(refusal<std::exception>([&] {
          bevfusion::save_checkpoint("/no/such/folder/c.pt", other, {}, {}, torch::kCPU);
        }).find("(No such file or directory)") != std::string::npos);
}

TEST_CASE("data that moved is the same, other data is not", "[bevfusion][training][checkpoint]") {
  const std::string then = "/a/v1.0-mini\n3 samples 77\nsample_data 12";
  CHECK(refusal<std::exception>([&] {
          bevfusion::expect_same_data("c.pt", then, "/b/v1.0-mini\n3 samples 77\nsample_data 12");
        }).empty());
  CHECK(refusal<std::exception>([&] { bevfusion::expect_same_data("c.pt", "", then); }).empty());
  for (const char* now : {"/b/v1.0-mini\n3 samples 78\nsample_data 12", "/b/v1.0-mini\n3 samples 77\nsample_data 13"}) {
    const std::string said = refusal<std::exception>([&] { bevfusion::expect_same_data("c.pt", then, now); });
    CHECK(said.find("c.pt: ") == 0);
    CHECK(said.find("/a/v1.0-mini") != std::string::npos);
    CHECK(said.find("/b/v1.0-mini") != std::string::npos);
  }
}

}  // namespace

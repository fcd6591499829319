// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/checkpoint.hpp"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/training/archive_file.hpp"
#include "bevfusion/training/generator_state.hpp"
#include "bevfusion/training/twin_networks.hpp"
#include "bevfusion/training/weights_archive.hpp"

namespace bevfusion {
namespace {

constexpr const char* format = "fuller bevfusion checkpoint 2";
/// Its tensors are numbered, and it has no checksum.
constexpr const char* first_format = "fuller bevfusion checkpoint 1";

torch::Tensor bytes_of(const std::string& text) {
  torch::Tensor bytes = torch::empty({static_cast<std::int64_t>(text.size())}, torch::kByte);
  std::copy(text.begin(), text.end(), bytes.data_ptr<std::uint8_t>());
  return bytes;
}

std::string text_of(const torch::Tensor& tensor) {
  const torch::Tensor bytes = tensor.cpu().contiguous();
  return {static_cast<const char*>(bytes.data_ptr()), static_cast<std::size_t>(bytes.numel())};
}

/// A line for each tensor: its name and shape.
std::string layout_of(const Network& network) {
  std::ostringstream text;
  for (const auto& [name, tensor] : weights_by_name(network)) {
    text << name << ' ' << tensor.sizes() << '\n';
  }
  return text.str();
}

/// The first line in which two layouts differ, in words.
std::string difference(const std::string& saved, const std::string& wanted) {
  std::istringstream left(saved);
  std::istringstream right(wanted);
  std::string of_file;
  std::string of_network;
  while (true) {
    const bool more = static_cast<bool>(std::getline(left, of_file));
    const bool wants = static_cast<bool>(std::getline(right, of_network));
    if (!more && !wants) {
      return "";
    }
    if (of_file != of_network || more != wants) {
      return "it has " + (more ? "'" + of_file + "'" : "no more tensors") + " where this network has " +
             (wants ? "'" + of_network + "'" : "no more");
    }
  }
}

template <class Read>
auto with_file_named(const std::filesystem::path& file, const Read& read) {
  try {
    return read();
  } catch (const c10::Error& error) {
    throw std::runtime_error(file.string() + ": not a checkpoint that can be read (" + error.what_without_backtrace() + ")");
  } catch (const std::exception& error) {
    throw std::runtime_error(file.string() + ": " + error.what());
  }
}

struct OpenCheckpoint {
  torch::serialize::InputArchive archive;
  bool numbered = false;  ///< tensors have no names
};

OpenCheckpoint open(const std::filesystem::path& file, const torch::Device& device) {
  const Checksum sum = checksum_of(file);
  if (sum == Checksum::differs) {
    throw std::runtime_error("it is damaged: its bytes are not those that were written (CRC-32C); a copy of it may be whole");
  }
  OpenCheckpoint opened;
  opened.archive.load_from(file.string(), device);
  torch::Tensor stored;
  const std::string name = opened.archive.try_read("format", stored) ? text_of(stored) : "";
  opened.numbered = name == first_format;
  if (!opened.numbered && name != format) {
    throw std::runtime_error("this is no checkpoint of this program, or of another version of it");
  }
  if (!opened.numbered && sum == Checksum::absent) {
    throw std::runtime_error("it is damaged: its checksum is missing; a copy of it may be whole");
  }
  return opened;
}

void read_network(OpenCheckpoint& opened, Network& network) {
  torch::serialize::InputArchive& archive = opened.archive;
  torch::Tensor layout;
  archive.read("layout", layout);
  const std::string problem = difference(text_of(layout), layout_of(network));
  if (!problem.empty()) {
    throw std::runtime_error("the checkpoint holds another network: " + problem);
  }
  torch::serialize::InputArchive tensors;
  archive.read("network", tensors);
  const torch::NoGradGuard no_grad;
  std::size_t number = 0;
  for (auto& entry : weights_by_name(network)) {
    torch::Tensor saved;
    tensors.read(opened.numbered ? "t" + std::to_string(number++) : entry.first, saved);
    entry.second.copy_(saved);
  }
}

}  // namespace

void save_checkpoint(const std::filesystem::path& file, const Network& network, const TowerTrainers& towers,
                     const RunPosition& position, const torch::Device& device, const AveragedWeights* average,
                     const TwinNetworks* twins) {
  torch::serialize::OutputArchive archive;
  archive.write("format", bytes_of(format));
  archive.write("layout", bytes_of(layout_of(network)));
  torch::serialize::OutputArchive tensors(archive.compilation_unit());
  write_weights(tensors, *network);
  archive.write("network", tensors);
  for (std::size_t k = 0; k < towers.size(); ++k) {
    torch::serialize::OutputArchive tower(archive.compilation_unit());
    towers[k]->save(tower);
    archive.write("tower" + std::to_string(k), tower);
  }
  const GeneratorState generators(device);
  archive.write("cpu_generator", generators.cpu);
  if (generators.cuda.defined()) {
    archive.write("cuda_generator", generators.cuda);
  }
  archive.write("position", torch::tensor({position.epoch, position.batch, position.step,
                                           static_cast<std::int64_t>(position.epoch_open), position.log_bytes},
                                          torch::kLong));
  archive.write("data", bytes_of(position.data));
  if (average != nullptr && average->ready()) {
    average->save(archive);
  }
  if (twins != nullptr) {
    twins->save(archive);
  }
  write_archive(file, archive);
}

RunPosition load_checkpoint(const std::filesystem::path& file, Network& network, TowerTrainers& towers,
                            const torch::Device& device, AveragedWeights* average, TwinNetworks* twins) {
  return with_file_named(file, [&] {
    OpenCheckpoint opened = open(file, device);
    torch::serialize::InputArchive& archive = opened.archive;
    read_network(opened, network);
    if (average != nullptr) {
      average->load(archive, network);
    }
    for (std::size_t k = 0; k < towers.size(); ++k) {
      torch::serialize::InputArchive tower;
      archive.read("tower" + std::to_string(k), tower);
      towers[k]->load(tower);
    }
    if (twins != nullptr) {
      twins->load(archive);
    }
    GeneratorState generators(device);
    archive.read("cpu_generator", generators.cpu);
    archive.try_read("cuda_generator", generators.cuda);  // a run that goes on elsewhere has none there
    generators.restore(device);
    torch::Tensor numbers;
    archive.read("position", numbers);
    numbers = numbers.cpu();
    const auto at = [&numbers](std::int64_t k) { return numbers[k].item<std::int64_t>(); };
    torch::Tensor data;
    const std::string trained_on = archive.try_read("data", data) ? text_of(data) : "";
    return RunPosition{at(0), at(1), at(2), at(3) != 0, at(4), trained_on};
  });
}

bool load_network(const std::filesystem::path& file, Network& network, Weights which) {
  return with_file_named(file, [&] {
    OpenCheckpoint opened = open(file, torch::kCPU);
    read_network(opened, network);
    AveragedWeights average{TrainingConfig()};
    average.load(opened.archive, network);
    const bool averaged = which == Weights::evaluated && average.ready();
    if (averaged) {
      average.exchange(network);
    }
    return averaged;
  });
}

}  // namespace bevfusion

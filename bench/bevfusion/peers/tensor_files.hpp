// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

namespace bench {

/// Tensors for a program in another language: each as raw numbers in a file, and `index.json` with their types, shapes and some
/// facts.
class TensorFiles {
 public:
  explicit TensorFiles(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
  }

  /// @param name  of the file, with folders
  /// @throws std::runtime_error where it cannot be written
  void put(const std::string& name, const torch::Tensor& tensor) {
    const torch::Tensor whole = tensor.detach().to(torch::kCPU).contiguous();
    const std::filesystem::path path = folder_ / (name + ".raw");
    std::filesystem::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<const char*>(whole.data_ptr()), static_cast<std::streamsize>(whole.nbytes()));
    if (!file.flush()) {
      throw std::runtime_error("cannot write " + path.string());
    }
    std::string shape;
    for (const std::int64_t side : whole.sizes()) {
      shape += (shape.empty() ? "" : ", ") + std::to_string(side);
    }
    index_[name] = "{\"type\": \"" + type_of(whole) + "\", \"shape\": [" + shape + "]}";
  }

  /// Parameters and buffers of a module, under their names.
  void put_state(const std::string& name, const torch::nn::Module& module) {
    for (const auto& one : module.named_parameters()) {
      put(name + "/" + one.key(), one.value());
    }
    for (const auto& one : module.named_buffers()) {
      put(name + "/" + one.key(), one.value());
    }
  }

  /// The gradients of a module's parameters, under the parameters' names.
  void put_gradients(const std::string& name, const torch::nn::Module& module) {
    for (const auto& one : module.named_parameters()) {
      put(name + "/" + one.key(), one.value().grad());
    }
  }

  /// @param value  without quotes and backslashes
  void say(const std::string& fact, const std::string& value) { facts_[fact] = "\"" + value + "\""; }
  void say(const std::string& fact, std::int64_t value) { facts_[fact] = std::to_string(value); }

  void close() const {
    std::ofstream file(folder_ / "index.json");
    file << "{\"facts\": " << object(facts_) << ",\n\"tensors\": " << object(index_) << "}\n";
    if (!file.flush()) {
      throw std::runtime_error("cannot write " + (folder_ / "index.json").string());
    }
  }

 private:
  static std::string type_of(const torch::Tensor& tensor) {
    switch (tensor.scalar_type()) {
      case torch::kFloat:
        return "float32";
      case torch::kDouble:
        return "float64";
      case torch::kLong:
        return "int64";
      default:
        throw std::runtime_error(std::string("TensorFiles: no name for numbers of type ") + toString(tensor.scalar_type()));
    }
  }

  static std::string object(const std::map<std::string, std::string>& entries) {
    std::string text = "{";
    for (const auto& [key, value] : entries) {
      text += (text.size() > 1 ? ",\n" : "\n") + ("\"" + key) + "\": " + value;
    }
    return text + "\n}";
  }

  std::filesystem::path folder_;
  std::map<std::string, std::string> index_;
  std::map<std::string, std::string> facts_;
};

}  // namespace bench

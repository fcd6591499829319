// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "idx.hpp"

namespace example {

/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr const char* debian_garments = "/usr/share/datasets/fashion-mnist";

inline constexpr std::array<const char*, 10> garment_names = {"T-shirt", "trousers", "pullover", "dress", "coat",
                                                              "sandal",  "shirt",    "sneaker",  "bag",   "boot"};

/// Fashion-MNIST: grey images of single garments and what they show.
struct Garments {
  torch::Tensor images;  ///< N x 28 x 28, uint8
  torch::Tensor labels;  ///< N, int64, 0 to 9
};

/// Reads one part, "train" (60000 images) or "t10k" (10000), from a folder with the four IDX files, compressed or not.
/// @throws std::runtime_error naming the file and the field where something is missing or wrong.
inline Garments load_garments(const std::string& folder, const std::string& part) {
  const auto find = [&](const std::string& name) {
    const auto plain = (std::filesystem::path(folder) / name).string();
    for (const auto& path : {plain + ".gz", plain}) {
      if (std::filesystem::exists(path)) {
        return path;
      }
    }
    throw std::runtime_error(plain + ".gz: no such file. Fashion-MNIST comes with `apt-get install dataset-fashion-mnist`; " +
                             "a folder that holds its four IDX files can be named by --data");
  };
  const auto image_path = find(part + "-images-idx3-ubyte");
  const auto label_path = find(part + "-labels-idx1-ubyte");
  Idx images = read_idx(image_path);
  Idx labels = read_idx(label_path);
  if (images.shape.size() != 3 || images.shape[1] != 28 || images.shape[2] != 28) {
    throw std::runtime_error(image_path + ": field 'dimensions': images of 28 x 28 are expected");
  }
  if (labels.shape.size() != 1 || labels.shape[0] != images.shape[0]) {
    throw std::runtime_error(label_path + ": field 'dimensions': one label for each of the " + std::to_string(images.shape[0]) +
                             " images is expected");
  }
  const auto largest = *std::max_element(labels.values.begin(), labels.values.end());
  if (largest > 9) {
    throw std::runtime_error(label_path + ": field 'elements': labels are 0 to 9, one is " + std::to_string(largest));
  }
  const auto count = static_cast<std::int64_t>(images.shape[0]);
  return {torch::from_blob(images.values.data(), {count, 28, 28}, torch::kUInt8).clone(),
          torch::from_blob(labels.values.data(), {count}, torch::kUInt8).to(torch::kInt64)};
}

}  // namespace example

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "../support/celeba.hpp"
#include "../support/parallel.hpp"
#include "attribute_data.hpp"
#ifdef FULLER_EXAMPLE_JPEG
#include "bevfusion/nuscenes/image_file.hpp"
#endif

namespace example {

/// Sides of the pictures: each pixel is the mean over its part of the file's, as Sener and Koltun scale them down.
constexpr std::int64_t face_side = 64;

#ifdef FULLER_EXAMPLE_JPEG

inline torch::Tensor read_face_picture(const CelebA& data, const CelebA::Face& face) {
  bevfusion::Image image = read_face(data, face, [](const std::filesystem::path& file) { return bevfusion::read_image(file); });
  const auto pixels = torch::from_blob(image.rgb.data(), {1, image.height, image.width, 3}, torch::kUInt8).permute({0, 3, 1, 2});
  return torch::adaptive_avg_pool2d(pixels.to(torch::kFloat32), {face_side, face_side}).round()[0].to(torch::kUInt8);
}

/// The first `count` faces of a part.
inline AttributeData face_part(const CelebA& data, const std::vector<CelebA::Face>& faces, std::int64_t count, int jobs) {
  const auto rows = std::min(count, static_cast<std::int64_t>(faces.size()));
  const auto columns = static_cast<std::int64_t>(data.names.size());
  AttributeData part{torch::zeros({rows, 3, face_side, face_side}, torch::kUInt8), torch::zeros({rows, columns}, torch::kBool)};
  bool* has = part.attributes.data_ptr<bool>();
  in_parallel(static_cast<std::size_t>(rows), jobs, [&](std::size_t i) {
    part.images[static_cast<std::int64_t>(i)] = read_face_picture(data, faces[i]);
    for (std::size_t a = 0; a < data.names.size(); ++a) {
      has[i * data.names.size() + a] = faces[i].attributes[a];
    }
  });
  return part;
}

/// @throws std::runtime_error naming the file where something is missing or wrong
inline AttributeSet face_attribute_set(const std::string& folder, std::int64_t samples, std::int64_t test_samples, int jobs) {
  const CelebA data = read_celeba(folder);
  if (data.train.empty() || data.test.empty()) {
    throw std::runtime_error(folder + ": list_eval_partition.txt has no picture of train (0), or none of test (2)");
  }
  return {face_part(data, data.train, samples, jobs), face_part(data, data.test, test_samples, jobs), data.names};
}

#else

inline AttributeSet face_attribute_set(const std::string&, std::int64_t, std::int64_t, int) {
  throw std::runtime_error(
      "--celeba needs the reference model's JPEG reader, and this program was built without it; scripts/install_dependencies.sh "
      "installs what it needs");
}

#endif

}  // namespace example

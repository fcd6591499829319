// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "../support/garments.hpp"
#include "attribute_data.hpp"

namespace example {

/// What the measures of pictures start from.
struct Measured {
  torch::Tensor x;         ///< N x 28 x 28, 0 to 1
  torch::Tensor mask;      ///< the same, 1 where there is garment (above 0.1), else 0
  torch::Tensor area;      ///< N, pixels of garment, at least 1
  torch::Tensor mirrored;  ///< N, 1 where the picture is a mirror image

  explicit Measured(torch::Tensor pictures, torch::Tensor is_mirrored)
      : x(std::move(pictures)),
        mask((x > 0.1).to(torch::kFloat32)),
        area(mask.sum({1, 2}).clamp_min(1)),
        mirrored(std::move(is_mirrored)) {}

  /// Of a part of the picture, the mean over its garment.
  torch::Tensor brightness(std::int64_t top, std::int64_t bottom, std::int64_t left, std::int64_t right) const {
    const auto part = [&](const torch::Tensor& of) { return of.slice(1, top, bottom).slice(2, left, right).sum({1, 2}); };
    return part(x * mask) / part(mask).clamp_min(1);
  }
  /// Garment in some rows, as a share of their pixels.
  torch::Tensor width(std::int64_t top, std::int64_t bottom) const { return mask.slice(1, top, bottom).mean({1, 2}); }
  /// How many rows (dimension 2) or columns (dimension 1) have garment.
  torch::Tensor extent(std::int64_t across) const { return mask.amax(across).sum(1); }
  /// Where the garment's middle lies: along rows (dimension 1) or columns (dimension 2).
  torch::Tensor middle(std::int64_t along) const {
    return (mask.sum(along == 1 ? 2 : 1) * torch::arange(28, torch::kFloat32)).sum(1) / area;
  }
  /// How far a picture is from one that is turned over along a dimension, against how bright it is.
  torch::Tensor asymmetry(std::int64_t along) const {
    return (x - x.flip({along})).abs().sum({1, 2}) / x.sum({1, 2}).clamp_min(1);
  }
  /// Mean change from a pixel to the next along a dimension.
  torch::Tensor roughness(std::int64_t along) const { return x.diff(1, along).abs().sum({1, 2}) / area; }
};

/// An attribute of a picture of a garment: one of its class, or a measure that reaches a limit.
struct GarmentAttribute {
  const char* name;
  std::vector<int> classes;                                 ///< those that have it; none: it is measured
  torch::Tensor (*measure)(const Measured&) = nullptr;      ///< N numbers
  double limit = std::numeric_limits<double>::quiet_NaN();  ///< NaN: the measure's median over the training pictures
};

/// Ten attributes tell the classes apart, ten group them, twenty are of the picture. Half of the pictures are mirror images.
inline const std::vector<GarmentAttribute>& garment_attributes() {
  using M = const Measured&;
  static const std::vector<GarmentAttribute> all = {
      {"T-shirt", {0}},
      {"trousers", {1}},
      {"pullover", {2}},
      {"dress", {3}},
      {"coat", {4}},
      {"sandal", {5}},
      {"shirt", {6}},
      {"sneaker", {7}},
      {"bag", {8}},
      {"boot", {9}},
      {"footwear", {5, 7, 9}},
      {"for the trunk of the body", {0, 2, 3, 4, 6}},
      {"always long-sleeved", {2, 4}},
      {"opens in front", {4, 6}},
      {"pulled over the head", {0, 2, 3}},
      {"for the legs", {1, 3}},
      {"comes in pairs", {1, 5, 7, 9}},
      {"for cold days", {2, 4, 9}},
      {"for hot days", {0, 3, 5}},
      {"laces or straps", {5, 7, 8}},
      {"bright", {}, [](M m) { return m.brightness(0, 28, 0, 28); }},
      {"brighter above than below", {}, [](M m) { return m.brightness(0, 14, 0, 28) - m.brightness(14, 28, 0, 28); }},
      {"brighter on the left", {}, [](M m) { return m.brightness(0, 28, 0, 14) - m.brightness(0, 28, 14, 28); }},
      {"brighter in the middle", {}, [](M m) { return m.brightness(7, 21, 7, 21) - m.brightness(0, 28, 0, 28); }},
      {"has dark parts",
       {},
       [](M m) {
         return (m.mask * (m.x < 0.4)).sum({1, 2}) / m.area;
       }},
      {"rich in contrast",
       {},
       [](M m) {
         return (m.x * m.x * m.mask).sum({1, 2}) / m.area - m.brightness(0, 28, 0, 28).square();
       }},
      {"rough across", {}, [](M m) { return m.roughness(2); }},
      {"rough downwards", {}, [](M m) { return m.roughness(1); }},
      {"large", {}, [](M m) { return m.area; }},
      {"wide", {}, [](M m) { return m.extent(1); }},
      {"tall", {}, [](M m) { return m.extent(2); }},
      {"slender", {}, [](M m) { return m.extent(2) / m.extent(1).clamp_min(1); }},
      {"fills its box", {}, [](M m) { return m.area / (m.extent(1) * m.extent(2)).clamp_min(1); }},
      {"wide above", {}, [](M m) { return m.width(0, 9) - m.width(19, 28); }},
      {"waisted", {}, [](M m) { return m.width(0, 9) + m.width(19, 28) - 2 * m.width(9, 19); }},
      {"unlike its mirror image", {}, [](M m) { return m.asymmetry(2); }},
      {"unlike itself upside down", {}, [](M m) { return m.asymmetry(1); }},
      {"lies low", {}, [](M m) { return m.middle(1); }},
      {"lies to the right", {}, [](M m) { return m.middle(2); }},
      {"is a mirror image", {}, [](M m) { return m.mirrored; }, 0.5},
  };
  return all;
}

/// Grey pictures of 32 x 32 (the garments with two black pixels around them), with the forty attributes.
/// @throws std::invalid_argument where an attribute is the same of all training pictures
inline AttributeSet garment_attribute_set(const Garments& train, const Garments& test) {
  const auto& all = garment_attributes();
  AttributeSet set;
  std::vector<double> limits(all.size());
  for (const bool of_train : {true, false}) {
    const Garments& garments = of_train ? train : test;
    auto generator = at::detail::createCPUGenerator(of_train ? 1 : 2);
    const auto mirrored = torch::rand({garments.labels.size(0)}, generator) < 0.5;
    const auto images = torch::where(mirrored.view({-1, 1, 1}), garments.images.flip({2}), garments.images);
    const Measured measured(images.to(torch::kFloat32).div(255), mirrored.to(torch::kFloat32));
    std::vector<torch::Tensor> columns;
    for (std::size_t a = 0; a < all.size(); ++a) {
      if (all[a].measure == nullptr) {
        auto is = torch::zeros_like(garments.labels, torch::kBool);
        for (const int c : all[a].classes) {
          is = is.logical_or(garments.labels == c);
        }
        columns.push_back(is);
        continue;
      }
      const auto value = all[a].measure(measured);
      if (of_train) {
        limits[a] = std::isnan(all[a].limit) ? value.median().item<double>() : all[a].limit;
      }
      columns.push_back(value >= limits[a]);
    }
    AttributeData& part = of_train ? set.train : set.test;
    part.images = torch::constant_pad_nd(images.unsqueeze(1), {2, 2, 2, 2});
    part.attributes = torch::stack(columns, 1);
  }
  const auto shares = set.train.attributes.to(torch::kFloat32).mean(0);
  for (std::size_t a = 0; a < all.size(); ++a) {
    const auto share = shares[static_cast<std::int64_t>(a)].item<float>();
    if (share == 0 || share == 1) {
      throw std::invalid_argument(std::string("'") + all[a].name +
                                  "' is the same of all training pictures, and cannot be learnt; take more of them by --samples");
    }
    set.names.emplace_back(all[a].name);
  }
  return set;
}

}  // namespace example

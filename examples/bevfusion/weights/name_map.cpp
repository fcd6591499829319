// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/weights/name_map.hpp"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <sstream>

#include <torch/torch.h>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {
namespace {

constexpr std::int64_t widest_kernel = 7;

/// What the stars of `pattern` stand for in `text`, if it fits. A star takes as little as it can: were it to take more, the
/// next one would start further on between the same two dots, and reach no further.
std::optional<std::vector<std::string>> stars_in(const std::string& pattern, const std::string& text) {
  std::size_t star = pattern.find('*');
  if (star == std::string::npos) {
    return pattern == text ? std::optional<std::vector<std::string>>(std::vector<std::string>{}) : std::nullopt;
  }
  if (text.compare(0, star, pattern, 0, star) != 0) {
    return std::nullopt;
  }
  std::vector<std::string> stars;
  std::size_t at = star;
  while (star != std::string::npos) {
    const std::size_t next = pattern.find('*', star + 1);
    const std::string fixed = pattern.substr(star + 1, next == std::string::npos ? next : next - star - 1);
    std::size_t end = text.find(fixed, at);
    if (next == std::string::npos && end != std::string::npos) {
      end = text.rfind(fixed);
      if (end < at || end + fixed.size() != text.size()) {
        return std::nullopt;
      }
    }
    if (end == std::string::npos || text.find('.', at) < end) {
      return std::nullopt;
    }
    stars.push_back(text.substr(at, end - at));
    at = end + fixed.size();
    star = next;
  }
  return stars;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.size() < 9 &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); });
}

/// `ours` with its stars replaced; nothing where a number is to be raised and there is none.
std::optional<std::string> filled(const std::string& ours, const std::vector<std::string>& stars) {
  std::string name;
  std::size_t next = 0;
  for (std::size_t at = 0; at < ours.size();) {
    if (ours[at] != '*') {
      name += ours[at++];
      continue;
    }
    const std::string& star = stars[next++];
    if (ours.compare(at, 2, "*+") == 0 && at + 2 < ours.size() && std::isdigit(static_cast<unsigned char>(ours[at + 2]))) {
      if (!is_number(star)) {
        return std::nullopt;
      }
      name += std::to_string(std::stol(star) + (ours[at + 2] - '0'));
      at += 3;
    } else {
      name += star;
      ++at;
    }
  }
  return name;
}

}  // namespace

NameMap::NameMap(const std::filesystem::path& file) {
  std::ifstream in(file);
  if (!in) {
    fail(file.string(), "cannot be opened");
  }
  read(in, file.string());
}

NameMap::NameMap(std::istream& in, const std::string& file) { read(in, file); }

void NameMap::read(std::istream& in, const std::string& file) {
  identity_ = false;
  static const std::map<std::string, Conversion> conversions = {
      {"", Conversion::copied},
      {"sparse_xyz", Conversion::sparse_xyz},
      {"sparse_zyx", Conversion::sparse_zyx},
      {"subtracted", Conversion::subtracted},
  };
  std::string text;
  for (int number = 1; std::getline(in, text); ++number) {
    std::istringstream words(text.substr(0, text.find('#')));
    Line line;
    std::string conversion;
    std::string more;
    if (!(words >> line.theirs)) {
      continue;
    }
    const auto stars = [](const std::string& name) { return std::count(name.begin(), name.end(), '*'); };
    const bool pair = static_cast<bool>(words >> line.ours);
    words >> conversion;
    const auto found = conversions.find(conversion);
    if (!pair || (words >> more) || found == conversions.end() || stars(line.theirs) < stars(line.ours)) {
      fail(file, "line " + std::to_string(number) + " is no 'theirs ours [sparse_xyz | sparse_zyx | subtracted]' with " +
                     "no more stars in ours");
    }
    line.conversion = found->second;
    lines_.push_back(std::move(line));
  }
}

std::optional<Renamed> NameMap::find(const std::string& theirs) const {
  if (identity_) {
    return Renamed{theirs, Conversion::copied};
  }
  for (const Line& line : lines_) {
    if (const auto stars = stars_in(line.theirs, theirs)) {
      if (auto name = filled(line.ours, *stars)) {
        return Renamed{*name, line.conversion};
      }
    }
  }
  return std::nullopt;
}

torch::Tensor converted(const torch::Tensor& theirs, Conversion conversion, torch::IntArrayRef ours) {
  if (conversion != Conversion::sparse_xyz && conversion != Conversion::sparse_zyx) {
    return theirs.sizes() == ours ? theirs : torch::Tensor();
  }
  if (theirs.dim() != 5 || ours.size() != 2) {
    return {};
  }
  const auto kernel_at = [&](std::int64_t first) {
    return std::max({theirs.size(first), theirs.size(first + 1), theirs.size(first + 2)}) <= widest_kernel;
  };
  torch::Tensor kernel;  // [k, k, k, in, out]
  if (kernel_at(0) && theirs.size(4) == ours[1] && theirs.numel() == ours[0] * ours[1]) {
    kernel = theirs;
  } else if (kernel_at(1) && theirs.size(0) == ours[1] && theirs.numel() == ours[0] * ours[1]) {
    kernel = theirs.permute({1, 2, 3, 4, 0});
  } else {
    return {};
  }
  if (conversion == Conversion::sparse_zyx) {
    kernel = kernel.permute({2, 1, 0, 3, 4});
  }
  return kernel.reshape(ours);
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
// libFuzzer: what Calibration::load() is given, one page of a good archive damaged at a time. It takes it over, or throws and
// changes nothing; after either a step can be taken.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

namespace {

using at::Tensor;

struct Pages {
  std::map<std::string, Tensor> pages;
  void write(const std::string& name, const Tensor& tensor) { pages[name] = tensor.clone(); }
  void read(const std::string& name, Tensor& tensor) {
    const auto found = pages.find(name);
    if (found == pages.end()) {
      throw std::runtime_error("there is no '" + name + "'");
    }
    tensor = found->second;
  }
  bool try_read(const std::string& name, Tensor& tensor) {
    const auto found = pages.find(name);
    if (found != pages.end()) {
      tensor = found->second;
    }
    return found != pages.end();
  }
};

bool equal(const Pages& a, const Pages& b) {
  for (const auto& [name, tensor] : a.pages) {
    const auto other = b.pages.find(name);
    if (other == b.pages.end() || !torch::equal(tensor, other->second)) {
      return false;
    }
  }
  return a.pages.size() == b.pages.size();
}

struct Run {
  torch::nn::Linear left{2, 3}, right{2, 3}, fuse{6, 3}, near{3, 1}, far{3, 1};
  fuller::Calibration calibration;
  Tensor x = torch::ones({4, 2});

  explicit Run(fuller::Calibration made) : calibration(std::move(made)) {
    calibration.modalities(fuller::ModalityGate(), {"left", "right"});
  }
  void step() {
    const auto [a, b] = calibration.gate<2>({left(x), right(x)}, fuse->weight);
    const auto [of_near, of_far] = calibration.fork<2>(torch::tanh(fuse(torch::cat({a, b}, 1))));
    calibration.sum({near(of_near).pow(2).mean(), far(of_far).pow(2).mean()}).backward();
  }
};

Run make(int which) {
  torch::manual_seed(1);
  const std::vector<std::string> tasks{"near", "far"};
  switch (which % 4) {
    case 0:
      return Run(fuller::Calibration(fuller::GradNorm(), tasks));
    case 1:
      return Run(fuller::Calibration(fuller::DWA(), tasks));
    case 2:
      return Run(fuller::Calibration(fuller::IMTL_G(), tasks));
    default:
      return Run(fuller::Calibration(fuller::FAMO(), tasks));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  if (count < 4) {
    return 0;
  }
  static std::vector<Run> runs = [] {
    std::vector<Run> made;
    for (int which = 0; which < 4; ++which) {
      made.push_back(make(which));
      made.back().step();
    }
    return made;
  }();
  Run& run = runs[bytes[0] % 4];
  Pages before;
  run.calibration.save(before);
  Pages damaged = before;
  auto page = damaged.pages.begin();
  std::advance(page, bytes[1] % damaged.pages.size());
  const std::vector<std::uint8_t> rest(bytes + 3, bytes + count);
  const Tensor raw =
      torch::from_blob(const_cast<std::uint8_t*>(rest.data()), {static_cast<std::int64_t>(rest.size())}, torch::kByte).clone();
  switch (bytes[2] % 6) {
    case 0:
      damaged.pages.erase(page);
      break;
    case 1:
      page->second = raw;
      break;
    case 2:
      page->second = raw.to(torch::kDouble);
      break;
    case 3:
      page->second = raw.slice(0, 0, raw.numel() / 8 * 8).view(torch::kDouble);
      break;
    case 4: {  // one number of it
      Tensor flat = page->second.clone().flatten();
      if (flat.numel() > 0 && raw.numel() >= 9) {
        flat[raw[0].item<std::int64_t>() % flat.numel()] = raw.slice(0, 1, 9).view(torch::kDouble)[0].to(flat.scalar_type());
      }
      page->second = flat.view_as(page->second);
      break;
    }
    default:
      page->second = page->second.slice(0, 0, page->second.dim() > 0 ? page->second.size(0) / 2 : 0);
      break;
  }
  bool loaded = false;
  try {
    run.calibration.load(damaged);
    loaded = true;
  } catch (const std::exception&) {
    Pages after;
    run.calibration.save(after);
    if (!equal(before, after)) {
      std::fprintf(stderr, "a load that threw has changed the calibration\n");
      std::abort();
    }
  }
  run.step();
  for (const double weight : run.calibration.diagnostics().weights) {
    if (std::isnan(weight)) {
      std::fprintf(stderr, "a weight is NaN after an archive that was %s\n", loaded ? "taken over" : "refused");
      std::abort();
    }
  }
  run.calibration.load(before);
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// fuller's side of the comparison with Python's libraries: writes the network, its inputs and what a step must leave, then times
// the same steps. bench/peers/run calls it.
//
//   peer_step FOLDER TASKS light|heavy SECONDS [cpu|cuda]
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <torch/version.h>

#include "cuda/ways.hpp"
#include "step/measurement.hpp"
#include "support/machine.hpp"

namespace {

/// All elements of all tensors as raw floats, one tensor after the other.
void write(const std::string& path, const std::vector<at::Tensor>& tensors) {
  std::ofstream file(path, std::ios::binary);
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor flat = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
    file.write(static_cast<const char*>(flat.data_ptr()), static_cast<std::streamsize>(flat.nbytes()));
  }
  if (!file) {
    throw std::runtime_error("cannot write " + path);
  }
}

std::vector<at::Tensor> gradients_of(const bench::Network& net) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : net.parameters()) {
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

/// The steps that Python's libraries take too, under the names they have there.
std::vector<bench::Variant> comparable(bench::Network& net) {
  const std::vector<bench::Variant> all = bench::variants_of(net);
  std::vector<bench::Variant> chosen;
  for (const char* name : {"plain", "floor", "last_shared/IMTL-G", "representation/IMTL-G"}) {
    for (const bench::Variant& variant : all) {
      if (variant.name == name) {
        chosen.push_back(variant);
      }
    }
  }
  fuller::CalibrationOptions trunk;
  trunk.surface = fuller::Surface::all_shared;
  trunk.apply_to = fuller::ApplyTo::shared_only;  // the heads keep their own gradients in the libraries compared with
  const auto imtl_g = std::make_shared<bench::Calibrated>(net, fuller::IMTL_G(), trunk);
  const auto pcgrad = std::make_shared<bench::Calibrated>(net, fuller::PCGrad(), trunk);
  chosen.push_back({"all_shared/IMTL-G", [imtl_g] { imtl_g->plain_trunk(); }});
  chosen.push_back({"all_shared/PCGrad", [pcgrad] { pcgrad->plain_trunk(); }});
  const at::Device device = net.last_weight.device();
  if (!device.is_cpu()) {
    for (const bench::Way& way : bench::ways_on(device)) {
      if (way.steps) {
        const auto last = std::make_shared<bench::Calibrated>(net, fuller::IMTL_G(), fuller::CalibrationOptions());
        last->calibration.use(way.steps);
        chosen.push_back({"last_shared/IMTL-G/" + way.name, [last] { last->plain_trunk(); }});
      }
    }
  }
  return chosen;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) {
    std::cerr << "peer_step FOLDER TASKS light|heavy SECONDS [cpu|cuda]\n";
    return 2;
  }
  bench::keep_freed_memory();
  bench::one_blas_thread();
  at::set_num_threads(1);
  at::globalContext().setAllowTF32CuDNN(false);  // nor on Python's side: gradients are compared
  const std::string folder = std::string(argv[1]) + "/";
  const bench::Network::Kind kind{"conv", std::string(argv[3]) == "heavy", std::atoi(argv[2])};
  bench::Network net(kind);
  net.to(at::Device(argc == 6 ? argv[5] : "cpu"));
  write(folder + "parameters.f32", net.parameters());
  write(folder + "inputs.f32", net.inputs);
  write(folder + "targets.f32", net.targets);
  write(folder + "losses.f32", bench::naive::losses_of(net, net.shared()));

  const std::vector<bench::Variant> variants = comparable(net);
  std::vector<bench::Measured> results(variants.size());
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].name = variants[v].name;
    net.drop_gradients();
    variants[v].step();
    if (variants[v].name != "floor") {
      std::string file = variants[v].name;
      std::replace(file.begin(), file.end(), '/', '_');
      write(folder + "gradients_" + file + ".f32", gradients_of(net));
    }
  }
  bench::measure_time(net, variants, std::strtod(argv[4], nullptr), results);

  std::ofstream json(folder + "fuller.json");
  json << "{\"libtorch\": \"" << TORCH_VERSION << "\", \"machine\": \"" << bench::cpu_model() << "\", \"compiler\": \""
       << bench::compiler() << "\", \"loudness\": [";
  for (std::size_t i = 0; i < net.loudness.size(); ++i) {
    json << (i == 0 ? "" : ", ") << net.loudness[i];
  }
  json << "], \"steps\": {";
  for (std::size_t v = 0; v < results.size(); ++v) {
    const bench::Measured& result = results[v];
    json << (v == 0 ? "\n" : ",\n") << "  \"" << result.name << "\": {\"seconds\": " << result.seconds
         << ", \"ratio\": " << result.time.ratio << ", \"low\": " << result.time.low << ", \"high\": " << result.time.high
         << ", \"rounds\": " << result.rounds << "}";
  }
  json << "\n}}\n";
}

// SPDX-License-Identifier: Apache-2.0
// The reference model's side of the comparison with what a user of Python would run instead: writes inputs, weights and what a
// step must give, then takes steps whose names it reads, one a line, and answers each with the seconds of processor time that it
// took. bench/bevfusion/peers/run calls it.
//
//   reference_peer FOLDER
#include <exception>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <string>

#include <torch/torch.h>
#include <torch/version.h>

#include <fuller/measure/clock.hpp>

#include "bevfusion/frames.hpp"
#include "bevfusion/peers/loading.hpp"
#include "bevfusion/peers/parts.hpp"
#include "bevfusion/peers/tensor_files.hpp"
#include "support/machine.hpp"

namespace {

int serve(const bench::Steps& steps) {
  std::cout << "ready" << std::endl;
  for (std::string name; std::getline(std::cin, name);) {
    const auto step = steps.find(name);
    if (step == steps.end()) {
      std::cerr << "reference_peer: there is no step '" << name << "'\n";
      return 2;
    }
    const double begin = fuller::seconds(fuller::Clock::thread);
    step->second();
    std::cout << std::setprecision(9) << fuller::seconds(fuller::Clock::thread) - begin << std::endl;
  }
  return 0;
}

int run(const std::filesystem::path& folder) {
  bench::keep_freed_memory();
  bench::one_blas_thread();
  at::set_num_threads(1);
  torch::manual_seed(1);
  const bevfusion::ModelConfig config = bevfusion::full_model();
  const bevfusion::Batch batch = bench::frame().batch(config);
  bench::TensorFiles files(folder);
  bench::Steps steps;
  bench::add_encoder(batch, config, files, steps);
  bench::add_swin(batch, config, files, steps);
  bench::add_view(batch, config, files, steps);
  const bench::LoadedSet set(folder / "synthetic", config);
  set.add(files, steps);
  files.say("libtorch", TORCH_VERSION);
  files.say("machine", bench::cpu_model());
  files.say("compiler", bench::compiler());
  files.say("frame", bench::key_frame() != nullptr ? "real key frame" : "synthetic frame");
  files.close();
  return serve(steps);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "reference_peer FOLDER\n";
    return 2;
  }
  try {
    return run(argv[1]);
  } catch (const std::exception& error) {
    std::cerr << "reference_peer: " << error.what() << "\n";
    return 1;
  }
}

// SPDX-License-Identifier: Apache-2.0
// The reference model's speed and memory: sparse encoder, training step with and without calibration, loader, and FULLER's
// Table 5, one network for two tasks against one for each; DMFuser's six tasks likewise.
//
//   bevfusion_bench [Google Benchmark's options]
#include <functional>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <torch/version.h>

#include "bevfusion/frames.hpp"
#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/operations.hpp"
#include "bevfusion/step.hpp"
#include "support/all_cores.hpp"
#include "support/contest.hpp"
#include "support/machine.hpp"

namespace {

constexpr double mebibyte = 1 << 20;

/// The encoder at full size; seconds.
void sparse_encoder(benchmark::State& state, bool real, bool backward) {
  const bench::DataSet* set = real ? bench::key_frame() : &bench::synthetic();
  if (set == nullptr) {
    state.SkipWithError("no real nuScenes key frame here (FULLER_NUSCENES_KEYFRAME names its folder)");
    return;
  }
  const bevfusion::ModelConfig config = bevfusion::full_model();
  const auto voxels = bevfusion::voxelise(set->batch(config).input.clouds, config.voxels);
  bevfusion::VoxelNet net(config.voxel_net, config.voxels);
  const torch::AutoGradMode grad(backward);
  torch::Tensor map;
  if (!backward) {
    net->forward(voxels);  // the first touches memory for the first time
  }
  for (auto _ : state) {
    if (backward) {
      state.PauseTiming();
      net->zero_grad();
      map = net->forward(voxels);
      const torch::Tensor cotangent = torch::ones_like(map);
      state.ResumeTiming();
      map.backward(cotangent);
    } else {
      map = net->forward(voxels);
    }
    benchmark::DoNotOptimize(map.data_ptr());
  }
  state.counters["voxels"] = static_cast<double>(voxels.keys.size(0));
}

/// Time of the plain step; the calibrated one as a multiple of it; what their tensors hold at most.
void training_step(benchmark::State& state, const std::string& size) {
  const bevfusion::Batch batch = bench::frame().batch(bevfusion::model_of_size(size));
  torch::manual_seed(1);
  bench::Step plain(bevfusion::model_of_size(size), false);
  torch::manual_seed(1);
  bench::Step calibrated(bevfusion::model_of_size(size), true);
  fuller::bench::Contest contest;
  contest.add("plain", [&] { plain(batch); });
  contest.add("ratio", [&] { calibrated(batch); });
  contest.run(state);
  state.counters["plain_MiB"] = bench::training_bytes(bevfusion::model_of_size(size), false, batch) / mebibyte;
  state.counters["calibrated_MiB"] = bench::training_bytes(bevfusion::model_of_size(size), true, batch) / mebibyte;
}

/// Samples a second, loaded and collated as training takes them, by two threads.
void loader(benchmark::State& state, const std::string& size) {
  const bevfusion::ModelConfig config = bevfusion::model_of_size(size);
  const bevfusion::SampleLoader loader(bench::synthetic().tables(), bevfusion::loading_options(config));
  const std::size_t samples = bench::synthetic().tables().samples.size();
  loader.load(0, 0);  // reads the place's map
  std::size_t done = 0;
  for (auto _ : state) {
    bevfusion::Prefetcher<bevfusion::Batch> ahead(0, 2 * samples, 2, 4, [&](std::size_t k) {
      return bevfusion::collate({loader.load(static_cast<bevfusion::RowIndex>(k % samples), k / samples)});
    });
    while (ahead.next()) {
      ++done;
    }
  }
  state.counters["samples_per_second"] = benchmark::Counter(static_cast<double>(done), benchmark::Counter::kIsRate);
}

std::int64_t parameters_of(const bevfusion::Network& network) {
  std::int64_t count = 0;
  for (const torch::Tensor& parameter : network->parameters()) {
    count += parameter.numel();
  }
  return count;
}

/// FULLER's Table 5. The time is that of the network with both tasks.
void table_5(benchmark::State& state, const std::string& size) {
  const bevfusion::Batch batch = bench::frame().batch(bevfusion::model_of_size(size));
  const torch::NoGradGuard no_grad;
  const auto make = [&](const std::string& tasks) {
    bevfusion::Network network(bench::with_tasks(size, tasks));
    network->eval();
    return network;
  };
  bevfusion::Network both = make("both");
  bevfusion::Network detection = make("detection");
  bevfusion::Network segmentation = make("segmentation");
  fuller::bench::Contest contest;
  contest.add("both", [&] { both->forward(batch.input); });
  contest.add("fps_ratio", [&] {  // two networks for the two tasks: their time over that of the one
    detection->forward(batch.input);
    segmentation->forward(batch.input);
  });
  contest.run(state);
  const auto operations = [&](bevfusion::Network& network) {
    const bench::Operations counted;
    network->forward(batch.input);
    return 1e-9 * counted.so_far();
  };
  const double of_both = operations(both);
  state.counters["two_task_GFLOP"] = of_both;
  state.counters["operation_ratio"] = (operations(detection) + operations(segmentation)) / of_both;
  const auto memory = [&](const std::string& tasks) {
    return bench::inference_bytes(bench::with_tasks(size, tasks), batch) / mebibyte;
  };
  const double one = memory("both");
  const double two = memory("detection") + memory("segmentation");
  state.counters["two_task_MiB"] = one;
  state.counters["single_task_MiB"] = two;
  state.counters["memory_ratio"] = one / two;
  const auto parameters = static_cast<double>(parameters_of(both));
  const auto of_two = static_cast<double>(parameters_of(detection) + parameters_of(segmentation));
  state.counters["two_task_parameters"] = parameters;
  state.counters["single_task_parameters"] = of_two;
  state.counters["parameter_ratio"] = parameters / of_two;
}

/// DMFuser's claim: one network for all tasks against an expert each, run one after the other. The time is the one network's.
void experts(benchmark::State& state, const std::string& size) {
  const bevfusion::Batch batch = bench::frame().batch(bench::driver(size));
  const torch::NoGradGuard no_grad;
  bevfusion::Network one(bench::driver(size));
  one->eval();
  std::vector<bevfusion::Network> of_tasks;
  std::int64_t parameters = 0;
  for (const std::string& task : bench::driver_tasks()) {
    of_tasks.emplace_back(bench::driver(size, task));
    of_tasks.back()->eval();
    parameters += parameters_of(of_tasks.back());
  }
  fuller::bench::Contest contest;
  contest.add("one", [&] { one->forward(batch.input); });
  contest.add("fps_ratio", [&] {
    for (bevfusion::Network& expert : of_tasks) {
      expert->forward(batch.input);
    }
  });
  contest.run(state);
  state.counters["parameter_ratio"] = static_cast<double>(parameters_of(one)) / static_cast<double>(parameters);
}

void add(const std::string& name, const std::function<void(benchmark::State&)>& run, int iterations) {
  benchmark::RegisterBenchmark(name.c_str(), run)->Iterations(iterations)->UseManualTime()->Unit(benchmark::kMillisecond);
}

}  // namespace

int main(int argc, char** argv) {
  setenv("OMP_NUM_THREADS", "2", 0);
  example::run_on_all_cores(argv);
  bench::name_machine(TORCH_VERSION);
  for (const bool real : {true, false}) {
    for (const bool backward : {false, true}) {
      const std::string name =
          std::string("sparse_encoder/") + (real ? "key_frame" : "synthetic") + (backward ? "/backward" : "/forward");
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { sparse_encoder(state, real, backward); })
          ->Iterations(5)
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  const struct {
    const char* size;
    int steps;
    int frames;
  } sizes[] = {{"tiny", 20, 60}, {"small", 8, 30}, {"full", 3, 9}};
  for (const auto& [size, steps, frames] : sizes) {
    const std::string name = size;
    add(
        "step/" + name, [=](benchmark::State& state) { training_step(state, name); }, steps);
    add(
        "table_5/" + name, [=](benchmark::State& state) { table_5(state, name); }, frames);
    if (name != "full") {
      add(
          "experts/" + name, [=](benchmark::State& state) { experts(state, name); }, frames / 3);
    }
    benchmark::RegisterBenchmark(("loader/" + name).c_str(), [=](benchmark::State& state) { loader(state, name); })
        ->Iterations(1)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}

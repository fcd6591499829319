// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <fuller/measure/clock.hpp>
#include <fuller/measure/device_meter.hpp>
#include <fuller/measure/host_memory.hpp>
#include <fuller/measure/paired_ratio.hpp>

#include "step/variants.hpp"

namespace bench {

/// What one variant of a network took.
struct Measured {
  std::string name;
  double seconds = 0;                ///< median
  fuller::RatioInterval time;        ///< over the plain step
  fuller::RatioInterval over_floor;  ///< (variant - plain - floor) / plain
  std::int64_t peak = 0;             ///< bytes above what was there when the step began
  double peak_ratio = 0;             ///< over the plain step's
  double peak_of_budget = 0;         ///< over the plain step's plus max(0, (T-1)|z| + T|theta_L| - what the heads freed)
  std::size_t rounds = 0;
};

/// Bytes of a step's tensors that the memory budget speaks of.
struct StepBytes {
  std::int64_t representation = 0;  ///< |z|
  std::int64_t last_weight = 0;     ///< |theta_L|
  std::int64_t heads = 0;           ///< what the heads' backward frees: their activations, less the gradients that it leaves
};

inline StepBytes step_bytes(Network& net, const fuller::HostMemory& memory) {
  StepBytes bytes;
  bytes.last_weight = static_cast<std::int64_t>(net.last_weight.nbytes());
  const Tensor z = net.shared();
  bytes.representation = static_cast<std::int64_t>(z.nbytes());
  const std::int64_t before = memory.live();
  const std::vector<Tensor> losses = naive::losses_of(net, z);
  bytes.heads = memory.live() - before - static_cast<std::int64_t>(losses.size()) * 4;
  for (const auto& head : net.heads) {
    for (const Tensor& parameter : head->parameters()) {
      bytes.heads -= static_cast<std::int64_t>(parameter.nbytes());
    }
  }
  return bytes;
}

inline void measure_memory(Network& net, const std::vector<Variant>& variants, std::vector<Measured>& results) {
  const fuller::HostMemory memory;
  const StepBytes bytes = step_bytes(net, memory);
  for (std::size_t v = 0; v < variants.size(); ++v) {
    for (int k = 0; k < 2; ++k) {  // what outlives a step is there in the second
      net.drop_gradients();
      results[v].peak = memory.peak_of(variants[v].step);
    }
  }
  const auto tasks = static_cast<std::int64_t>(net.heads.size());
  const std::int64_t plain = results[0].peak;
  const std::int64_t budget =
      plain + std::max<std::int64_t>(0, (tasks - 1) * bytes.representation + tasks * bytes.last_weight - bytes.heads);
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].peak_ratio = static_cast<double>(results[v].peak) / static_cast<double>(plain);
    results[v].peak_of_budget = variants[v].has_memory_budget ? static_cast<double>(results[v].peak) / static_cast<double>(budget)
                                                              : std::numeric_limits<double>::quiet_NaN();
  }
}

/// Times all variants round by round, so that whatever the machine does meets all of them; each is compared with the plain step
/// of its own round. The order is drawn anew for each round, since what ran before decides what the caches hold. The plain step
/// and the floor, to which everything is compared, run three times a round and count with their median; variants with a trunk
/// pass for each task join every fourth round. On the CPU in this thread's processor time; on a device in elapsed time, until it
/// is done.
inline void measure_time(Network& net, const std::vector<Variant>& variants, double for_seconds, std::vector<Measured>& results) {
  const at::Device device = net.last_weight.device();
  const auto now = [&] {
    fuller::detail::wait_for(device);
    return fuller::seconds(device.is_cpu() ? fuller::Clock::thread : fuller::Clock::wall);
  };
  constexpr std::size_t fewest_rounds = 24;
  std::mt19937 generator(1);
  std::vector<std::vector<double>> seconds(variants.size()), ratios(variants.size()), over_floor(variants.size());
  const double begin = fuller::seconds(fuller::Clock::wall);
  for (std::size_t round = 0; round < fewest_rounds || fuller::seconds(fuller::Clock::wall) - begin < for_seconds; ++round) {
    std::vector<std::size_t> order{0, 0, 1, 1};
    for (std::size_t v = 0; v < variants.size(); ++v) {
      if (!variants[v].passes_trunk_per_task || round % 4 == 0) {
        order.push_back(v);
      }
    }
    std::shuffle(order.begin(), order.end(), generator);
    std::vector<std::vector<double>> times(variants.size());
    for (const std::size_t v : order) {
      net.drop_gradients();
      const double start = now();
      variants[v].step();
      times[v].push_back(now() - start);
    }
    const double plain = fuller::median(times[0]), floor = fuller::median(times[1]);
    for (std::size_t v = 0; v < variants.size(); ++v) {
      if (!times[v].empty()) {
        const double time = fuller::median(times[v]);
        seconds[v].push_back(time);
        ratios[v].push_back(time / plain);
        over_floor[v].push_back((time - plain - floor) / plain);
      }
    }
  }
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].rounds = seconds[v].size();
    results[v].seconds = fuller::median(seconds[v]);
    results[v].time = fuller::median_interval(ratios[v]);
    results[v].over_floor = fuller::median_interval(over_floor[v]);
  }
  for (double* bound : {&results[1].time.ratio, &results[1].time.low, &results[1].time.high}) {
    *bound += 1;  // the floor of a step is the plain one and T weight gradients
  }
}

/// Checks, then measures every variant of a network.
inline std::vector<Measured> measure(const Network::Kind& kind, double for_seconds) {
  Network net(kind);
  const std::vector<Variant> variants = variants_of(net);
  expect_equal_steps(net, variants, "last_shared/IMTL-G", "naive/last_shared/IMTL-G");
  expect_equal_steps(net, variants, "whole/FULLER", "naive/whole/FULLER");
  std::vector<Measured> results(variants.size());
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].name = variants[v].name;
    net.drop_gradients();
    variants[v].step();
  }
  measure_memory(net, variants, results);
  measure_time(net, variants, for_seconds, results);
  return results;
}

}  // namespace bench

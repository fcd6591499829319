// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
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
  double seconds = 0;          ///< median
  fuller::RatioInterval time;  ///< over the plain step
  static constexpr double none = std::numeric_limits<double>::quiet_NaN();
  fuller::RatioInterval over_floor{none, none, none};  ///< (variant - plain - floor) / plain
  fuller::RatioInterval over_trunk{none, none, none};  ///< (variant - plain - T - 1 passes through the trunk) / plain
  fuller::RatioInterval over_held{none, none, none};   ///< (variant - the step that holds its cotangents) / plain
  fuller::RatioInterval over_naive{none, none, none};  ///< (variant - the naive loop over all shared parameters) / plain
  std::int64_t peak = 0;                               ///< bytes above what was there when the step began
  double peak_ratio = 0;                               ///< over the plain step's
  /// Over the plain step's plus max(0, (T-1)|z| + T|theta| - what the heads freed) plus a double, the loss scale, plus T losses
  /// where the rule reads them; theta is the last shared weight, or the largest shared parameter.
  double peak_of_budget = 0;
  std::size_t rounds = 0;
};

/// Bytes of a step's tensors that the memory budget speaks of.
struct StepBytes {
  std::int64_t representation = 0;  ///< |z|
  std::int64_t last_weight = 0;     ///< |theta_L|
  std::int64_t largest = 0;         ///< of the shared parameters
  std::int64_t heads = 0;           ///< what the heads' backward frees: their activations, less the gradients that it leaves
  std::int64_t loss = 0;            ///< of one task
};

inline StepBytes step_bytes(Network& net, const fuller::HostMemory& memory) {
  StepBytes bytes;
  bytes.last_weight = static_cast<std::int64_t>(net.last_weight.nbytes());
  for (const Tensor& parameter : net.shared_parameters()) {
    bytes.largest = std::max(bytes.largest, static_cast<std::int64_t>(parameter.nbytes()));
  }
  const Tensor z = net.shared();
  bytes.representation = static_cast<std::int64_t>(z.nbytes());
  const std::int64_t before = memory.live();
  const std::vector<Tensor> losses = naive::losses_of(net, z);
  bytes.loss = static_cast<std::int64_t>(losses.front().nbytes());
  bytes.heads = memory.live() - before - static_cast<std::int64_t>(losses.size()) * bytes.loss;
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
  const auto budget = [&](std::int64_t weight, bool keeps_losses) {
    const std::int64_t held = (tasks - 1) * bytes.representation + tasks * weight - bytes.heads;
    const std::int64_t scalars = static_cast<std::int64_t>(sizeof(double)) + (keeps_losses ? tasks * bytes.loss : 0);
    return static_cast<double>(plain + std::max<std::int64_t>(0, held) + scalars);
  };
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].peak_ratio = static_cast<double>(results[v].peak) / static_cast<double>(plain);
    const Budget kind = variants[v].budget;
    results[v].peak_of_budget = kind == Budget::none ? Measured::none
                                                     : static_cast<double>(results[v].peak) /
                                                           budget(kind == Budget::last_layer ? bytes.last_weight : bytes.largest,
                                                                  variants[v].keeps_losses);
  }
}

/// What a variant costs beyond another of the same round.
struct Beyond {
  const char* name;                        ///< of the other
  bool beside_plain;                       ///< whether that is a part of a step, to be counted on top of the plain one
  fuller::RatioInterval Measured::*found;  ///< over the plain step
};

inline constexpr Beyond beyond[] = {{last_layer_floor, true, &Measured::over_floor},
                                    {trunk_floor, true, &Measured::over_trunk},
                                    {held_floor, false, &Measured::over_held},
                                    {naive_trunk, false, &Measured::over_naive}};

/// Where in the list; its end where it is not.
inline std::size_t place_of(const std::vector<Variant>& variants, const std::string& name) {
  const auto place = std::find_if(variants.begin(), variants.end(), [&](const Variant& one) { return one.name == name; });
  return static_cast<std::size_t>(place - variants.begin());
}

/// How steps are timed that other processes take part in.
struct Together {
  fuller::Clock clock = fuller::Clock::thread;                       ///< on the CPU
  std::function<bool(bool)> agree = [](bool mine) { return mine; };  ///< whether all processes begin another round
  std::function<void()> meet = [] {};                                ///< waits for all of them, before a step is timed
};

/// Times all variants round by round, so that whatever the machine does meets all of them; each is compared with the plain step
/// of its own round. The order is drawn anew for each round, since what ran before decides what the caches hold. The plain step
/// and the floor, to which everything is compared, run three times a round and count with their median; variants with a trunk
/// pass for each task join every fourth round. On the CPU in this thread's processor time; on a device in elapsed time, until it
/// is done.
inline void measure_time(Network& net, const std::vector<Variant>& variants, double for_seconds, std::vector<Measured>& results,
                         const Together& together = {}) {
  const at::Device device = net.last_weight.device();
  const auto now = [&] {
    fuller::detail::wait_for(device);
    return fuller::seconds(device.is_cpu() ? together.clock : fuller::Clock::wall);
  };
  constexpr std::size_t fewest_rounds = 24;
  std::mt19937 generator(1);
  using Lists = std::vector<std::vector<double>>;
  Lists seconds(variants.size()), ratios(variants.size());
  std::map<const Beyond*, Lists> more;
  const double begin = fuller::seconds(fuller::Clock::wall);
  const auto goes_on = [&](std::size_t round) {
    return together.agree(round < fewest_rounds || fuller::seconds(fuller::Clock::wall) - begin < for_seconds);
  };
  for (std::size_t round = 0; goes_on(round); ++round) {
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
      together.meet();
      const double start = now();
      variants[v].step();
      times[v].push_back(now() - start);
    }
    const double plain = fuller::median(times[0]);
    for (std::size_t v = 0; v < variants.size(); ++v) {
      if (!times[v].empty()) {
        const double time = fuller::median(times[v]);
        seconds[v].push_back(time);
        ratios[v].push_back(time / plain);
      }
    }
    for (const Beyond& one : beyond) {
      const std::size_t other = place_of(variants, one.name);
      if (other == variants.size() || times[other].empty()) {
        continue;
      }
      const double least = fuller::median(times[other]) + (one.beside_plain ? plain : 0);
      Lists& lists = more[&one];
      lists.resize(variants.size());
      for (std::size_t v = 0; v < variants.size(); ++v) {
        if (!times[v].empty()) {
          lists[v].push_back((fuller::median(times[v]) - least) / plain);
        }
      }
    }
  }
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].rounds = seconds[v].size();
    results[v].seconds = fuller::median(seconds[v]);
    results[v].time = fuller::median_interval(ratios[v]);
    for (const auto& [one, lists] : more) {
      results[v].*(one->found) = fuller::median_interval(lists[v]);
    }
  }
  for (const Beyond& one : beyond) {
    const std::size_t v = place_of(variants, one.name);
    if (one.beside_plain && v < variants.size()) {
      for (double* bound : {&results[v].time.ratio, &results[v].time.low, &results[v].time.high}) {
        *bound += 1;  // the floor of a step is the plain one and what was timed
      }
    }
  }
}

/// Checks, then measures every variant of a network.
inline std::vector<Measured> measure(const Network::Kind& kind, double for_seconds) {
  Network net(kind);
  const std::vector<Variant> variants = variants_of(net);
  expect_equal_steps(net, variants, "last_shared/IMTL-G", "naive/last_shared/IMTL-G");
  expect_equal_steps(net, variants, "whole/FULLER", "naive/whole/FULLER");
  expect_equal_steps(net, variants, "all_shared/FULLER", "one_more/FULLER");
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

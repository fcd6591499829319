// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <cmath>
#include <cstdint>
#include <iomanip>
#include <ostream>
#include <sstream>
#include <utility>
#include <vector>

#include <c10/core/Device.h>

#include <fuller/core/error.hpp>
#include <fuller/measure/clock.hpp>
#include <fuller/measure/device_meter.hpp>
#include <fuller/measure/host_memory.hpp>
#include <fuller/measure/paired_ratio.hpp>

namespace fuller {
inline namespace v0_1 {

/// How measure_overhead() measures.
struct OverheadOptions {
  int warm_up = 3;            ///< how many steps of each kind are taken first and not counted; >= 0
  int pairs = 41;             ///< how many times the two steps are timed one after the other; >= 6 for 95 %
  double confidence = 0.95;   ///< of the interval, in (0, 1)
  Clock clock = Clock::wall;  ///< which time is measured
  c10::Device device = c10::Device(c10::DeviceType::CPU);  ///< where the steps run: it is waited for before a clock is read
};

/// What calibration costs: a calibrated training step compared with the plain one.
struct Overhead {
  RatioInterval time;             ///< calibrated over plain: median of the paired ratios, and its interval
  double confidence = 0;          ///< of the interval
  int pairs = 0;                  ///< how many were measured
  double plain_seconds = 0;       ///< median time of the plain step
  double calibrated_seconds = 0;  ///< median time of the calibrated step
  std::int64_t plain_peak = 0;    ///< the most bytes that tensors on the device held, above those held when the step began
  std::int64_t calibrated_peak = 0;
  std::int64_t plain_waits = 0;  ///< how often the host waited for the device in a step
  std::int64_t calibrated_waits = 0;
  c10::Device device = c10::Device(c10::DeviceType::CPU);  ///< where the steps ran

  /// The value of peaks and waits that could not be measured; on the CPU waits always have it, as there is nothing to wait for.
  static constexpr std::int64_t not_measured = detail::not_measured;

  /// calibrated_peak / plain_peak; NaN where one was not measured, or the plain step allocated nothing.
  double peak_ratio() const {
    const bool known = plain_peak > 0 && calibrated_peak >= 0;
    return known ? static_cast<double>(calibrated_peak) / static_cast<double>(plain_peak) : std::nan("");
  }
};

/// Measures what calibration adds to a training step.
///
///     fuller::Overhead overhead = fuller::measure_overhead([&] { plain_step(); }, [&] { calibrated_step(); });
///     std::cout << overhead;
///
/// Each callable takes one whole training step: zero_grad, forward, backward, optimizer.step(). They may share a model, which
/// both then train, or have separate ones.
///
/// Method. After the warm-up, memory is measured in one step of each kind (on the CPU the allocator is replaced meanwhile by one
/// that counts; on other devices the caching allocator's statistics are read), then host waits, then time. For time, both steps
/// are taken `pairs` times, one right after the other, in alternating order, and the device is waited for before each reading of
/// the clock. The ratio is the median of the paired ratios; its interval comes from their order statistics and assumes no
/// distribution (see median_interval).
///
/// Takes at most 2 (warm_up + pairs + 3) steps in all, on the calling thread.
/// @throws Error for options that make no sense (too few pairs: at least six for 95 %; Clock::thread on a device other than the
///         CPU), and what the steps throw
template <class Plain, class Calibrated>
Overhead measure_overhead(Plain&& plain, Calibrated&& calibrated, const OverheadOptions& options = {}) {
  if (options.warm_up < 0 || options.pairs < 1) {
    detail::fail("options.warm_up is ", options.warm_up, " and options.pairs ", options.pairs, "; at least 0 and 1 are needed");
  }
  if (options.clock == Clock::thread && !options.device.is_cpu()) {
    detail::fail("options.clock is Clock::thread, which does not see what ", options.device.str(), " does; use Clock::wall");
  }
  median_interval(std::vector<double>(static_cast<std::size_t>(options.pairs), 1.0), options.confidence);  // enough of them?
  for (int k = 0; k < options.warm_up; ++k) {
    plain();
    calibrated();
  }
  Overhead result;
  result.device = options.device;
  result.confidence = options.confidence;
  result.pairs = options.pairs;
  if (options.device.is_cpu()) {
    const HostMemory memory;
    plain();  // what outlives a step (gradients, moments) is made again under the allocator that counts
    calibrated();
    result.plain_peak = memory.peak_of(plain);
    result.calibrated_peak = memory.peak_of(calibrated);
  } else {
    result.plain_peak = detail::device_peak_of(options.device, plain);
    result.calibrated_peak = detail::device_peak_of(options.device, calibrated);
  }
  result.plain_waits = detail::host_waits_of(options.device, plain);
  result.calibrated_waits = detail::host_waits_of(options.device, calibrated);

  const auto timed = [&](auto& step) {
    detail::wait_for(options.device);
    const double begin = seconds(options.clock);
    step();
    detail::wait_for(options.device);
    return seconds(options.clock) - begin;
  };
  std::vector<double> plain_times;
  std::vector<double> calibrated_times;
  for (int k = 0; k < options.pairs; ++k) {
    if (k % 2 == 0) {
      plain_times.push_back(timed(plain));
      calibrated_times.push_back(timed(calibrated));
    } else {
      calibrated_times.push_back(timed(calibrated));
      plain_times.push_back(timed(plain));
    }
  }
  result.time = paired_ratio(calibrated_times, plain_times, options.confidence);
  result.plain_seconds = median(std::move(plain_times));
  result.calibrated_seconds = median(std::move(calibrated_times));
  return result;
}

/// Writes four lines of text, and a fifth where the interval is so wide that the ratio tells little.
inline std::ostream& operator<<(std::ostream& out, const Overhead& overhead) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(3);
  text << "calibrated / plain step  " << overhead.time.ratio << " (" << std::setprecision(0) << 100 * overhead.confidence
       << " % interval " << std::setprecision(3) << overhead.time.low << " to " << overhead.time.high << ", " << overhead.pairs
       << " pairs)\n";
  text << "median time              " << 1e3 * overhead.calibrated_seconds << " / " << 1e3 * overhead.plain_seconds << " ms\n";
  text << "peak memory of the step  ";
  if (overhead.plain_peak == Overhead::not_measured) {
    text << "not measured: this LibTorch does not tell";
  } else {
    const double mebibyte = 1024.0 * 1024.0;
    text << static_cast<double>(overhead.calibrated_peak) / mebibyte << " / "
         << static_cast<double>(overhead.plain_peak) / mebibyte << " MiB";
  }
  text << "\nhost waits for device    ";
  if (overhead.device.is_cpu()) {
    text << "none: the steps run on the CPU";
  } else if (overhead.plain_waits == Overhead::not_measured) {
    text << "not measured: define FULLER_MEASURE_CUDA";
  } else {
    text << overhead.calibrated_waits << " / " << overhead.plain_waits;
  }
  if (overhead.time.high > 1.5 * overhead.time.low) {
    text << "\nthe interval is wide     other programs took the processor: measure with options.clock = fuller::Clock::thread on "
            "one "
            "thread (at::set_num_threads(1)), or with more pairs";
  }
  return out << text.str() << '\n';
}

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD

// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>
#include <fuller/measure/overhead.hpp>

#include "support/catch.hpp"

namespace {

void work(int units) {
  volatile double sum = 0;
  for (int k = 0; k < 100000 * units; ++k) {
    sum = sum + 1;
  }
}

constexpr std::int64_t kilobyte = 256;  // floats

}  // namespace

TEST_CASE("a step of three times the work and memory is measured as such", "[measure]") {
  std::string order;
  const auto plain = [&] {
    order += 'p';
    work(1);
    const at::Tensor a = at::empty({kilobyte}, at::kFloat);
    at::empty({kilobyte / 2}, at::kFloat);
  };
  const auto calibrated = [&] {
    order += 'c';
    work(3);
    at::empty({kilobyte}, at::kFloat);  // gone before the next
    std::vector<at::Tensor> held;
    for (int k = 0; k < 3; ++k) {
      held.push_back(at::empty({3 * kilobyte / 2}, at::kFloat));
    }
  };
  fuller::OverheadOptions options;
  options.warm_up = 2;
  options.pairs = 21;
  options.clock = fuller::Clock::thread;
  const fuller::Overhead overhead = fuller::measure_overhead(plain, calibrated, options);

  CHECK(overhead.plain_peak == 1024 + 512);
  CHECK(overhead.calibrated_peak == 3 * 1536);
  CHECK(overhead.peak_ratio() == 3);
  CHECK(overhead.time.ratio > 2.4);
  CHECK(overhead.time.ratio < 3.6);
  CHECK(overhead.time.low <= overhead.time.ratio);
  CHECK(overhead.time.high >= overhead.time.ratio);
  CHECK(overhead.calibrated_seconds > overhead.plain_seconds);
  CHECK(overhead.plain_waits == fuller::Overhead::not_measured);

  REQUIRE(order.size() == 2 * (2 + 21 + 3));
  CHECK(order.substr(order.size() - 42, 8) == "pccppccp");

  std::ostringstream text;
  text << overhead;
  CHECK(text.str().find("95 % interval") != std::string::npos);
  CHECK(text.str().find("21 pairs") != std::string::npos);
  CHECK(text.str().find("none: the steps run on the CPU") != std::string::npos);
}

TEST_CASE("a ratio whose interval says little is printed with the way to a better one", "[measure]") {
  fuller::Overhead overhead;
  const auto printed = [&](double low, double high) {
    overhead.time = {6.1, low, high};
    std::ostringstream text;
    text << overhead;
    return text.str();
  };
  CHECK(printed(2.4, 14.9).find("Clock::thread") != std::string::npos);
  CHECK(printed(5.9, 6.3).find("Clock::thread") == std::string::npos);
}

TEST_CASE("the CPU's allocator is put back, whatever happens", "[measure]") {
  const c10::Allocator* const before = c10::GetCPUAllocator();
  at::Tensor survivor;
  std::int64_t peak = 0;
  {
    const fuller::HostMemory memory;
    CHECK(c10::GetCPUAllocator() != before);
    CHECK_THROWS_AS(fuller::HostMemory(), fuller::Error);
    const std::int64_t live = memory.live();
    peak = memory.peak_of([&] { survivor = at::ones({kilobyte}, at::kFloat); });
    CHECK(memory.live() == live + 1024);
    CHECK(memory.peak_of([] {}) == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(survivor.data_ptr()) % 64 == 0);
  }
  CHECK(peak == 1024);
  CHECK(c10::GetCPUAllocator() == before);
  CHECK(survivor.sum().item<float>() == kilobyte);
  survivor.resize_({4 * kilobyte});  // grows by the allocator that it came from
  CHECK(survivor.slice(0, 0, kilobyte).sum().item<float>() == kilobyte);

  int calls = 0;
  const auto throws = [&] {
    if (++calls == 5) {
      throw std::runtime_error("the step fails while memory is measured");
    }
  };
  CHECK_THROWS_AS(fuller::measure_overhead(throws, [] {}), std::runtime_error);
  CHECK(calls == 5);
  CHECK(c10::GetCPUAllocator() == before);
}

TEST_CASE("options that make no sense are refused before a step runs", "[measure]") {
  int calls = 0;
  const auto step = [&] { ++calls; };
  fuller::OverheadOptions few;
  few.pairs = 5;
  CHECK_THROWS_AS(fuller::measure_overhead(step, step, few), fuller::Error);
  fuller::OverheadOptions none;
  none.pairs = 0;
  CHECK_THROWS_AS(fuller::measure_overhead(step, step, none), fuller::Error);
  fuller::OverheadOptions cold;
  cold.warm_up = -1;
  CHECK_THROWS_AS(fuller::measure_overhead(step, step, cold), fuller::Error);
  CHECK(calls == 0);
}

TEST_CASE("a thread's processor time says nothing of a device, and is refused there", "[measure]") {
  fuller::OverheadOptions options;
  options.clock = fuller::Clock::thread;
  options.device = c10::Device(c10::DeviceType::CUDA, 0);
  bool ran = false;
  const auto step = [&] { ran = true; };
  try {
    fuller::measure_overhead(step, step, options);
    FAIL("it was measured");
  } catch (const fuller::Error& error) {
    CHECK(std::string(error.what()).find("Clock::wall") != std::string::npos);
  }
  CHECK_FALSE(ran);
}

TEST_CASE("a calibrated step's memory: two cotangents at the fork, and nothing that stays", "[measure]") {
  // A trunk of one linear layer and heads without activations of their own: the fork holds T cotangents where the plain step
  // adds them up as they come, so the peak rises, by no more than (T - 1) |z| + T |theta_L| and what the heads' scalars take.
  constexpr std::int64_t batch = 64, width = 32;
  torch::manual_seed(2);
  torch::nn::Linear shared(width, width);
  const at::Tensor x = torch::randn({batch, width});
  fuller::Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  const auto step = [&](bool calibrated) {
    shared->zero_grad();
    const at::Tensor z = shared(x);
    std::vector<at::Tensor> inputs{z, z};
    if (calibrated) {
      inputs = calibration.fork(z);
    }
    const at::Tensor a = inputs[0].pow(2).mean(), b = (inputs[1] - x).abs().mean();
    (calibrated ? calibration.sum({a, b}) : a + b).backward();
  };
  fuller::OverheadOptions options;
  options.pairs = 6;
  const fuller::Overhead overhead = fuller::measure_overhead([&] { step(false); }, [&] { step(true); }, options);
  const std::int64_t z_bytes = batch * width * 4, weight_bytes = width * width * 4;
  CHECK(overhead.plain_peak > z_bytes);
  CHECK(overhead.calibrated_peak <= overhead.plain_peak + z_bytes + 2 * weight_bytes + 1024);
}

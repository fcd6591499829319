// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

#ifdef __linux__
#include <dlfcn.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <benchmark/benchmark.h>

namespace bench {

inline std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  std::string line;
  while (std::getline(info, line)) {
    if (line.rfind("model name", 0) == 0) {
      const auto colon = line.find(": ");
      return colon == std::string::npos ? line : line.substr(colon + 2);
    }
  }
  return "unknown CPU";
}

inline std::string compiler() {
#if defined(__clang__)
  return std::string("clang ") + __clang_version__;
#elif defined(__GNUC__)
  return std::string("g++ ") + __VERSION__;
#else
  return "unknown compiler";
#endif
}

/// Says in the output what was measured on and with.
inline void name_machine(const std::string& libtorch = "none") {
  benchmark::AddCustomContext("machine", cpu_model() + ", " + std::to_string(std::thread::hardware_concurrency()) + " cores");
  benchmark::AddCustomContext("compiler", compiler());
  benchmark::AddCustomContext("libtorch", libtorch);
}

/// Keeps memory that was freed: giving it back to the system after every step, and getting it again page by page, would take a
/// large and changing part of a small step.
inline void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 2000000000);
#endif
}

/// Keeps a BLAS that has threads of its own to the calling one.
inline void one_blas_thread() {
#ifdef __linux__
  using Set = void (*)(int);
  if (auto set = reinterpret_cast<Set>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"))) {
    set(1);
  }
#endif
}

}  // namespace bench

// SPDX-License-Identifier: Apache-2.0
#pragma once

// A small interpreter of PTX: runs compiled CUDA kernels without a GPU, and watches them as compute-sanitizer would.
//
//   fuller::ptx::Machine machine;
//   const fuller::ptx::Module module(text_of_the_ptx);
//   machine.add(x.data(), bytes, fuller::ptx::Access::read_only, "x");   // device memory is the host's, where it was registered
//   machine.launch(module, "mangled_name", blocks, threads, {{&argument, sizeof argument}}, {Order::random, 1});
//   for (const fuller::ptx::Finding& f : machine.findings()) ...
//
// What is watched, each with the PTX's line and, where nvcc was given -lineinfo, the source's:
//   memcheck   an access outside of registered memory, shared or local memory, to the wrong space, not aligned, a write to what
//   is
//              only read; ends the launch
//   initcheck  a read of a register, or of shared, local or registered memory, that was never written
//   racecheck  two threads of a block at one byte, one of them writing, with no bar.sync or bar.warp.sync between
//   blockrace  the same by two blocks, with no order by fence, atomic, atomic, fence (and barriers inside of the blocks)
//   synccheck  barriers and warp operations that not all reach, or not at the same instruction; ends the launch where nothing
//   moves stale      a load that may be cached in L1, of what another block wrote in this launch

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ptx/module.hpp"

namespace fuller::ptx {

/// The order of blocks, and of threads between barriers. `random` runs up to `resident` blocks in turns of a few hundred
/// instructions of one thread each.
enum class Order { forward, backward, random };
struct Schedule {
  Order order = Order::forward;
  unsigned seed = 0;
  unsigned resident = 8;
  std::vector<int> only{};  ///< blocks that run, those < 0 counted from the last; empty: all
};

/// unwritten: may be written, and must be before it is read. unwatched: may be written, and nobody looks in which order.
enum class Access { read_only, written, unwritten, unwatched };

struct Finding {
  std::string kind;
  std::string what;
  std::string where;
  std::uint64_t times = 0;
};

/// Ends a launch that cannot go on; what happened is among the findings.
struct Stopped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Machine {
 public:
  Machine();
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// Registers memory of the host as the device's; throws std::runtime_error where it overlaps with other memory.
  void add(const void* begin, std::size_t bytes, Access access, const std::string& name);
  void forget_all();
  /// Runs a kernel to its end; throws Stopped where it cannot, std::runtime_error where a device would refuse the launch.
  /// Findings are kept, one for each kind and instruction.
  void launch(const Module& module, const std::string& entry, unsigned blocks, unsigned threads,
              const std::vector<std::pair<const void*, std::size_t>>& arguments, const Schedule& schedule);
  std::vector<Finding> findings() const;
  void clear_findings();
  std::uint64_t instructions() const;  ///< executed by all threads, so far

  /// Adds so many units in the last place of the 20 bits that rcp.approx.ftz.f64 gives: what the device gives is not specified.
  int approximation_error = 0;

 private:
  friend struct Grid;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fuller::ptx

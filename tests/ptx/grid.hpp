// SPDX-License-Identifier: Apache-2.0
#pragma once

// A launch as it runs: its threads, its blocks, its memory, and who was where last.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ptx/machine.hpp"
#include "ptx/module.hpp"

namespace fuller::ptx {

// In the generic address space these are the windows of shared and local memory; all other addresses are the host's.
inline constexpr std::uint64_t shared_window = 0xA000000000000000U;
inline constexpr std::uint64_t local_window = 0xB000000000000000U;
inline constexpr std::uint64_t window_mask = 0xF000000000000000U;
inline constexpr unsigned warp_lanes = 32;

/// Who was at a byte last. Orders inside of a block are barriers counted, those between blocks are clocks.
struct Touch {
  int block = -1;
  std::uint16_t thread = 0;
  bool atomic = false;
  std::uint32_t time = 0;
  std::uint32_t barriers = 0;
  std::uint32_t warp_syncs = 0;
  const Instruction* at = nullptr;
};
struct Cell {
  Touch wrote;
  Touch read[4];  ///< the last; the last of another thread, of another warp, of another block
};

/// What each thread of each block did before this time is seen: of[block][thread].
struct Clock {
  std::vector<std::vector<std::uint32_t>> of;
};
using SharedClock = std::shared_ptr<const Clock>;
/// The later of both, for each thread.
SharedClock joined(const SharedClock& a, const SharedClock& b);

struct Region {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  Access access = Access::read_only;
  std::string name;
  std::vector<std::uint8_t> known;  ///< empty: all
  std::vector<Cell> cells;          ///< of this launch
};

struct Frame {
  const Function* function = nullptr;
  std::uint32_t next = 0;
  std::size_t registers = 0;
  std::size_t locals = 0;
  std::size_t params = 0;
};

struct Grid;
struct Block;

struct Thread {
  enum State { ready, at_barrier, at_warp, ended };
  State state = ready;
  int index = 0;
  Grid* grid = nullptr;
  Block* block = nullptr;
  std::uint32_t next = 0;
  const Function* function = nullptr;
  std::uint64_t* r = nullptr;
  std::uint8_t* known = nullptr;
  std::vector<std::uint64_t> registers;
  std::vector<std::uint8_t> registers_known;
  std::vector<std::uint8_t> local;
  std::vector<std::uint8_t> local_known;
  std::vector<std::uint8_t> params;
  std::vector<Frame> frames;
  const Instruction* waits_at = nullptr;
  std::uint32_t mask = 0;
  std::uint32_t given = 0;  ///< to a shuffle
  std::uint32_t time = 1;
  std::uint32_t fenced = 0;
  std::uint32_t fence_barriers = 0;
  std::uint32_t barriers = 0;
  std::uint32_t warp_syncs = 0;
  SharedClock sees;
  SharedClock will_see;  ///< after a fence

  void begin(Grid& of, Block& inside, int number);
  void enter(const Function& f);
  void leave();  ///< the function it is in, which is not the kernel
  void undefined(const Instruction& i, int slot);
  std::uint64_t value(const Instruction& i, const Operand& o);
  void set(const Operand& to, std::uint64_t bits) {
    r[to.slot] = bits;
    known[to.slot] = 1;
  }

 private:
  void look_at(const Frame& frame);
};

struct Block {
  unsigned index = 0;
  int alive = 0;
  int waiting = 0;  ///< at its barrier
  std::vector<Thread> threads;
  std::vector<std::uint8_t> shared;
  std::vector<std::uint8_t> shared_known;
  std::vector<Cell> cells;
  std::vector<std::uint32_t> fenced_at_barrier;  ///< by thread
  std::vector<std::uint32_t> reached;
};

struct Machine::State {
  std::vector<std::unique_ptr<Region>> regions;  ///< by address
  std::map<std::pair<std::string, const Instruction*>, Finding> findings;
  std::vector<std::pair<std::string, const Instruction*>> order;
  const Module* module = nullptr;
  std::uint64_t instructions = 0;

  void report(const std::string& kind, const Instruction& at, const std::string& what);
  std::string where(const Instruction& at) const { return module->where(at); }
  /// The number of the region that holds the address; regions.size(): none.
  std::size_t region_of(std::uint64_t address) const;
};

struct Grid {
  Grid(Machine& on, const Function& kernel, unsigned block_count, unsigned block_threads)
      : machine(on), state(*on.state_), entry(kernel), blocks(block_count), threads(block_threads) {}

  Machine& machine;
  Machine::State& state;
  const Function& entry;
  unsigned blocks;
  unsigned threads;
  std::vector<std::uint8_t> arguments;
  std::map<std::uintptr_t, std::shared_ptr<Clock>> released;  ///< by what is atomically changed
  std::vector<std::unique_ptr<Block>> running;
  std::vector<std::unique_ptr<Block>> spare;

  // schedule.cpp
  void run_all(const Schedule& schedule);
  void run_in_order(const std::vector<unsigned>& indices, bool forward);
  void run_at_random(std::vector<unsigned> indices, const Schedule& schedule);
  Block& start(unsigned index);
  void end(std::size_t which);  ///< of the running blocks

  // execute.cpp
  void run(Thread& t, std::uint64_t most);

  // barriers.cpp
  void arrive(Block& block);
  void arrive_at_warp(Thread& t);
  void exchange(Block& block, std::size_t first, std::uint32_t mask, const Instruction& i);
  [[noreturn]] void stuck(const Block& block);

  // memory.cpp
  void load(Thread& t, const Instruction& i);
  void store(Thread& t, const Instruction& i);
  void add_atomically(Thread& t, const Instruction& i);
  std::uint8_t* resolve(Thread& t, const Instruction& i, std::uint64_t address, int bytes, bool write, bool atomic = false);

  // races.cpp
  void touch(const Thread& t, const Instruction& i, Cell& cell, bool write, bool atomic, const char* what);
  void release(Thread& t, std::uint64_t address);
  void fence(Thread& t);

 private:
  std::uint8_t* resolve_shared(Thread& t, const Instruction& i, std::uint64_t address, std::size_t size, bool write, bool atomic);
  std::uint8_t* resolve_local(Thread& t, const Instruction& i, std::uint64_t address, std::size_t size, bool write);
  void expect_known(const Thread& t, const Instruction& i, const std::uint8_t* known, std::size_t size, const char* what,
                    std::size_t at);
};

[[noreturn]] void stop(const Thread& t, const Instruction& i, const std::string& kind, const std::string& what);

}  // namespace fuller::ptx

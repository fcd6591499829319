// SPDX-License-Identifier: Apache-2.0
// Which accesses are in an order. Inside of a block barriers give it. Between blocks a chain does: what a thread did, its fence
// (or a barrier, then another thread's fence after it), an atomic change of a number, an atomic change of it by the other
// block, a fence there, barriers.

#include <algorithm>

#include "ptx/grid.hpp"

namespace fuller::ptx {
namespace {

bool ordered(const Touch& before, const Thread& t, bool atomic) {
  if (before.block < 0 || (before.atomic && atomic)) {
    return true;
  }
  if (before.block == static_cast<int>(t.block->index)) {
    const bool same_warp = before.thread / warp_lanes == static_cast<unsigned>(t.index) / warp_lanes;
    return before.thread == t.index || before.barriers < t.barriers || (same_warp && before.warp_syncs < t.warp_syncs);
  }
  return t.sees && t.sees->of[static_cast<std::size_t>(before.block)][before.thread] > before.time;
}

std::string name_of(const Touch& touch) {
  return "block " + std::to_string(touch.block) + ", thread " + std::to_string(touch.thread);
}

/// Keeps one read of each group that a later write may be in no order with.
void note_read(Cell& cell, const Touch& now) {
  const Touch last = cell.read[0];
  if (last.block >= 0 && (last.block != now.block || last.thread != now.thread)) {
    cell.read[1] = last;
    if (last.block != now.block || last.thread / warp_lanes != now.thread / warp_lanes) {
      cell.read[2] = last;
    }
    if (last.block != now.block) {
      cell.read[3] = last;
    }
  }
  cell.read[0] = now;
}

}  // namespace

SharedClock joined(const SharedClock& a, const SharedClock& b) {
  if (!a || !b || a == b) {
    return a ? a : b;
  }
  auto out = std::make_shared<Clock>(*a);
  for (std::size_t block = 0; block < out->of.size(); ++block) {
    for (std::size_t k = 0; k < out->of[block].size(); ++k) {
      out->of[block][k] = std::max(out->of[block][k], b->of[block][k]);
    }
  }
  return out;
}

void Grid::touch(const Thread& t, const Instruction& i, Cell& cell, bool write, bool atomic, const char* what) {
  const Touch now{
      static_cast<int>(t.block->index), static_cast<std::uint16_t>(t.index), atomic, t.time, t.barriers, t.warp_syncs, &i};
  const auto check = [&](const Touch& before, const char* did) {
    if (!ordered(before, t, atomic)) {
      state.report(before.block == now.block ? "racecheck" : "blockrace", i,
                   name_of(now) + (write ? " writes " : " reads ") + what + ", and " + name_of(before) + did + " it at " +
                       state.where(*before.at) + ", in no order");
    }
  };
  check(cell.wrote, " wrote");
  if (write) {
    for (Touch& read : cell.read) {
      check(read, " read");
      read = Touch();
    }
    cell.wrote = now;
    return;
  }
  if (i.cached && cell.wrote.block >= 0 && cell.wrote.block != now.block) {
    state.report("stale", i, name_of(now) + " reads " + what + " through L1, and " + name_of(cell.wrote) + " wrote it");
  }
  note_read(cell, now);
}

/// What is before a fence that is before this atomic is seen by whoever comes here later, once they are past a fence as well.
void Grid::release(Thread& t, std::uint64_t address) {
  std::shared_ptr<Clock>& clock = released[address];
  auto all = clock ? std::make_shared<Clock>(*clock) : std::make_shared<Clock>();
  all->of.resize(blocks, std::vector<std::uint32_t>(threads));
  t.will_see = joined(t.will_see, clock);
  const bool fenced_since = t.fence_barriers == t.barriers;
  auto& mine = all->of[t.block->index];
  for (std::size_t u = 0; u < mine.size(); ++u) {
    mine[u] = std::max(mine[u], fenced_since ? t.block->reached[u] : t.block->fenced_at_barrier[u]);
  }
  auto& own = mine[static_cast<std::size_t>(t.index)];
  own = std::max(own, t.fenced);
  clock = t.sees ? std::make_shared<Clock>(*joined(all, t.sees)) : all;
}

void Grid::fence(Thread& t) {
  t.fenced = ++t.time;
  t.fence_barriers = t.barriers;
  t.sees = joined(t.sees, t.will_see);
}

}  // namespace fuller::ptx

// SPDX-License-Identifier: Apache-2.0
// Where threads wait for one another: the barrier of a block, that of a warp, and shuffles.

#include <algorithm>
#include <map>

#include "ptx/grid.hpp"

namespace fuller::ptx {

/// Opens the block's barrier where all that have not ended have come.
void Grid::arrive(Block& block) {
  if (block.waiting == 0 || block.waiting != block.alive) {
    return;
  }
  const Instruction* const at = std::find_if(block.threads.begin(), block.threads.end(), [](const Thread& u) {
                                  return u.state == Thread::at_barrier;
                                })->waits_at;
  if (block.alive != static_cast<int>(threads)) {
    state.report("synccheck", *at,
                 "block " + std::to_string(block.index) + ": " + std::to_string(static_cast<int>(threads) - block.alive) +
                     " threads have ended, the others are at a barrier");
  }
  SharedClock sees;
  SharedClock will_see;
  for (std::size_t k = 0; k < block.threads.size(); ++k) {
    Thread& u = block.threads[k];
    if (u.state == Thread::at_barrier && u.waits_at != at) {
      state.report("synccheck", *u.waits_at, "threads of a block meet at different barriers, the other is " + state.where(*at));
    }
    sees = joined(sees, u.sees);
    will_see = joined(will_see, u.will_see);
    block.reached[k] = ++u.time;
    block.fenced_at_barrier[k] = u.fenced;
  }
  block.waiting = 0;
  for (Thread& u : block.threads) {
    if (u.state == Thread::at_barrier) {
      u.state = Thread::ready;
      ++u.barriers;
      u.sees = sees;
      u.will_see = will_see;
    }
  }
}

/// Lets the lanes of a mask go on where all are there.
void Grid::arrive_at_warp(Thread& t) {
  Block& block = *t.block;
  const std::size_t first = static_cast<std::size_t>(t.index) / warp_lanes * warp_lanes;
  const Instruction& i = *t.waits_at;
  const std::uint32_t mask = t.mask;
  if ((mask >> (static_cast<unsigned>(t.index) % warp_lanes) & 1U) == 0) {
    stop(t, i, "synccheck", "a lane is not in its own mask");
  }
  for (std::size_t lane = 0; lane < warp_lanes; ++lane) {
    if ((mask >> lane & 1U) == 0) {
      continue;
    }
    if (first + lane >= threads || block.threads[first + lane].state == Thread::ended) {
      stop(t, i, "synccheck", "lane " + std::to_string(lane) + " is awaited and has ended");
    }
    const Thread& u = block.threads[first + lane];
    if (u.state != Thread::at_warp || u.waits_at != &i || u.mask != mask) {
      return;
    }
  }
  if (i.kind == Kind::shuffle) {
    exchange(block, first, mask, i);
  }
  for (std::size_t lane = 0; lane < warp_lanes; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      Thread& u = block.threads[first + lane];
      u.warp_syncs += i.kind == Kind::warp_barrier ? 1 : 0;
      u.state = Thread::ready;
    }
  }
}

/// shfl.sync, as the PTX reference has it: c holds the end of a segment and which bits of a lane name the segment.
void Grid::exchange(Block& block, std::size_t first, std::uint32_t mask, const Instruction& i) {
  for (std::uint32_t lane = 0; lane < warp_lanes; ++lane) {
    if ((mask >> lane & 1U) == 0) {
      continue;
    }
    Thread& u = block.threads[first + lane];
    const auto b = static_cast<std::uint32_t>(u.value(i, i.from[1])) & 31U;
    const auto c = static_cast<std::uint32_t>(u.value(i, i.from[2]));
    const std::uint32_t segment = c >> 8U & 31U;
    const std::uint32_t low = lane & segment;
    const std::int64_t last = low | (c & 31U & ~segment);
    const std::int64_t self = lane;
    std::int64_t from = low | (b & ~segment);
    if (i.way == 'd') {
      from = self + b;
    } else if (i.way == 'u') {
      from = self - std::int64_t{b};
    } else if (i.way == 'b') {
      from = lane ^ b;
    }
    const bool inside = i.way == 'u' ? from >= last : from <= last;
    from = inside ? from : self;
    if ((mask >> from & 1U) == 0) {
      state.report("synccheck", i, "a lane outside of the mask is read");
    }
    u.set(i.to[0], block.threads[first + static_cast<std::size_t>(from)].given);
    if (i.to.size() > 1) {
      u.set(i.to[1], inside ? 1 : 0);
    }
  }
}

void Grid::stuck(const Block& block) {
  std::map<const Instruction*, int> waiting;
  for (const Thread& t : block.threads) {
    if (t.state == Thread::at_barrier || t.state == Thread::at_warp) {
      ++waiting[t.waits_at];
    }
  }
  std::string text = "block " + std::to_string(block.index) + " cannot go on:";
  for (const auto& [at, count] : waiting) {
    text += " " + std::to_string(count) + " threads wait at " + state.where(*at) + ";";
  }
  state.report("synccheck", *waiting.begin()->first, text);
  throw Stopped(text);
}

}  // namespace fuller::ptx

// SPDX-License-Identifier: Apache-2.0
// Which block and which thread has its turn.

#include <algorithm>
#include <numeric>
#include <random>

#include "ptx/grid.hpp"

namespace fuller::ptx {
namespace {

constexpr std::uint64_t for_ever = std::uint64_t{1} << 34U;

}  // namespace

Block& Grid::start(unsigned index) {
  std::unique_ptr<Block> block;
  if (spare.empty()) {
    block = std::make_unique<Block>();
  } else {
    block = std::move(spare.back());
    spare.pop_back();
  }
  const auto bytes = static_cast<std::size_t>(entry.shared_end - shared_begin);
  block->index = index;
  block->alive = static_cast<int>(threads);
  block->waiting = 0;
  block->threads.resize(threads);
  block->shared.assign(bytes, 0xFF);
  block->shared_known.assign(bytes, 0);
  block->cells.assign(bytes, Cell());
  block->fenced_at_barrier.assign(threads, 0);
  block->reached.assign(threads, 0);
  for (unsigned k = 0; k < threads; ++k) {
    block->threads[k].begin(*this, *block, static_cast<int>(k));
  }
  running.push_back(std::move(block));
  return *running.back();
}

void Grid::end(std::size_t which) {
  std::swap(running[which], running.back());
  spare.push_back(std::move(running.back()));
  running.pop_back();
}

void Grid::run_all(const Schedule& schedule) {
  std::vector<unsigned> indices;
  for (const int b : schedule.only) {
    indices.push_back(b < 0 ? blocks - static_cast<unsigned>(-b) : static_cast<unsigned>(b));
  }
  if (schedule.only.empty()) {
    indices.resize(blocks);
    std::iota(indices.begin(), indices.end(), 0U);
  }
  if (schedule.order == Order::random) {
    run_at_random(std::move(indices), schedule);
    return;
  }
  if (schedule.order == Order::backward) {
    std::reverse(indices.begin(), indices.end());
  }
  run_in_order(indices, schedule.order == Order::forward);
}

void Grid::run_in_order(const std::vector<unsigned>& indices, bool forward) {
  for (const unsigned index : indices) {
    Block& block = start(index);
    while (block.alive > 0) {
      bool moved = false;
      for (unsigned k = 0; k < threads; ++k) {
        Thread& t = block.threads[forward ? k : threads - 1 - k];
        if (t.state == Thread::ready) {
          moved = true;
          run(t, for_ever);
        }
      }
      if (!moved) {
        stuck(block);
      }
    }
    end(running.size() - 1);
  }
}

void Grid::run_at_random(std::vector<unsigned> indices, const Schedule& schedule) {
  std::mt19937 random(schedule.seed);
  std::shuffle(indices.begin(), indices.end(), random);
  while (!running.empty() || !indices.empty()) {
    while (running.size() < schedule.resident && !indices.empty()) {
      start(indices.back());
      indices.pop_back();
    }
    const std::size_t which = random() % running.size();
    Block& block = *running[which];
    // Some thread that may run, and others of about its warp, for a while each: often up to the next barrier.
    auto k = static_cast<unsigned>(random() % threads);
    unsigned tried = 0;
    while (tried < threads && block.threads[k].state != Thread::ready) {
      k = (k + 1) % threads;
      ++tried;
    }
    if (tried == threads) {
      stuck(block);
    }
    for (unsigned u = 0; u < warp_lanes && block.alive > 0; ++u) {
      Thread& t = block.threads[(k + 7 * u) % threads];
      if (t.state == Thread::ready) {
        run(t, random() % 4 == 0 ? 1 + random() % 300 : for_ever);
      }
    }
    if (block.alive == 0) {
      end(which);
    }
  }
}

}  // namespace fuller::ptx

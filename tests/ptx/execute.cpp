// SPDX-License-Identifier: Apache-2.0
// One thread: its registers, its frames, and what each instruction does to them.

#include <algorithm>
#include <cstring>

#include "ptx/grid.hpp"

namespace fuller::ptx {

void stop(const Thread& t, const Instruction& i, const std::string& kind, const std::string& what) {
  const std::string who = "block " + std::to_string(t.block->index) + ", thread " + std::to_string(t.index) + ": " + what;
  t.grid->state.report(kind, i, who);
  throw Stopped(kind + ": " + who + "\n    at " + t.grid->state.where(i));
}

void Thread::begin(Grid& of, Block& inside, int number) {
  state = ready;
  index = number;
  grid = &of;
  block = &inside;
  frames.clear();
  waits_at = nullptr;
  time = 1;
  fenced = barriers = warp_syncs = 0;
  fence_barriers = ~0U;
  sees = will_see = nullptr;
  enter(of.entry);
}

void Thread::enter(const Function& f) {
  Frame frame;
  frame.function = &f;
  if (!frames.empty()) {
    Frame& caller = frames.back();
    caller.next = next;
    frame.registers = caller.registers + static_cast<std::size_t>(caller.function->registers);
    frame.locals = caller.locals + static_cast<std::size_t>(caller.function->local_bytes);
    frame.params = caller.params + static_cast<std::size_t>(caller.function->param_bytes);
  }
  frames.push_back(frame);
  registers.resize(std::max(registers.size(), frame.registers + static_cast<std::size_t>(f.registers)));
  registers_known.resize(registers.size());
  local.resize(std::max(local.size(), frame.locals + static_cast<std::size_t>(f.local_bytes)));
  local_known.resize(local.size());
  params.resize(std::max(params.size(), frame.params + static_cast<std::size_t>(f.param_bytes)));
  look_at(frame);
  std::fill_n(known, f.registers, std::uint8_t{0});
  std::fill_n(local_known.data() + frame.locals, f.local_bytes, std::uint8_t{0});
}

void Thread::leave() {
  const Frame done = frames.back();
  frames.pop_back();
  const Frame& caller = frames.back();
  look_at(caller);
  for (const Copy& c : function->code[next - 1].results) {
    std::memcpy(params.data() + caller.params + c.to, params.data() + done.params + c.from, static_cast<std::size_t>(c.bytes));
  }
}

void Thread::look_at(const Frame& frame) {
  function = frame.function;
  next = frame.next;
  r = registers.data() + frame.registers;
  known = registers_known.data() + frame.registers;
}

void Thread::undefined(const Instruction& i, int slot) {
  grid->state.report("initcheck", i, "register " + std::to_string(slot) + " of " + i.in->name + " is read and was never written");
}

std::uint64_t Thread::value(const Instruction& i, const Operand& o) {
  if (o.slot >= 0) {
    if (known[o.slot] == 0) {
      undefined(i, o.slot);
    }
    return r[o.slot];
  }
  const bool x = o.bits == 0;  // of a special register; y and z are those of a line of blocks and threads
  switch (o.slot) {
    case constant:
      return o.bits;
    case of_local:
      return frames.back().locals + o.bits;
    case of_entry_param:
      return reinterpret_cast<std::uintptr_t>(grid->arguments.data()) + o.bits;
    case tid:
      return x ? static_cast<unsigned>(index) : 0U;
    case ntid:
      return x ? grid->threads : 1U;
    case ctaid:
      return x ? block->index : 0U;
    case nctaid:
      return x ? grid->blocks : 1U;
    default:
      return static_cast<unsigned>(index) % warp_lanes;
  }
}

namespace {

void call(Thread& t, const Instruction& i) {
  const std::size_t from = t.frames.back().params;
  t.enter(*i.callee);
  for (const Copy& c : i.arguments) {
    std::memcpy(t.params.data() + t.frames.back().params + c.to, t.params.data() + from + c.from,
                static_cast<std::size_t>(c.bytes));
  }
}

}  // namespace

/// Runs a thread until it waits, has ended, or has had its turn.
void Grid::run(Thread& t, std::uint64_t most) {
  std::uint64_t count = 0;
  while (count < most && t.state == Thread::ready) {
    const Instruction& i = t.function->code[t.next++];
    ++count;
    ++i.executed;
    if (i.guard >= 0) {
      if (t.known[i.guard] == 0) {
        t.undefined(i, i.guard);
      }
      if ((t.r[i.guard] != 0) == i.guard_not) {
        continue;
      }
    }
    switch (i.kind) {
      case Kind::plain:
        i.execute(t, i);
        break;
      case Kind::load:
        load(t, i);
        break;
      case Kind::store:
        store(t, i);
        break;
      case Kind::atomic:
        add_atomically(t, i);
        break;
      case Kind::branch:
        t.next = i.target;
        break;
      case Kind::call:
        call(t, i);
        break;
      case Kind::leave:
        if (t.frames.size() > 1) {
          t.leave();
          break;
        }
        t.state = Thread::ended;
        --t.block->alive;
        arrive(*t.block);
        break;
      case Kind::trap:
        stop(t, i, "trap", "the kernel gave up");
      case Kind::fence:
        fence(t);
        break;
      case Kind::barrier:
        t.waits_at = &i;
        t.state = Thread::at_barrier;
        ++t.block->waiting;
        arrive(*t.block);
        break;
      case Kind::warp_barrier:
      case Kind::shuffle:
        t.waits_at = &i;
        t.mask = static_cast<std::uint32_t>(t.value(i, i.from.back()));
        t.given = i.kind == Kind::shuffle ? static_cast<std::uint32_t>(t.value(i, i.from[0])) : 0;
        t.state = Thread::at_warp;
        arrive_at_warp(t);
        break;
    }
  }
  state.instructions += count;
}

}  // namespace fuller::ptx

// SPDX-License-Identifier: Apache-2.0
// Loads and stores: whose memory it is, whether it may be touched so, and whether it was ever written.

#include <algorithm>
#include <cstring>

#include "ptx/grid.hpp"

namespace fuller::ptx {
namespace {

const char* const kernel_parameters = "kernel parameters";

}  // namespace

std::size_t Machine::State::region_of(std::uint64_t address) const {
  const auto after = std::upper_bound(regions.begin(), regions.end(), address,
                                      [](std::uint64_t a, const std::unique_ptr<Region>& region) { return a < region->begin; });
  if (after == regions.begin() || address >= (*(after - 1))->end) {
    return regions.size();
  }
  return static_cast<std::size_t>(after - regions.begin()) - 1;
}

void Grid::expect_known(const Thread& t, const Instruction& i, const std::uint8_t* known, std::size_t size, const char* what,
                        std::size_t at) {
  if (std::find(known, known + size, 0) != known + size) {
    state.report("initcheck", i,
                 "block " + std::to_string(t.block->index) + ", thread " + std::to_string(t.index) + " reads " + what + " at " +
                     std::to_string(at) + ", which was never written");
  }
}

std::uint8_t* Grid::resolve_shared(Thread& t, const Instruction& i, std::uint64_t address, std::size_t size, bool write,
                                   bool atomic) {
  Block& block = *t.block;
  if (address < shared_begin || address + size > static_cast<std::uint64_t>(entry.shared_end)) {
    stop(t, i, "memcheck",
         "shared memory at " + std::to_string(static_cast<std::int64_t>(address) - shared_begin) + " of " +
             std::to_string(entry.shared_end - shared_begin));
  }
  const std::size_t at = address - shared_begin;
  for (std::size_t k = at; k < at + size; ++k) {
    touch(t, i, block.cells[k], write, atomic, "shared memory");
  }
  if (write) {
    std::fill_n(block.shared_known.data() + at, size, std::uint8_t{1});
  } else {
    expect_known(t, i, block.shared_known.data() + at, size, "shared memory", at);
  }
  return block.shared.data() + at;
}

std::uint8_t* Grid::resolve_local(Thread& t, const Instruction& i, std::uint64_t address, std::size_t size, bool write) {
  const std::size_t end = t.frames.back().locals + static_cast<std::size_t>(t.function->local_bytes);
  if (address + size > end) {
    stop(t, i, "memcheck", "local memory at " + std::to_string(address) + " of " + std::to_string(end));
  }
  if (write) {
    std::fill_n(t.local_known.data() + address, size, std::uint8_t{1});
  } else {
    expect_known(t, i, t.local_known.data() + address, size, "local memory", address);
  }
  return t.local.data() + address;
}

/// Where the bytes are, after every check that there is.
std::uint8_t* Grid::resolve(Thread& t, const Instruction& i, std::uint64_t address, int bytes, bool write, bool atomic) {
  const auto size = static_cast<std::size_t>(bytes);
  const std::uint64_t window = i.space == Space::generic ? address & window_mask : 0;
  if (address % size != 0) {
    stop(t, i, "memcheck", "an address that is no multiple of " + std::to_string(bytes));
  }
  if (i.space == Space::shared || window == shared_window) {
    return resolve_shared(t, i, address - window, size, write, atomic);
  }
  if (i.space == Space::local || window == local_window) {
    return resolve_local(t, i, address - window, size, write);
  }
  auto& regions = state.regions;
  if (i.last_region >= regions.size() || address < regions[i.last_region]->begin || address >= regions[i.last_region]->end) {
    const std::size_t found = state.region_of(address);
    if (found == regions.size()) {
      const auto after = std::find_if(regions.rbegin(), regions.rend(), [&](const auto& r) { return r->end <= address; });
      stop(t, i, "memcheck",
           std::string(write ? "a write" : "a read") + " of " + std::to_string(bytes) + " bytes outside of all memory" +
               (after == regions.rend()
                    ? ""
                    : ", " + std::to_string(address - (*after)->end) + " bytes after the end of " + (*after)->name));
    }
    i.last_region = found;
  }
  Region& region = *regions[i.last_region];
  if (address + size > region.end) {
    stop(t, i, "memcheck", std::to_string(bytes) + " bytes, of which the last are after the end of " + region.name);
  }
  if (write && region.access == Access::read_only) {
    stop(t, i, "memcheck", "a write to " + region.name + ", which is only read");
  }
  if (i.space == Space::param && region.name != kernel_parameters) {
    stop(t, i, "memcheck", "not a kernel's parameter");
  }
  if (region.access == Access::written || region.access == Access::unwritten) {
    const std::size_t at = address - region.begin;
    region.cells.resize(region.end - region.begin);
    for (std::size_t b = at; b < at + size; ++b) {
      touch(t, i, region.cells[b], write, atomic, region.name.c_str());
    }
    if (write && !region.known.empty()) {
      std::fill_n(region.known.data() + at, size, std::uint8_t{1});
    } else if (!region.known.empty()) {
      expect_known(t, i, region.known.data() + at, size, region.name.c_str(), at);
    }
  }
  return reinterpret_cast<std::uint8_t*>(address);
}

void Grid::load(Thread& t, const Instruction& i) {
  const std::uint8_t* from = nullptr;
  if (i.space == Space::param && i.from[0].slot == constant) {  // of a function, or what one returned
    from = t.params.data() + t.frames.back().params + i.from[1].bits;
  } else {
    from = resolve(t, i, t.value(i, i.from[0]) + i.from[1].bits, i.bytes * i.width, false);
  }
  for (std::size_t k = 0; k < i.width; ++k, from += i.bytes) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, from, i.bytes);
    if (i.is_signed) {
      const int up = 64 - 8 * i.bytes;
      bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(bits << up) >> up);
    }
    if (i.to[k].slot >= 0) {  // not "_"
      t.set(i.to[k], bits);
    }
  }
}

void Grid::store(Thread& t, const Instruction& i) {
  std::uint64_t values[4] = {};
  for (std::size_t k = 0; k < i.width; ++k) {
    values[k] = t.value(i, i.from[2 + k]);
  }
  std::uint8_t* to = nullptr;
  if (i.space == Space::param) {
    to = t.params.data() + t.frames.back().params + i.from[1].bits;
  } else {
    to = resolve(t, i, t.value(i, i.from[0]) + i.from[1].bits, i.bytes * i.width, true);
  }
  for (std::size_t k = 0; k < i.width; ++k) {
    std::memcpy(to + k * i.bytes, &values[k], i.bytes);
  }
}

void Grid::add_atomically(Thread& t, const Instruction& i) {
  const std::uint64_t address = t.value(i, i.from[0]) + i.from[1].bits;
  auto* const at = reinterpret_cast<std::uint32_t*>(resolve(t, i, address, 4, true, true));
  const auto by = static_cast<std::uint32_t>(t.value(i, i.from[2]));
  release(t, address);
  t.set(i.to[0], *at);
  *at += by;
}

// ------------------------------------------------------------------------------------------------------- memory, and a launch of
// it

Machine::Machine() : state_(std::make_unique<State>()) {}
Machine::~Machine() = default;

void Machine::State::report(const std::string& kind, const Instruction& at, const std::string& what) {
  Finding& finding = findings[{kind, &at}];
  if (finding.times++ == 0) {
    finding = {kind, what, where(at), 1};
    order.emplace_back(kind, &at);
  }
}

void Machine::add(const void* begin, std::size_t bytes, Access access, const std::string& name) {
  if (bytes == 0) {
    return;
  }
  auto region = std::make_unique<Region>();
  region->begin = reinterpret_cast<std::uintptr_t>(begin);
  region->end = region->begin + bytes;
  region->access = access;
  region->name = name;
  if (access == Access::unwritten) {
    region->known.resize(bytes);
  }
  auto& regions = state_->regions;
  const auto at = std::upper_bound(regions.begin(), regions.end(), region->begin,
                                   [](std::uintptr_t a, const std::unique_ptr<Region>& r) { return a < r->begin; });
  for (const auto& beside : {at, at == regions.begin() ? regions.end() : at - 1}) {
    if (beside != regions.end() && (*beside)->begin < region->end && (*beside)->end > region->begin) {
      throw std::runtime_error(name + " overlaps with " + (*beside)->name);
    }
  }
  regions.insert(at, std::move(region));
}

void Machine::forget_all() { state_->regions.clear(); }

void Machine::launch(const Module& module, const std::string& entry, unsigned blocks, unsigned threads,
                     const std::vector<std::pair<const void*, std::size_t>>& arguments, const Schedule& schedule) {
  const Function* const f = module.find(entry);
  if (f == nullptr || !f->is_entry || f->params.size() != arguments.size()) {
    throw std::runtime_error("no kernel " + entry + " with " + std::to_string(arguments.size()) + " parameters");
  }
  state_->module = &module;
  Grid grid(*this, *f, blocks, threads);
  for (std::size_t k = 0; k < arguments.size(); ++k) {
    const auto at = static_cast<std::size_t>(f->params[k].at);
    if (static_cast<std::size_t>(f->params[k].bytes) != arguments[k].second) {
      throw std::runtime_error("parameter " + std::to_string(k) + " of " + entry + " has " + std::to_string(f->params[k].bytes) +
                               " bytes, not " + std::to_string(arguments[k].second));
    }
    grid.arguments.resize(at + arguments[k].second);
    std::memcpy(grid.arguments.data() + at, arguments[k].first, arguments[k].second);
  }
  // What every device takes.
  const int shared_bytes = f->shared_end - (f->names_of_module ? shared_begin : f->of_module_end);
  if (threads == 0 || threads > f->most_threads || shared_bytes > 48 * 1024 || grid.arguments.size() > 4096 || blocks == 0) {
    throw std::runtime_error("a launch of " + entry + " that a device refuses");
  }
  add(grid.arguments.data(), grid.arguments.size(), Access::read_only, kernel_parameters);
  struct End {
    std::vector<std::unique_ptr<Region>>& regions;
    ~End() {
      regions.erase(
          std::find_if(regions.begin(), regions.end(), [](const auto& region) { return region->name == kernel_parameters; }));
      for (const auto& region : regions) {
        std::vector<Cell>().swap(region->cells);  // a launch sees all that was before it
      }
    }
  } const end{state_->regions};
  grid.run_all(schedule);
}

std::vector<Finding> Machine::findings() const {
  std::vector<Finding> all;
  for (const auto& key : state_->order) {
    all.push_back(state_->findings.at(key));
  }
  return all;
}
void Machine::clear_findings() {
  state_->findings.clear();
  state_->order.clear();
}
std::uint64_t Machine::instructions() const { return state_->instructions; }

}  // namespace fuller::ptx

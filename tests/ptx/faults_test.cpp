// SPDX-License-Identifier: Apache-2.0
// Whether the interpreter finds what is wrong with the kernels of faults.cu, which FULLER_PTX_FAULTS names, and nothing else.

#include <cstdlib>
#include <set>
#include <string>

#include "ptx/kernels.hpp"
#include "support/catch.hpp"

namespace {

using namespace fuller::ptx;

/// The kinds of what is found, with where, for whoever reads a failure.
std::set<std::string> found_in(const Module& module, const std::string& kernel, const Schedule& schedule, std::string& text) {
  alignas(16) double memory[1024];  // with gaps that are nobody's
  double* const in = memory + 128;
  double* const out = memory + 640;
  constexpr std::size_t bytes = 256 * sizeof(double);
  unsigned ticket = 0;
  unsigned* const ticket_address = &ticket;
  for (int k = 0; k < 256; ++k) in[k] = k;
  Machine machine;
  machine.add(in, bytes, Access::read_only, "in");
  machine.add(out, bytes, Access::unwritten, "out");
  machine.add(&ticket, sizeof ticket, Access::written, "ticket");
  const unsigned blocks = kernel.compare(0, 4, "grid") == 0 ? 5 : 1;
  try {
    machine.launch(module, kernel, blocks, 256, {{&in, 8}, {&out, 8}, {&ticket_address, 8}}, schedule);
  } catch (const Stopped&) {  // the finding says why
  }
  std::set<std::string> kinds;
  for (const Finding& f : machine.findings()) {
    kinds.insert(f.kind);
    text += f.kind + ": " + f.what + "\n    at " + f.where + "\n";
  }
  return kinds;
}

TEST_CASE("each known fault is found, and nothing in the right kernels", "[ptx]") {
  const char* const path = std::getenv("FULLER_PTX_FAULTS");
  if (path == nullptr) FULLER_SKIP("FULLER_PTX_FAULTS names no PTX: there is no CUDA compiler");
  const Module module(read_text(path));
  std::set<std::string> kinds;
  for (const std::string& name : module.entries()) {
    const std::string kind = name.substr(name.find("__") + 2);
    kinds.insert(kind);
    for (unsigned seed = 0; seed < 4; ++seed) {
      constexpr Order orders[] = {Order::forward, Order::backward, Order::random, Order::random};
      std::string text;
      std::set<std::string> found = found_in(module, name, {orders[seed], seed}, text);
      // Whoever reads in no order may also come first.
      if (kind.find("race") != std::string::npos && found.count(kind) != 0) found.erase("initcheck");
      INFO(name << ", order " << seed << ", found:\n" << text);
      CHECK(found == (kind == "right" ? std::set<std::string>() : std::set<std::string>{kind}));
    }
  }
  CHECK(kinds == std::set<std::string>{"right", "memcheck", "initcheck", "racecheck", "blockrace", "synccheck", "stale"});
}

TEST_CASE("PTX that is not understood is refused with its line", "[ptx]") {
  const std::string head =
      ".version 7.0\n.target sm_75\n.address_size 64\n.visible .entry k(.param .u64 p)\n{\n.reg .b64 %r<3>;\n";
  const auto refusal = [&](const std::string& line) {
    try {
      const Module module(head + line + "\nret;\n}\n");
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("understood");
  };
  CHECK(refusal("mov.u64 %r1, %r2;") == "understood");
  CHECK(refusal("vadd4.u32.u32.u32 %r1, %r2, %r0, %r0;") == "PTX line 7: vadd4.u32.u32.u32 is not known");
  CHECK(refusal("add.s64 %r1, %r2;") == "PTX line 7: add.s64 of another number of operands");
  CHECK(refusal("add.s64 %r1, %r2, %x;") == "PTX line 7: '%x' is not known");
  CHECK(refusal("bar.sync 1;") == "PTX line 7: only barrier 0 of all threads is known");
  CHECK(refusal("bra nowhere;").find("no label nowhere") != std::string::npos);
  CHECK(refusal("call f;") == "a call of f, which is not there");
}

}  // namespace

// SPDX-License-Identifier: Apache-2.0
#include "ptx/module.hpp"

#include <algorithm>
#include <set>

#include "ptx/numbers.hpp"
#include "ptx/parser.hpp"

namespace fuller::ptx {

Module::Module(const std::string& text, Fuse fuse) {
  Parser(*this).parse(text);
  for (const auto& [name, f] : functions_) {
    fused_ += fuse == Fuse::nothing ? 0 : fuse_products(*f, fuse);
  }
}
Module::~Module() = default;

std::vector<std::string> Module::entries() const {
  std::vector<std::string> names;
  for (const auto& [name, f] : functions_) {
    if (f->is_entry) {
      names.push_back(name);
    }
  }
  return names;
}

const Function* Module::find(const std::string& name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : found->second.get();
}

std::string Module::where(const Instruction& at) const {
  const std::string text = at.in->name + ", PTX line " + std::to_string(at.line) + " (" + at.opcode + ")";
  const auto file = files_.find(at.file);
  return file == files_.end() ? text : file->second + ":" + std::to_string(at.source_line) + ", in " + text;
}

namespace {

bool writes(const Instruction& i, int slot) {
  return std::any_of(i.to.begin(), i.to.end(), [slot](const Operand& o) { return o.slot == slot; });
}

bool writes_any(const Instruction& i, const std::vector<Operand>& operands) {
  return std::any_of(operands.begin(), operands.end(), [&](const Operand& o) { return o.slot >= 0 && writes(i, o.slot); });
}

/// The product that the operand holds just before `at`; null where that is not sure.
const Instruction* product_in(const Function& f, const std::set<std::uint32_t>& begins, std::uint32_t at, int slot,
                              const std::string& opcode) {
  for (std::uint32_t k = at; slot >= 0 && k > 0 && begins.count(k) == 0 && f.code[k - 1].kind != Kind::branch; --k) {
    const Instruction& i = f.code[k - 1];
    if (!writes(i, slot)) {
      continue;
    }
    const bool is_product = i.opcode == opcode && i.guard < 0;
    const auto from = f.code.begin() + static_cast<std::ptrdiff_t>(k) - 1;
    const auto to = f.code.begin() + static_cast<std::ptrdiff_t>(at);
    const bool factors_stay = std::none_of(from, to, [&](const Instruction& other) { return writes_any(other, i.from); });
    return is_product && factors_stay ? &i : nullptr;
  }
  return nullptr;
}

// a b + c, a b - c, c - a b
template <class T>
void add(Thread& t, const Instruction& i) {
  put<T>(t, i, std::fma(get<T>(t, i, 0), get<T>(t, i, 1), get<T>(t, i, 2)));
}
template <class T>
void subtract(Thread& t, const Instruction& i) {
  put<T>(t, i, std::fma(get<T>(t, i, 0), get<T>(t, i, 1), -get<T>(t, i, 2)));
}
template <class T>
void subtract_from(Thread& t, const Instruction& i) {
  put<T>(t, i, std::fma(-get<T>(t, i, 0), get<T>(t, i, 1), get<T>(t, i, 2)));
}

template <class T>
int fuse(Function& f, const std::string& type, bool first) {
  std::set<std::uint32_t> begins;
  for (const Instruction& i : f.code) {
    if (i.kind == Kind::branch) {
      begins.insert(i.target);
    }
  }
  int count = 0;
  for (std::uint32_t at = 0; at < f.code.size(); ++at) {
    Instruction& i = f.code[at];
    const bool is_sum = i.opcode == "add." + type;
    if (!is_sum && i.opcode != "sub." + type) {
      continue;
    }
    const Instruction* const factors[] = {product_in(f, begins, at, i.from[0].slot, "mul." + type),
                                          product_in(f, begins, at, i.from[1].slot, "mul." + type)};
    if (factors[0] == nullptr && factors[1] == nullptr) {
      continue;
    }
    const std::size_t which = factors[0] == nullptr || (factors[1] != nullptr && !first) ? 1 : 0;
    i.from = {factors[which]->from[0], factors[which]->from[1], i.from[1 - which]};
    i.execute = is_sum ? add<T> : which == 0 ? subtract<T> : subtract_from<T>;
    ++count;
  }
  return count;
}

}  // namespace

int fuse_products(Function& function, Fuse how) {
  return fuse<double>(function, "f64", how == Fuse::first) + fuse<float>(function, "f32", how == Fuse::first);
}

}  // namespace fuller::ptx

// SPDX-License-Identifier: Apache-2.0
// How the instructions of a function's body are read.

#include <algorithm>
#include <cctype>
#include <map>

#include "ptx/parser.hpp"

namespace fuller::ptx {
namespace {

std::vector<std::string> parts_of(const std::string& opcode) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= opcode.size();) {
    const std::size_t dot = std::min(opcode.find('.', at), opcode.size());
    parts.push_back(opcode.substr(at, dot - at));
    at = dot + 1;
  }
  return parts;
}

std::size_t operands_of(const std::string& op) {
  static const std::map<std::string, std::size_t> others{{"fma", 3}, {"mad", 3}, {"selp", 3}, {"prmt", 3},
                                                         {"bfi", 4}, {"cvt", 1}, {"cvta", 1}, {"neg", 1},
                                                         {"abs", 1}, {"not", 1}, {"sqrt", 1}, {"rcp", 1}};
  const auto found = others.find(op);
  return found == others.end() ? 2 : found->second;
}

const std::map<std::string, Operand>& special_registers() {
  static const std::map<std::string, Operand> all = [] {
    std::map<std::string, Operand> made{{"%laneid", {laneid, 0}}};
    const std::pair<const char*, int> triples[] = {{"%tid", tid}, {"%ntid", ntid}, {"%ctaid", ctaid}, {"%nctaid", nctaid}};
    for (const auto& [name, slot] : triples) {
      made[std::string(name) + ".x"] = {slot, 0};
      made[std::string(name) + ".y"] = made[std::string(name) + ".z"] = {slot, 1};
    }
    return made;
  }();
  return all;
}

}  // namespace

void Parser::instruction() {
  Instruction i;
  i.in = f_;
  i.line = tokens_[next_].line;
  i.file = file_;
  i.source_line = source_line_;
  if (skip("@")) {
    i.guard_not = skip("!");
    i.guard = operand(1).slot;
  }
  i.opcode = take();
  const std::vector<std::string> parts = parts_of(i.opcode);
  const std::string& op = parts[0];
  if (op == "call") {
    call(i);
  } else if (op == "ld" || op == "st" || op == "ldu") {
    memory(i, parts);
  } else if (op == "shfl" && parts.size() == 4 && parts[1] == "sync" && parts[3] == "b32") {
    i.way = parts[2][0];  // down, up, bfly, idx
    shuffle(i);
  } else if (!control(i)) {
    plain(i, parts);
  }
  expect(";");
  f_->code.push_back(std::move(i));
}

/// Jumps, ends, barriers, fences and the one atomic that is known.
bool Parser::control(Instruction& i) {
  if (i.opcode == "bra" || i.opcode == "bra.uni") {
    i.kind = Kind::branch;
    jumps_.emplace_back(static_cast<std::uint32_t>(f_->code.size()), take());
  } else if (i.opcode == "ret" || i.opcode == "exit") {
    if (i.opcode == "exit" && !f_->is_entry) {
      fail("exit in a function");
    }
    i.kind = Kind::leave;
  } else if (i.opcode == "trap") {
    i.kind = Kind::trap;
  } else if (i.opcode == "membar.gl") {
    i.kind = Kind::fence;
  } else if (i.opcode == "bar.sync" || i.opcode == "barrier.sync") {
    i.kind = Kind::barrier;
    if (operand(4).bits != 0 || peek() != ";") {
      fail("only barrier 0 of all threads is known");
    }
  } else if (i.opcode == "bar.warp.sync") {
    i.kind = Kind::warp_barrier;
    i.from.push_back(operand(4));
  } else if (i.opcode == "atom.global.add.u32") {
    i.kind = Kind::atomic;
    i.space = Space::global;
    i.to.push_back(operand(4));
    expect(",");
    address(i);
    expect(",");
    i.from.push_back(operand(4));
  } else {
    return false;
  }
  return true;
}

void Parser::shuffle(Instruction& i) {
  i.kind = Kind::shuffle;
  i.to.push_back(operand(4));
  if (skip("|")) {
    i.to.push_back(operand(1));
  }
  for (int k = 0; k < 4; ++k) {
    expect(",");
    i.from.push_back(operand(4));
  }
}

void Parser::call(Instruction& i) {
  i.kind = Kind::call;
  Call made;
  made.in = f_;
  made.at = f_->code.size();
  if (peek() == "(") {
    made.results = call_list();
    expect(",");
  }
  made.name = take();
  if (skip(",")) {
    made.arguments = call_list();
  }
  calls_.push_back(made);
}

std::vector<Symbol> Parser::call_list() {
  std::vector<Symbol> all;
  expect("(");
  while (!skip(")")) {
    const auto symbol = symbols_.find(peek());
    if (symbol == symbols_.end() || symbol->second.what != Symbol::param) {
      fail("a call's parameter that is none");
    }
    all.push_back(symbol->second);
    take();
    skip(",");
  }
  return all;
}

void Parser::memory(Instruction& i, const std::vector<std::string>& parts) {
  const bool stores = parts[0] == "st";
  i.kind = stores ? Kind::store : Kind::load;
  memory_words(i, parts);
  if (stores) {
    address(i);
    expect(",");
  }
  const std::vector<Operand> values = operands_in_braces(i.bytes);
  if (values.size() != i.width) {
    fail("another number of elements");
  }
  if (stores) {
    i.from.insert(i.from.end(), values.begin(), values.end());
  } else {
    i.to = values;
    expect(",");
    address(i);
  }
}

/// What an opcode says of memory: space, cache, vector, type.
void Parser::memory_words(Instruction& i, const std::vector<std::string>& parts) {
  static const std::map<std::string, Space> spaces{
      {"global", Space::global}, {"shared", Space::shared}, {"local", Space::local}, {"param", Space::param}};
  i.cached = i.kind == Kind::load;
  for (std::size_t k = 1; k < parts.size(); ++k) {
    const std::string& part = parts[k];
    const auto space = spaces.find(part);
    if (space != spaces.end()) {
      i.space = space->second;
    } else if (part == "cg" || part == "volatile") {
      i.cached = false;
    } else if (part == "v2" || part == "v4") {
      i.width = static_cast<std::uint8_t>(part[1] - '0');
    } else if (k + 1 == parts.size() && std::string("bsuf").find(part[0]) != std::string::npos) {
      i.bytes = static_cast<std::uint8_t>(bytes_of(part));
      i.is_signed = part[0] == 's';
    } else {
      fail("." + part + " of " + parts[0] + " is not known");
    }
  }
  if (i.bytes == 0) {
    fail("no type");
  }
}

/// [a], [a+n]: address, and what is added. Of a function's parameters: a constant, and where in the frame.
void Parser::address(Instruction& i) {
  expect("[");
  std::uint64_t plus = 0;
  const auto symbol = symbols_.find(peek());
  if (symbol != symbols_.end() && symbol->second.what == Symbol::param) {
    plus = static_cast<std::uint64_t>(symbol->second.at);
    take();
    i.from.push_back({constant, 0});
    if (i.space != Space::param) {
      fail("a parameter in another space");
    }
  } else {
    i.from.push_back(operand(i.space == Space::shared || i.space == Space::local ? 4 : 8));
    if (i.space == Space::param && i.from[0].slot == constant) {
      fail("a parameter's address that is a number");
    }
  }
  if (skip("+")) {
    plus += operand(8).bits;
  }
  expect("]");
  i.from.push_back({constant, plus});
}

void Parser::plain(Instruction& i, const std::vector<std::string>& parts) {
  i.execute = find_arithmetic(i.opcode);
  if (i.execute == nullptr) {
    fail(i.opcode + " is not known");
  }
  const std::string& op = parts[0];
  const int bytes = parts.back() == "pred" ? 1 : bytes_of(parts.back());
  if (op == "mov") {
    i.bytes = static_cast<std::uint8_t>(bytes);
    // Of a part it is the width of the register that counts, and that of the whole is checked.
    i.to = operands_in_braces(peek() == "{" ? 2 : bytes);
    expect(",");
    i.from = operands_in_braces(peek() == "{" ? 2 : bytes);
    return;
  }
  const bool wide = parts.size() > 1 && parts[1] == "wide";
  int to_bytes = op == "setp" ? 1 : bytes * (wide ? 2 : 1);
  if (op == "cvt") {
    to_bytes = bytes_of(parts[parts.size() - 2]);
    i.rounding = parts.size() == 4 ? parts[1][1] : 'n';
  }
  i.to.push_back(operand(to_bytes));
  if (i.to[0].slot < 0) {
    fail("no register to write to");
  }
  for (std::size_t k = 0; skip(","); ++k) {
    int of_operand = bytes;
    if (((op == "shl" || op == "shr") && k == 1) || (op == "bfi" && k >= 2)) {
      of_operand = 4;
    } else if (op == "mad" && k == 2) {
      of_operand = to_bytes;
    } else if (op == "selp" && k == 2) {
      of_operand = 1;
    }
    i.from.push_back(operand(of_operand));
  }
  if (i.from.size() != operands_of(op)) {
    fail(i.opcode + " of another number of operands");
  }
}

std::vector<Operand> Parser::operands_in_braces(int bytes) {
  if (!skip("{")) {
    return {operand(bytes)};
  }
  std::vector<Operand> all;
  do {
    all.push_back(skip("_") ? Operand() : operand(bytes));
  } while (skip(","));
  expect("}");
  return all;
}

Operand Parser::operand(int bytes) {
  bool negative = false;
  while (skip("-")) negative = !negative;
  const std::string word = take();
  const auto symbol = symbols_.find(word);
  if (symbol != symbols_.end()) {
    const Symbol& s = symbol->second;
    const auto at = static_cast<std::uint64_t>(s.at);
    switch (s.what) {
      case Symbol::reg:
        if (s.bytes < bytes || negative) {
          fail(word + " is too narrow");
        }
        return {s.at, 0};
      case Symbol::shared:
        f_->names_of_module = f_->names_of_module || s.at < f_->of_module_end;
        return {constant, at};
      case Symbol::local:
        return {of_local, at};
      case Symbol::entry_param:
        return {of_entry_param, at};
      case Symbol::param:
        fail("the address of a parameter of a function");
    }
  }
  const auto special = special_registers().find(word);
  return special != special_registers().end() ? special->second : number(word, bytes, negative);
}

/// 12, -0x1FU, 0d3FF0000000000000 (a double's bits), 0f3F800000 (a float's).
Operand Parser::number(const std::string& word, int bytes, bool negative) {
  if (std::isdigit(static_cast<unsigned char>(word[0])) == 0) {
    fail("'" + word + "' is not known");
  }
  const int kind = word.size() > 2 && word[0] == '0' ? std::tolower(static_cast<unsigned char>(word[1])) : 0;
  if (kind == 'd' || kind == 'f') {
    if (bytes != (kind == 'd' ? 8 : 4) || negative) {
      fail("a number of another type");
    }
    return {constant, std::stoull(word.substr(2), nullptr, 16)};
  }
  std::size_t end = 0;
  const std::uint64_t bits = std::stoull(word, &end, 0);
  if (end != word.size() && word.substr(end) != "U") {
    fail("'" + word + "' is no number");
  }
  return {constant, negative ? ~bits + 1 : bits};
}

}  // namespace fuller::ptx

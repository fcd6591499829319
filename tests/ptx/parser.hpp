// SPDX-License-Identifier: Apache-2.0
#pragma once

// From the text of a PTX file to the functions of a Module. What it does not know ends it, with the line.

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ptx/module.hpp"

namespace fuller::ptx {

struct Token {
  std::string text;
  int line = 0;
};

/// Words, numbers, names and single signs; comments are left out.
std::vector<Token> split(const std::string& text);

/// Bytes of ".b64", "f32", ...
int bytes_of(const std::string& type);

/// What a name stands for.
struct Symbol {
  enum What { reg, param, shared, local, entry_param };
  What what = reg;
  int at = 0;     ///< a register's number, or an offset
  int bytes = 0;  ///< of it
};

class Parser {
 public:
  explicit Parser(Module& into) : module_(into) {}
  void parse(const std::string& text);

 private:
  using Symbols = std::unordered_map<std::string, Symbol>;

  struct Call {
    Function* in = nullptr;
    std::size_t at = 0;
    std::string name;
    std::vector<Symbol> arguments;
    std::vector<Symbol> results;
  };

  struct Declared {
    std::string name;
    int bytes = 0;
    int align = 0;
  };

  // parser.cpp: tokens, declarations, functions
  [[noreturn]] void fail(const std::string& what) const;
  const std::string& peek() const { return tokens_.at(next_).text; }
  std::string take() { return tokens_.at(next_++).text; }
  bool skip(const std::string& text);
  void expect(const std::string& text);
  void skip_line();
  void skip_past(const std::string& text);

  Declared declared();
  void parameters(std::vector<Piece>& list, int& end);
  void file_name();
  void function(bool is_entry);
  void qualifiers();
  void keep(std::unique_ptr<Function> made);
  void body();
  void body_line(const std::string& word);
  void registers();
  void variable(const std::string& space);
  void define(const std::string& name, const Symbol& symbol);
  void close_scope();
  void link(const Call& call);

  // instructions.cpp
  void instruction();
  bool control(Instruction& i);
  void shuffle(Instruction& i);
  void call(Instruction& i);
  void memory(Instruction& i, const std::vector<std::string>& parts);
  void memory_words(Instruction& i, const std::vector<std::string>& parts);
  void plain(Instruction& i, const std::vector<std::string>& parts);
  void address(Instruction& i);
  Operand operand(int bytes);
  Operand number(const std::string& word, int bytes, bool negative);
  std::vector<Operand> operands_in_braces(int bytes);
  std::vector<Symbol> call_list();

  Module& module_;
  std::vector<Token> tokens_;
  std::size_t next_ = 0;
  Function* f_ = nullptr;
  Symbols symbols_;
  Symbols of_module_;  ///< shared memory of several kernels
  struct Scope {
    std::vector<std::string> own;
    Symbols hidden;  ///< what these names stood for outside
  };
  std::vector<Scope> scopes_;
  std::unordered_map<std::string, std::uint32_t> labels_;
  std::vector<std::pair<std::uint32_t, std::string>> jumps_;
  std::vector<Call> calls_;
  int shared_end_ = shared_begin;
  int file_ = 0;
  int source_line_ = 0;
};

}  // namespace fuller::ptx

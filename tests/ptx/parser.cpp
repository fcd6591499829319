// SPDX-License-Identifier: Apache-2.0
#include "ptx/parser.hpp"

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace fuller::ptx {
namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '%' || c == '.'; }

/// Where something of these bytes is placed; `end` is then after it.
int placed(int& end, int bytes, int align) {
  end = (end + align - 1) / align * align + bytes;
  return end - bytes;
}

int rounded_up(int bytes) { return (bytes + 15) / 16 * 16; }

}  // namespace

std::vector<Token> split(const std::string& text) {
  std::vector<Token> tokens;
  int line = 1;
  for (std::size_t k = 0; k < text.size();) {
    std::size_t end = k + 1;
    const char c = text[k];
    if (text.compare(k, 2, "//") == 0) {
      end = std::min(text.find('\n', k), text.size());
    } else if (text.compare(k, 2, "/*") == 0) {
      end = std::min(text.find("*/", k), text.size() - 2) + 2;
    } else if (c == '"') {
      end = text.find('"', k + 1) + 1;
      tokens.push_back({text.substr(k, end - k), line});
    } else if (is_word(c)) {
      while (end < text.size() && is_word(text[end])) ++end;
      tokens.push_back({text.substr(k, end - k), line});
    } else if (std::isspace(static_cast<unsigned char>(c)) == 0 && c != '\0') {
      tokens.push_back({std::string(1, c), line});
    }
    for (; k < end; ++k) line += text[k] == '\n' ? 1 : 0;
  }
  return tokens;
}

int bytes_of(const std::string& type) { return std::stoi(type.substr(type.find_first_of("0123456789"))) / 8; }

void Parser::fail(const std::string& what) const {
  throw std::runtime_error("PTX line " + std::to_string(next_ < tokens_.size() ? tokens_[next_].line : 0) + ": " + what);
}

bool Parser::skip(const std::string& text) {
  const bool is = next_ < tokens_.size() && peek() == text;
  next_ += is ? 1 : 0;
  return is;
}

void Parser::expect(const std::string& text) {
  if (!skip(text)) {
    fail("'" + text + "' expected, not '" + peek() + "'");
  }
}

void Parser::skip_line() {
  const int line = tokens_.at(next_).line;
  while (next_ < tokens_.size() && tokens_[next_].line == line) ++next_;
}

void Parser::skip_past(const std::string& text) {
  while (!skip(text)) take();
}

void Parser::parse(const std::string& text) {
  tokens_ = split(text);
  while (next_ < tokens_.size()) {
    const std::string word = take();
    if (word == ".version" || word == ".target" || word == ".address_size") {
      --next_;
      skip_line();
    } else if (word == ".file") {
      file_name();
    } else if (word == ".section") {
      skip_past("}");
    } else if (word == ".global" || word == ".const") {  // whoever names it fails: its name is not known
      skip_past(";");
    } else if (word == ".shared") {
      const Declared made = declared();
      of_module_[made.name] = {Symbol::shared, placed(shared_end_, made.bytes, made.align), made.bytes};
      expect(";");
    } else if (word == ".entry" || word == ".func") {
      function(word == ".entry");
    } else if (word != ".visible" && word != ".weak" && word != ".extern") {
      --next_;
      fail("'" + word + "' is not known here");
    }
  }
  for (const Call& call : calls_) {
    link(call);
  }
  for (bool more = true; more;) {
    more = false;
    for (const Call& call : calls_) {
      const bool names = call.in->code[call.at].callee->names_of_module;
      more = more || (names && !call.in->names_of_module);
      call.in->names_of_module = call.in->names_of_module || names;
    }
  }
}

void Parser::file_name() {
  const int number = std::stoi(take());
  const std::string name = peek().substr(1, peek().size() - 2);
  skip_line();
  const std::size_t at = name.rfind("fuller/");
  module_.files_[number] = at == std::string::npos ? name : name.substr(at);
}

/// [.align n] .type name [ '[' n ']' ]
Parser::Declared Parser::declared() {
  Declared made;
  if (skip(".align")) {
    made.align = std::stoi(take());
  }
  made.bytes = bytes_of(take());
  made.align = std::max(made.align, made.bytes);
  made.name = take();
  if (skip("[")) {
    made.bytes *= std::stoi(take());
    expect("]");
  }
  return made;
}

void Parser::parameters(std::vector<Piece>& list, int& end) {
  expect("(");
  while (!skip(")")) {
    expect(".param");
    const Declared made = declared();
    const int at = placed(end, made.bytes, made.align);
    list.push_back({at, made.bytes});
    symbols_[made.name] = {f_->is_entry ? Symbol::entry_param : Symbol::param, at, made.bytes};
    skip(",");
  }
}

void Parser::function(bool is_entry) {
  auto made = std::make_unique<Function>();
  f_ = made.get();
  f_->is_entry = is_entry;
  f_->shared_end = f_->of_module_end = shared_end_;
  symbols_ = of_module_;
  labels_.clear();
  jumps_.clear();
  int frame = 0;
  if (peek() == "(") {
    parameters(f_->results, frame);
  }
  f_->name = take();
  if (peek() == "(") {
    parameters(f_->params, frame);
  }
  f_->param_bytes = is_entry ? 0 : rounded_up(frame);
  qualifiers();
  if (!skip(";")) {
    expect("{");
    body();
    f_->has_body = true;
    f_->param_bytes = rounded_up(f_->param_bytes);
    f_->local_bytes = rounded_up(f_->local_bytes);
    for (const auto& [at, label] : jumps_) {
      const auto target = labels_.find(label);
      if (target == labels_.end()) {
        fail("no label " + label);
      }
      f_->code[at].target = target->second;
    }
    Instruction end;  // falls off the end
    end.kind = Kind::leave;
    end.opcode = "end";
    end.in = f_;
    f_->code.push_back(end);
  }
  keep(std::move(made));
}

void Parser::qualifiers() {
  while (peek() != "{" && peek() != ";") {
    const std::string word = take();
    if (word == ".maxntid" || word == ".minnctapersm" || word == ".reqntid" || word == ".maxnreg") {
      unsigned product = 1;
      do {
        product *= static_cast<unsigned>(std::stoul(take()));
      } while (skip(","));
      f_->most_threads = word == ".maxntid" || word == ".reqntid" ? product : f_->most_threads;
    } else if (word != ".noreturn") {
      fail(word + " is not known for a function");
    }
  }
}

/// A function may be declared before it is there, and calls of it be met between.
void Parser::keep(std::unique_ptr<Function> made) {
  std::unique_ptr<Function>& place = module_.functions_[made->name];
  if (!place) {
    place = std::move(made);
    return;
  }
  if (!(place->params == made->params) || !(place->results == made->results)) {
    fail(made->name + " is not as it was declared");
  }
  if (!made->has_body) {
    return;
  }
  if (place->has_body) {
    fail(made->name + " is there twice");
  }
  const Function* const before = made.get();
  *place = std::move(*made);
  for (Instruction& i : place->code) i.in = place.get();
  for (Call& call : calls_) call.in = call.in == before ? place.get() : call.in;
}

void Parser::body() {
  scopes_.assign(1, Scope());
  while (!scopes_.empty()) {
    body_line(take());
  }
}

void Parser::body_line(const std::string& word) {
  if (word == "{") {
    scopes_.emplace_back();
  } else if (word == "}") {
    close_scope();
  } else if (word == ".loc") {
    file_ = std::stoi(take());
    source_line_ = std::stoi(take());
    --next_;
    skip_line();
  } else if (word == ".pragma") {
    skip_past(";");
  } else if (word == ".reg") {
    registers();
  } else if (word == ".param" || word == ".local" || word == ".shared") {
    variable(word);
  } else if (skip(":")) {
    labels_[word] = static_cast<std::uint32_t>(f_->code.size());
  } else {
    --next_;
    instruction();
  }
}

/// Names of a scope hide those outside.
void Parser::define(const std::string& name, const Symbol& symbol) {
  const auto there = symbols_.find(name);
  if (there != symbols_.end() && scopes_.size() > 1) {
    scopes_.back().hidden.emplace(name, there->second);
  }
  scopes_.back().own.push_back(name);
  symbols_[name] = symbol;
}

void Parser::close_scope() {
  for (const std::string& name : scopes_.back().own) symbols_.erase(name);
  for (const auto& [name, symbol] : scopes_.back().hidden) symbols_[name] = symbol;
  scopes_.pop_back();
}

void Parser::registers() {
  const std::string type = take();
  const int bytes = type == ".pred" ? 1 : bytes_of(type);
  do {
    const std::string name = take();
    if (!skip("<")) {
      define(name, {Symbol::reg, f_->registers++, bytes});
      continue;
    }
    const int count = std::stoi(take());
    expect(">");
    for (int k = 0; k < count; ++k) {
      define(name + std::to_string(k), {Symbol::reg, f_->registers++, bytes});
    }
  } while (skip(","));
  expect(";");
}

void Parser::variable(const std::string& space) {
  const Declared made = declared();
  expect(";");
  if (space == ".param") {
    define(made.name, {Symbol::param, placed(f_->param_bytes, made.bytes, made.align), made.bytes});
  } else if (space == ".local") {
    define(made.name, {Symbol::local, placed(f_->local_bytes, made.bytes, made.align), made.bytes});
  } else if (f_->is_entry) {
    define(made.name, {Symbol::shared, placed(f_->shared_end, made.bytes, made.align), made.bytes});
  } else {
    fail("shared memory of a function");
  }
}

void Parser::link(const Call& call) {
  Instruction& i = call.in->code[call.at];
  const auto callee = module_.functions_.find(call.name);
  if (callee == module_.functions_.end() || !callee->second->has_body) {
    throw std::runtime_error("a call of " + call.name + ", which is not there");
  }
  i.callee = callee->second.get();
  if (call.arguments.size() != i.callee->params.size() || call.results.size() != i.callee->results.size()) {
    throw std::runtime_error("a call of " + call.name + " with another number of parameters");
  }
  for (std::size_t k = 0; k < call.arguments.size(); ++k) {
    const Piece& there = i.callee->params[k];
    i.arguments.push_back({call.arguments[k].at, there.at, std::min(call.arguments[k].bytes, there.bytes)});
  }
  for (std::size_t k = 0; k < call.results.size(); ++k) {
    const Piece& there = i.callee->results[k];
    i.results.push_back({there.at, call.results[k].at, std::min(call.results[k].bytes, there.bytes)});
  }
}

}  // namespace fuller::ptx

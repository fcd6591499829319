// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/weights/pickle.hpp"

#include <cstring>
#include <map>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {
namespace {

using Index = PickleValue::Index;

/// Many globals may be put together from the same two texts, and each has a copy.
constexpr std::size_t longest_global = 1000;

/// The stack machine of Python's pickletools, without its calls.
class Reader {
 public:
  Reader(const std::string& bytes, const std::string& file, const std::string& entry)
      : bytes_(bytes), file_(file), entry_(entry) {}

  Pickle read() {
    while (!step(static_cast<unsigned char>(take(1)[0]))) {
    }
    pickle_.root = pop();
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void stop(const std::string& what) const {
    fail(file_, entry_ + ": " + what + " before byte " + std::to_string(at_));
  }

  std::string take(std::uint64_t count) {
    if (count > bytes_.size() - at_) {
      stop("cut short");
    }
    at_ += static_cast<std::size_t>(count);
    return bytes_.substr(at_ - static_cast<std::size_t>(count), static_cast<std::size_t>(count));
  }

  std::uint64_t number(int count) {
    const std::string bytes = take(static_cast<std::uint64_t>(count));
    std::uint64_t value = 0;
    for (int k = count; k-- > 0;) {
      value = value << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(k)]);
    }
    return value;
  }

  std::string line() {
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string::npos) {
      stop("a name without an end");
    }
    std::string text = bytes_.substr(at_, end - at_);
    at_ = end + 1;
    return text;
  }

  template <class Value>
  void push(Value value) {
    // Made in place: g++ 12 takes the parts that a moved variant has not for uninitialised ones.
    pickle_.values.emplace_back().value.template emplace<Value>(std::move(value));
    stack_.push_back(pickle_.values.size() - 1);
  }

  Index pop() {
    if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) {
      stop("an empty stack");
    }
    const Index top = stack_.back();
    stack_.pop_back();
    return top;
  }

  /// What stands above the last mark, which is removed.
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) {
      stop("no mark");
    }
    std::vector<Index> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  Index top() {
    const Index index = pop();
    stack_.push_back(index);
    return index;
  }

  PickleValue& value(Index index) { return pickle_.values[index]; }

  void tuple(std::size_t count) {
    PickleValue::Sequence items;
    items.items.resize(count);
    for (std::size_t k = count; k-- > 0;) {
      items.items[k] = pop();
    }
    push(std::move(items));
  }

  void set_items(const std::vector<Index>& items) {
    if (items.size() % 2 != 0) {
      stop("a key without a value");
    }
    PickleValue& target = value(top());
    PickleValue::Dict* dict = std::get_if<PickleValue::Dict>(&target.value);
    if (auto* object = std::get_if<PickleValue::Object>(&target.value)) {
      dict = &object->items;
    }
    if (dict == nullptr) {
      stop("items of what is no dict");
    }
    for (std::size_t k = 0; k < items.size(); k += 2) {
      dict->items.emplace_back(items[k], items[k + 1]);
    }
  }

  /// Onto a list or set; what a subclass of them keeps is not asked for.
  void append(const std::vector<Index>& items) {
    if (auto* list = std::get_if<PickleValue::Sequence>(&value(top()).value)) {
      list->items.insert(list->items.end(), items.begin(), items.end());
    }
  }

  void make_object() {
    const Index arguments = pop();
    const Index callable = pop();
    push(PickleValue::Object{callable, arguments, {}, {}});
  }

  void memoize(std::uint64_t key) { memo_[key] = top(); }

  void recall(std::uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) {
      stop("a reference to nothing");
    }
    stack_.push_back(found->second);
  }

  void push_text(std::uint64_t length) { push(take(length)); }

  /// An integer of `count` bytes in two's complement; those too long for 64 bits count as nothing.
  void push_long(std::uint64_t count) {
    const std::string bytes = take(count);
    if (count > 8) {
      push(PickleValue::Nothing{});
      return;
    }
    std::uint64_t bits = count > 0 && (static_cast<unsigned char>(bytes.back()) & 0x80U) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t k = bytes.size(); k-- > 0;) {
      bits = bits << 8 | static_cast<unsigned char>(bytes[k]);
    }
    push(static_cast<std::int64_t>(bits));
  }

  void push_double() {
    const std::string bytes = take(8);
    std::uint64_t bits = 0;
    for (const char byte : bytes) {  // big-endian
      bits = bits << 8 | static_cast<unsigned char>(byte);
    }
    double number_value = 0;
    std::memcpy(&number_value, &bits, sizeof bits);
    push(number_value);
  }

  void push_global(const std::string& module, const std::string& name) {
    if (module.size() + name.size() > longest_global) {
      stop("a global with a name of more than " + std::to_string(longest_global) + " characters");
    }
    push(PickleValue::Global{module + ' ' + name});
  }

  void push_global() {
    const std::string module = line();
    push_global(module, line());
  }

  void push_stack_global() {
    const Index name = pop();
    const Index module = pop();
    const auto* of_name = std::get_if<std::string>(&value(name).value);
    const auto* of_module = std::get_if<std::string>(&value(module).value);
    if (of_name == nullptr || of_module == nullptr) {
      stop("a global without a name");
    }
    push_global(*of_module, *of_name);
  }

  void build() {
    const Index state = pop();
    if (auto* object = std::get_if<PickleValue::Object>(&value(top()).value)) {
      object->states.push_back(state);
    }
  }

  /// One instruction; true after the last.
  bool step(unsigned char opcode) {  // NOLINT(readability-function-size): a table
    switch (opcode) {
      case 0x80:
        take(1);
        break;  // PROTO
      case 0x95:
        take(8);
        break;  // FRAME
      case '}':
        push(PickleValue::Dict{});
        break;  // EMPTY_DICT
      case ']':
      case ')':
      case 0x8f:
        push(PickleValue::Sequence{});
        break;  // EMPTY_LIST, EMPTY_TUPLE, EMPTY_SET
      case '(':
        marks_.push_back(stack_.size());
        break;  // MARK
      case 'q':
        memoize(number(1));
        break;  // BINPUT
      case 'r':
        memoize(number(4));
        break;  // LONG_BINPUT
      case 0x94:
        memoize(memo_.size());
        break;  // MEMOIZE
      case 'h':
        recall(number(1));
        break;  // BINGET
      case 'j':
        recall(number(4));
        break;  // LONG_BINGET
      case 'X':
      case 'B':
      case 'T':
        push_text(number(4));
        break;  // BINUNICODE, BINBYTES, BINSTRING
      case 0x8c:
      case 'C':
      case 'U':
        push_text(number(1));
        break;  // SHORT_BINUNICODE, SHORT_BINBYTES, SHORT_BINSTRING
      case 0x8d:
      case 0x8e:
        push_text(number(8));
        break;  // BINUNICODE8, BINBYTES8
      case 'K':
        push(static_cast<std::int64_t>(number(1)));
        break;  // BININT1
      case 'M':
        push(static_cast<std::int64_t>(number(2)));
        break;  // BININT2
      case 'J':
        push(std::int64_t{static_cast<std::int32_t>(number(4))});
        break;  // BININT
      case 0x8a:
        push_long(number(1));
        break;  // LONG1
      case 0x8b:
        push_long(number(4));
        break;  // LONG4
      case 'G':
        push_double();
        break;  // BINFLOAT
      case 'N':
        push(PickleValue::Nothing{});
        break;  // NONE
      case 0x88:
        push(true);
        break;  // NEWTRUE
      case 0x89:
        push(false);
        break;  // NEWFALSE
      case 't':
      case 0x91:
        push(PickleValue::Sequence{pop_to_mark()});
        break;  // TUPLE, FROZENSET
      case 0x85:
        tuple(1);
        break;  // TUPLE1
      case 0x86:
        tuple(2);
        break;  // TUPLE2
      case 0x87:
        tuple(3);
        break;  // TUPLE3
      case 'c':
        push_global();
        break;  // GLOBAL
      case 0x93:
        push_stack_global();
        break;  // STACK_GLOBAL
      case 'Q':
        push(PickleValue::Persistent{pop()});
        break;  // BINPERSID
      case 'R':
      case 0x81:
        make_object();
        break;  // REDUCE, NEWOBJ
      case 'b':
        build();
        break;  // BUILD
      case 's':
        tuple(2);
        set_items(pair());
        break;  // SETITEM
      case 'u':
      case 0x90:
        set_or_add(opcode);
        break;  // SETITEMS, ADDITEMS
      case 'a':
        append({pop()});
        break;  // APPEND
      case 'e':
        append(pop_to_mark());
        break;  // APPENDS
      case '0':
        pop();
        break;  // POP
      case '1':
        pop_to_mark();
        break;  // POP_MARK
      case '2':
        stack_.push_back(top());
        break;  // DUP
      case '.':
        return true;  // STOP
      default:
        stop("an unknown instruction " + std::to_string(opcode));
    }
    return false;
  }

  /// The two items of the tuple on top, which is removed.
  std::vector<Index> pair() { return std::get<PickleValue::Sequence>(value(pop()).value).items; }

  void set_or_add(unsigned char opcode) {
    const std::vector<Index> items = pop_to_mark();
    if (opcode == 'u') {
      set_items(items);
    } else {
      append(items);
    }
  }

  const std::string& bytes_;
  const std::string& file_;
  const std::string& entry_;
  std::size_t at_ = 0;
  Pickle pickle_;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint64_t, Index> memo_;
};

}  // namespace

Pickle read_pickle(const std::string& bytes, const std::string& file, const std::string& entry) {
  return Reader(bytes, file, entry).read();
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

// PTX, decoded: what nvcc or NVRTC made of the kernels, as functions whose instructions a thread can execute one by one.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace fuller::ptx {

struct Thread;
struct Function;
struct Instruction;
using Execute = void (*)(Thread&, const Instruction&);

enum class Kind : std::uint8_t { plain, load, store, atomic, branch, call, leave, trap, barrier, warp_barrier, shuffle, fence };
enum class Space : std::uint8_t { generic, global, shared, local, param };

/// A register's number, or what stands in its place.
enum Slot : int {
  constant = -1,
  of_local = -2,
  of_entry_param = -3,
  tid = -10,
  ntid = -11,
  ctaid = -12,
  nctaid = -13,
  laneid = -14
};

struct Operand {
  int slot = constant;
  std::uint64_t bits = 0;  ///< a constant, or an offset
};

/// A piece of a frame of parameters: where, and how many bytes.
struct Piece {
  int at = 0;
  int bytes = 0;
  friend bool operator==(const Piece& a, const Piece& b) { return a.at == b.at && a.bytes == b.bytes; }
};

struct Copy {
  int from = 0;
  int to = 0;
  int bytes = 0;
};

struct Instruction {
  Kind kind = Kind::plain;
  Space space = Space::generic;
  Execute execute = nullptr;
  int guard = -1;  ///< a predicate's register; -1: none
  bool guard_not = false;
  std::uint8_t bytes = 0;  ///< of one element that is loaded or stored
  std::uint8_t width = 1;  ///< elements
  bool is_signed = false;
  bool cached = false;  ///< a load that L1 may answer
  char rounding = 'n';
  char way = 'i';  ///< of a shuffle: down, up, butterfly, index
  std::vector<Operand> to;
  std::vector<Operand> from;  ///< of a memory access: the address, what is added to it, then what is stored
  std::uint32_t target = 0;
  const Function* callee = nullptr;
  std::vector<Copy> arguments;
  std::vector<Copy> results;
  std::string opcode;
  const Function* in = nullptr;
  int line = 0;  ///< of the PTX
  int file = 0;
  int source_line = 0;
  mutable std::uint64_t executed = 0;
  mutable std::size_t last_region = 0;  ///< where its last access went: where the next one is looked for first
};

struct Function {
  std::string name;
  bool is_entry = false;
  bool has_body = false;
  int registers = 0;
  int local_bytes = 0;
  int param_bytes = 0;    ///< of a frame: parameters, results, and those of calls
  int shared_end = 0;     ///< shared memory is [shared_begin, shared_end)
  int of_module_end = 0;  ///< up to here that of several functions: a kernel has it that names it, itself or in a call
  bool names_of_module = false;
  unsigned most_threads = 1024;  ///< of a block
  std::vector<Piece> params;     ///< of an entry: in its buffer
  std::vector<Piece> results;
  std::vector<Instruction> code;
};

/// Shared memory begins after what the system takes of it, so that a null offset is outside.
inline constexpr int shared_begin = 1024;

/// A product and a sum that say nothing of rounding may be made one fma by the device's assembler: none are, or all that can be,
/// of the first operand where both are products, or of the second. PTX of nvcc -fmad=false leaves none to choose.
enum class Fuse { nothing, first, second };

class Module {
 public:
  /// Decodes the text; throws std::runtime_error, with the line, at anything it does not know.
  explicit Module(const std::string& text, Fuse fuse = Fuse::nothing);
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// Mangled names of all kernels.
  std::vector<std::string> entries() const;
  /// Null where there is none of that name.
  const Function* find(const std::string& name) const;
  /// "fuller/cuda/gram.hpp:12, in kernel, PTX line 34 (ld.global.f32)".
  std::string where(const Instruction& at) const;
  int fused() const { return fused_; }

 private:
  friend class Parser;
  std::map<std::string, std::unique_ptr<Function>> functions_;
  std::map<int, std::string> files_;
  int fused_ = 0;
};

/// Fuses products into the sums that follow them in the same straight piece of code; how many there were.
int fuse_products(Function& function, Fuse how);

/// What executes an opcode that touches neither memory nor another thread; null where it is not known.
Execute find_arithmetic(const std::string& opcode);

}  // namespace fuller::ptx

// SPDX-License-Identifier: Apache-2.0
#pragma once

// Mutants in one program: mutate.py writes these into a copy of the headers in place of operators, signs, literals and
// conditions, and the environment says which one of them is wrong in this run. With FULLER_MUTANTS_SEEN the program says at its
// end which were reached.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <type_traits>

namespace fuller_mutation {

inline constexpr int capacity = 1 << 15;
inline unsigned char reached[capacity];

inline int chosen() {
  static const int number = [] {
    const char* const text = std::getenv("FULLER_MUTANT");
    return text != nullptr ? std::atoi(text) : -1;
  }();
  return number;
}

struct Report {
  ~Report() {
    const char* const path = std::getenv("FULLER_MUTANTS_SEEN");
    std::FILE* const file = path != nullptr ? std::fopen(path, "w") : nullptr;
    if (file != nullptr) {
      for (int k = 0; k < capacity; ++k) {
        if (reached[k] != 0) {
          std::fprintf(file, "%d\n", k);
        }
      }
      std::fclose(file);
    }
  }
};
inline const Report report;

inline bool active(int number) {
  reached[number] = 1;
  return chosen() == number;
}

/// What stands between two operands, a OP Infix<...>() OP b: the first OP takes a, the second decides. It has the precedence of
/// OP.
template <char Operator, int K>
struct Infix {};

template <char Operator, int K, class A>
struct Left {
  const A& a;
};

#define FULLER_MUTATED(OPERATOR, LETTER, FIRST, SECOND)                         \
  template <int K, class A>                                                     \
  Left<LETTER, K, A> operator OPERATOR(const A& a, Infix<LETTER, K> /*mark*/) { \
    return {a};                                                                 \
  }                                                                             \
  template <int K, class A, class B>                                            \
  auto operator OPERATOR(Left<LETTER, K, A> left, const B& b) {                 \
    using Result = std::decay_t<decltype(left.a OPERATOR b)>;                   \
    if constexpr (std::is_arithmetic_v<Result>) {                               \
      if constexpr (std::is_arithmetic_v<A> && std::is_arithmetic_v<B>) {       \
        if (active(K)) {                                                        \
          return static_cast<Result>(left.a FIRST b);                           \
        }                                                                       \
      }                                                                         \
      if constexpr (std::is_same_v<Result, bool>) {                             \
        if (active(K + 1)) {                                                    \
          return static_cast<Result>(!(left.a OPERATOR b));                     \
        }                                                                       \
      }                                                                         \
    }                                                                           \
    return static_cast<Result>(left.a OPERATOR b);                              \
  }

FULLER_MUTATED(+, 'p', -, -)
FULLER_MUTATED(-, 'm', +, +)
FULLER_MUTATED(*, 't', /, /)
FULLER_MUTATED(/, 'd', *, *)
FULLER_MUTATED(<, 'l', <=, >=)
FULLER_MUTATED(<=, 'k', <, >)
FULLER_MUTATED(>, 'g', >=, <=)
FULLER_MUTATED(>=, 'h', >, <)
FULLER_MUTATED(==, 'e', !=, !=)
FULLER_MUTATED(!=, 'n', ==, ==)
#undef FULLER_MUTATED

/// In place of a literal: one more than an integer, twice a real number, 1 for a real 0.
template <int K, class T>
T literal(T value) {
  if (!active(K)) {
    return value;
  }
  if constexpr (std::is_floating_point_v<T>) {
    return value == 0 ? T{1} : 2 * value;
  } else {
    return static_cast<T>(value + 1);
  }
}

/// In place of a minus sign: minus<K>() * x.
template <int K>
int minus() {
  return active(K) ? 1 : -1;
}

/// After += and -=: x += plus<K>() * (...).
template <int K>
int plus() {
  return active(K) ? -1 : 1;
}

/// In place of a condition.
template <int K>
bool condition(bool holds) {
  return active(K) ? !holds : holds;
}

/// Lanes that tests emulate by threads share their work space, so only the main thread's is fenced.
inline const std::thread::id main_thread = std::this_thread::get_id();

/// The last pieces of work space that were dealt out; one call of a rule takes a few hundred.
struct Fences {
  static constexpr int kept = 1 << 13;
  void* pieces[kept] = {};
  int next = 0;

  ~Fences() {
    for (void* const piece : pieces) {
      std::free(piece);
    }
  }

  /// So many bytes of NaN, between the address sanitizer's fences.
  void* piece(int bytes) {
    void*& slot = pieces[next];
    next = (next + 1) % kept;
    std::free(slot);
    slot = std::malloc(bytes > 0 ? static_cast<std::size_t>(bytes) : 1);
    std::memset(slot, 0xff, bytes > 0 ? static_cast<std::size_t>(bytes) : 1);
    return slot;
  }
};
inline Fences fences;

/// Where FULLER_UNFENCED is set, pieces that overlap do so.
inline bool has_fences() {
  static const bool wanted = std::getenv("FULLER_UNFENCED") == nullptr;
  return wanted && std::this_thread::get_id() == main_thread;
}

/// In place of a piece of a caller's work space: memory of its own, once the piece is seen to be within what the caller has.
inline double* fenced(double* piece, int count) {
  if (!has_fences()) {
    return piece;
  }
  if (count > 0) {
    std::memset(piece, 0xff, static_cast<std::size_t>(count) * sizeof(double));
  }
  return static_cast<double*>(fences.piece(count * static_cast<int>(sizeof(double))));
}

inline std::uint8_t* fenced_bytes(double* piece, int count) {
  return has_fences() ? static_cast<std::uint8_t*>(fences.piece(count)) : reinterpret_cast<std::uint8_t*>(piece);
}

}  // namespace fuller_mutation

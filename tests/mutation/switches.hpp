// SPDX-License-Identifier: Apache-2.0
#pragma once

// Mutants in one program: mutate.py writes these into a copy of the headers in place of operators, signs, literals and
// conditions, and the environment says which one of them is wrong in this run. With FULLER_MUTANTS_SEEN the program says at its
// end which were reached.

#include <cstdio>
#include <cstdlib>
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

}  // namespace fuller_mutation

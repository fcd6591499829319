// SPDX-License-Identifier: Apache-2.0
// The instructions that work on registers alone, each by the name that the PTX spells.

#include <string>
#include <unordered_map>

#include "ptx/numbers.hpp"

namespace fuller::ptx {
namespace {

using Table = std::unordered_map<std::string, Execute>;

// Operands are a and b of type S, the result is of type D.
#define PTX_UNARY(name, D, S, ...)                    \
  table[name] = [](Thread& t, const Instruction& i) { \
    const S a = get<S>(t, i, 0);                      \
    put<D>(t, i, static_cast<D>(__VA_ARGS__));        \
  }
#define PTX_BINARY(name, D, S, ...)                   \
  table[name] = [](Thread& t, const Instruction& i) { \
    const S a = get<S>(t, i, 0);                      \
    const S b = get<S>(t, i, 1);                      \
    put<D>(t, i, static_cast<D>(__VA_ARGS__));        \
  }

template <class T>
void add_select(Table& table, const std::string& type) {  // only what is chosen needs to be known
  table["selp." + type] = [](Thread& t, const Instruction& i) {
    put<T>(t, i, get<Predicate>(t, i, 2) ? get<T>(t, i, 0) : get<T>(t, i, 1));
  };
}

template <class T>
void add_comparisons(Table& table, const std::string& type) {
  if constexpr (std::is_floating_point_v<T>) {  // by <, > alone, so that NaN is on no side
    PTX_BINARY("setp.eq." + type, Predicate, T, predicate(a <= b && a >= b));
    PTX_BINARY("setp.ne." + type, Predicate, T, predicate(a < b || a > b));
    PTX_BINARY("setp.equ." + type, Predicate, T, predicate(!(a < b || a > b)));
    PTX_BINARY("setp.neu." + type, Predicate, T, predicate(!(a <= b && a >= b)));
    PTX_BINARY("setp.ltu." + type, Predicate, T, predicate(!(a >= b)));
    PTX_BINARY("setp.leu." + type, Predicate, T, predicate(!(a > b)));
    PTX_BINARY("setp.gtu." + type, Predicate, T, predicate(!(a <= b)));
    PTX_BINARY("setp.geu." + type, Predicate, T, predicate(!(a < b)));
    PTX_BINARY("setp.num." + type, Predicate, T, predicate(!std::isnan(a) && !std::isnan(b)));
    PTX_BINARY("setp.nan." + type, Predicate, T, predicate(std::isnan(a) || std::isnan(b)));
  } else {
    PTX_BINARY("setp.eq." + type, Predicate, T, predicate(a == b));
    PTX_BINARY("setp.ne." + type, Predicate, T, predicate(a != b));
  }
  PTX_BINARY("setp.lt." + type, Predicate, T, predicate(a < b));
  PTX_BINARY("setp.le." + type, Predicate, T, predicate(a <= b));
  PTX_BINARY("setp.gt." + type, Predicate, T, predicate(a > b));
  PTX_BINARY("setp.ge." + type, Predicate, T, predicate(a >= b));
}

/// By 0 the device gives all ones, or the number itself; of the least number by -1 that number, or 0.
template <class T>
T quotient(T a, T b) {
  if (b == 0) {
    return static_cast<T>(-1);
  }
  using U = std::make_unsigned_t<T>;
  return std::is_signed_v<T> && b == static_cast<T>(-1) ? static_cast<T>(U{0} - static_cast<U>(a)) : static_cast<T>(a / b);
}
template <class T>
T remainder(T a, T b) {
  if (b == 0) {
    return a;
  }
  return std::is_signed_v<T> && b == static_cast<T>(-1) ? T{0} : static_cast<T>(a % b);
}

template <class T>  // s32, u32, ...: wraps around, on unsigned numbers, as the device does
void add_integers(Table& table, const std::string& type) {
  using U = std::make_unsigned_t<T>;
  using W = std::conditional_t<sizeof(U) == 2, std::uint32_t, U>;  // what does not become an int
  constexpr unsigned width = 8 * sizeof(T);
  PTX_BINARY("add." + type, U, U, W{a} + W{b});
  PTX_BINARY("sub." + type, U, U, W{a} - W{b});
  PTX_BINARY("mul.lo." + type, U, U, W{a} * W{b});
  PTX_BINARY("min." + type, T, T, std::min(a, b));
  PTX_BINARY("max." + type, T, T, std::max(a, b));
  PTX_BINARY("div." + type, T, T, quotient(a, b));
  PTX_BINARY("rem." + type, T, T, remainder(a, b));
  table["mad.lo." + type] = [](Thread& t, const Instruction& i) {
    put<U>(t, i, static_cast<U>(W{get<U>(t, i, 0)} * W{get<U>(t, i, 1)} + W{get<U>(t, i, 2)}));
  };
  if constexpr (sizeof(T) <= 4) {
    using Wide = std::conditional_t<std::is_signed_v<T>, std::conditional_t<sizeof(T) == 2, std::int32_t, std::int64_t>,
                                    std::conditional_t<sizeof(T) == 2, std::uint32_t, std::uint64_t>>;
    using WideU = std::make_unsigned_t<Wide>;
    PTX_BINARY("mul.wide." + type, Wide, T, Wide{a} * Wide{b});
    PTX_BINARY("mul.hi." + type, T, T, (Wide{a} * Wide{b}) >> width);
    table["mad.wide." + type] = [](Thread& t, const Instruction& i) {
      const Wide product = Wide{get<T>(t, i, 0)} * Wide{get<T>(t, i, 1)};
      put<WideU>(t, i, static_cast<WideU>(static_cast<WideU>(product) + get<WideU>(t, i, 2)));
    };
  }
  table["shr." + type] = [](Thread& t, const Instruction& i) {
    const T a = get<T>(t, i, 0);
    const auto by = get<std::uint32_t>(t, i, 1);
    put<T>(t, i, static_cast<T>(a >> std::min(by, width - 1) >> (by < width ? 0 : 1)));
  };
  if constexpr (std::is_signed_v<T>) {
    PTX_UNARY("neg." + type, U, U, W{0} - W{a});
    PTX_UNARY("abs." + type, U, T, a < 0 ? W{0} - static_cast<W>(a) : static_cast<W>(a));
  }
  add_comparisons<T>(table, type);
  add_select<T>(table, type);
}

template <class U>
void add_bits(Table& table, const std::string& type) {
  constexpr unsigned width = 8 * sizeof(U);
  PTX_BINARY("and." + type, U, U, a & b);
  PTX_BINARY("or." + type, U, U, a | b);
  PTX_BINARY("xor." + type, U, U, a ^ b);
  PTX_UNARY("not." + type, U, U, ~a);
  table["shl." + type] = [](Thread& t, const Instruction& i) {
    const std::uint64_t a = get<U>(t, i, 0);
    const auto by = get<std::uint32_t>(t, i, 1);
    put<U>(t, i, by < width ? static_cast<U>(a << by) : U{0});
  };
  table["shr." + type] = table["shr.u" + type.substr(1)];
  PTX_BINARY("setp.eq." + type, Predicate, U, predicate(a == b));
  PTX_BINARY("setp.ne." + type, Predicate, U, predicate(a != b));
  add_select<U>(table, type);
  if constexpr (width >= 32) {
    table["bfi." + type] = [](Thread& t, const Instruction& i) {  // the low bits of a into b
      const U a = get<U>(t, i, 0);
      const U b = get<U>(t, i, 1);
      const unsigned at = get<std::uint32_t>(t, i, 2) & 255U;
      const unsigned length = get<std::uint32_t>(t, i, 3) & 255U;
      const U ones = length >= width ? ~U{0} : static_cast<U>((U{1} << length) - 1);
      put<U>(t, i, at >= width ? b : static_cast<U>((b & ~(ones << at)) | (a & ones) << at));
    };
  }
}

template <class T>
void add_reals(Table& table, const std::string& type) {
  for (const std::string& n : {std::string(), std::string("rn.")}) {
    PTX_BINARY("add." + n + type, T, T, a + b);
    PTX_BINARY("sub." + n + type, T, T, a - b);
    PTX_BINARY("mul." + n + type, T, T, a * b);
  }
  PTX_BINARY("div.rn." + type, T, T, a / b);
  PTX_BINARY("min." + type, T, T, std::fmin(a, b));
  PTX_BINARY("max." + type, T, T, std::fmax(a, b));
  PTX_UNARY("neg." + type, T, T, -a);
  PTX_UNARY("abs." + type, T, T, std::fabs(a));
  PTX_UNARY("sqrt.rn." + type, T, T, std::sqrt(a));
  PTX_UNARY("rcp.rn." + type, T, T, 1 / a);
  table["fma.rn." + type] = [](Thread& t, const Instruction& i) {
    put<T>(t, i, std::fma(get<T>(t, i, 0), get<T>(t, i, 1), get<T>(t, i, 2)));
  };
  add_comparisons<T>(table, type);
  add_select<T>(table, type);
}

template <class F>
double with_bits(double x, const F& f) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  bits = f(bits);
  std::memcpy(&x, &bits, sizeof bits);
  return x;
}

void reciprocal(Thread& t, const Instruction& i) {  // rcp.approx.ftz.f64: 20 bits, from the upper half and into the upper half
  const auto upper = [](double x) {
    x = with_bits(x, [](std::uint64_t bits) { return bits & 0xFFFFFFFF00000000U; });
    return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0, x) : x;
  };
  const double x = upper(1 / upper(get<double>(t, i, 0)));
  const auto error = static_cast<std::uint64_t>(std::int64_t{t.grid->machine.approximation_error} * (std::int64_t{1} << 32));
  put<double>(t, i, std::isnormal(x) ? with_bits(x, [error](std::uint64_t bits) { return bits + error; }) : x);
}

void permute(Thread& t, const Instruction& i) {  // prmt.b32
  const std::uint64_t bytes = get<std::uint32_t>(t, i, 0) | static_cast<std::uint64_t>(get<std::uint32_t>(t, i, 1)) << 32U;
  const auto selector = get<std::uint32_t>(t, i, 2);
  std::uint32_t out = 0;
  for (unsigned k = 0; k < 4; ++k) {
    const unsigned nibble = selector >> (4 * k) & 15U;
    const auto byte = static_cast<std::uint32_t>(bytes >> (8 * (nibble & 7U)) & 0xFFU);
    const std::uint32_t sign = (byte & 0x80U) != 0 ? 0xFFU : 0U;
    out |= ((nibble & 8U) != 0 ? sign : byte) << (8 * k);
  }
  put<std::uint32_t>(t, i, out);
}

std::uint64_t low_bits(std::uint64_t x, unsigned count) { return count == 64 ? x : x & ((std::uint64_t{1} << count) - 1); }

void move(Thread& t, const Instruction& i) {  // also between a register and its parts; what is unknown stays so
  std::uint64_t bits = 0;
  std::uint8_t known = 1;
  const unsigned part = 8U * i.bytes / static_cast<unsigned>(i.from.size());
  for (std::size_t k = 0; k < i.from.size(); ++k) {
    const Operand& o = i.from[k];
    known = o.slot >= 0 && t.known[o.slot] == 0 ? std::uint8_t{0} : known;
    bits |= low_bits(o.slot >= 0 ? t.r[o.slot] : t.value(i, o), part) << (static_cast<unsigned>(k) * part);
  }
  const unsigned out = 8U * i.bytes / static_cast<unsigned>(i.to.size());
  for (std::size_t k = 0; k < i.to.size(); ++k) {
    if (i.to[k].slot >= 0) {  // not "_"
      t.r[i.to[k].slot] = low_bits(bits >> (static_cast<unsigned>(k) * out), out);
      t.known[i.to[k].slot] = known;
    }
  }
}

template <class T>
constexpr bool is_real = std::is_floating_point_v<T> || std::is_same_v<T, Half>;

template <class D, class S>
void add_conversion(Table& table, const std::string& to, const std::string& from) {
  const auto f = [](Thread& t, const Instruction& i) { put<D>(t, i, convert<D>(get<S>(t, i, 0), i.rounding)); };
  if constexpr (is_real<S> && (!is_real<D> || std::is_same_v<D, S>)) {
    for (const char* rounding : {"rni", "rzi", "rmi", "rpi"}) {
      table["cvt." + std::string(rounding) + "." + to + "." + from] = f;
    }
  } else if constexpr (is_real<D> && (!is_real<S> || sizeof(D) < sizeof(S))) {
    table["cvt.rn." + to + "." + from] = f;
  } else {
    table["cvt." + to + "." + from] = f;
  }
}
template <class D>
void add_conversions(Table& table, const std::string& to) {
  add_conversion<D, std::uint8_t>(table, to, "u8");
  add_conversion<D, std::int8_t>(table, to, "s8");
  add_conversion<D, std::uint16_t>(table, to, "u16");
  add_conversion<D, std::int16_t>(table, to, "s16");
  add_conversion<D, std::uint32_t>(table, to, "u32");
  add_conversion<D, std::int32_t>(table, to, "s32");
  add_conversion<D, std::uint64_t>(table, to, "u64");
  add_conversion<D, std::int64_t>(table, to, "s64");
  add_conversion<D, float>(table, to, "f32");
  add_conversion<D, double>(table, to, "f64");
}

template <std::uint64_t window>
void to_generic(Thread& t, const Instruction& i) {
  put<std::uint64_t>(t, i, get<std::uint64_t>(t, i, 0) | window);
}
template <std::uint64_t window>
void from_generic(Thread& t, const Instruction& i) {
  const auto address = get<std::uint64_t>(t, i, 0);
  if ((address & window_mask) != window) {
    stop(t, i, "memcheck", "an address of another space");
  }
  put<std::uint64_t>(t, i, address & ~window);
}

Table all_of_them() {
  Table table;
  add_integers<std::int16_t>(table, "s16");
  add_integers<std::uint16_t>(table, "u16");
  add_integers<std::int32_t>(table, "s32");
  add_integers<std::uint32_t>(table, "u32");
  add_integers<std::int64_t>(table, "s64");
  add_integers<std::uint64_t>(table, "u64");
  add_bits<std::uint16_t>(table, "b16");
  add_bits<std::uint32_t>(table, "b32");
  add_bits<std::uint64_t>(table, "b64");
  add_reals<float>(table, "f32");
  add_reals<double>(table, "f64");
  add_conversions<std::uint8_t>(table, "u8");
  add_conversions<std::int8_t>(table, "s8");
  add_conversions<std::uint16_t>(table, "u16");
  add_conversions<std::int16_t>(table, "s16");
  add_conversions<std::uint32_t>(table, "u32");
  add_conversions<std::int32_t>(table, "s32");
  add_conversions<std::uint64_t>(table, "u64");
  add_conversions<std::int64_t>(table, "s64");
  add_conversions<float>(table, "f32");
  add_conversions<double>(table, "f64");
  add_conversion<float, Half>(table, "f32", "f16");
  add_conversion<double, Half>(table, "f64", "f16");
  add_conversion<Half, float>(table, "f16", "f32");
  PTX_BINARY("and.pred", Predicate, Predicate, predicate(bool{a} && bool{b}));
  PTX_BINARY("or.pred", Predicate, Predicate, predicate(bool{a} || bool{b}));
  PTX_BINARY("xor.pred", Predicate, Predicate, predicate(bool{a} != bool{b}));
  PTX_UNARY("not.pred", Predicate, Predicate, predicate(!bool{a}));
  table["rcp.approx.ftz.f64"] = reciprocal;
  table["prmt.b32"] = permute;
  for (const char* type : {"pred", "b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"}) {
    table[std::string("mov.") + type] = move;
  }
  table["cvta.global.u64"] = table["cvta.param.u64"] = to_generic<0>;
  table["cvta.shared.u64"] = to_generic<shared_window>;
  table["cvta.local.u64"] = to_generic<local_window>;
  table["cvta.to.global.u64"] = from_generic<0>;
  table["cvta.to.shared.u64"] = from_generic<shared_window>;
  table["cvta.to.local.u64"] = from_generic<local_window>;
  return table;
}

#undef PTX_UNARY
#undef PTX_BINARY

}  // namespace

Execute find_arithmetic(const std::string& opcode) {
  static const Table table = all_of_them();
  const auto found = table.find(opcode);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace fuller::ptx

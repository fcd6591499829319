// SPDX-License-Identifier: Apache-2.0
// Tables are read by one of two parsers. Whatever the text, both must give the same rows and the same error.
#include <cstdio>
#include <functional>
#include <sstream>
#include <streambuf>
#include <string>
#include <unordered_map>
#include <vector>

#include "bevfusion/nuscenes/json_batches.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"
#include "bevfusion/nuscenes/token_index.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/tests/fuzz/damage.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

const std::vector<std::string> kept = {"a", "b", "list", "token"};

// A text in which no place can be sought or told, so that it is read from one end to the other.
class OneWay : public std::streambuf {
 public:
  explicit OneWay(std::string text) : text_(std::move(text)) { setg(text_.data(), text_.data(), text_.data() + text_.size()); }

 private:
  std::string text_;
};

template <typename Get>
std::string told(Get&& get) {
  try {
    return get();
  } catch (const DataError&) {
    return "-";
  }
}

std::string digits_of(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%a", value);
  return text;
}

// All that can be asked of a row.
std::string told(const JsonRow& row) {
  std::string all = row.layer();
  for (const std::string& field : kept) {
    all += " | " + field + (row.has(field) ? " has" : "") + (row.is_null(field) ? " null" : "");
    all += ' ' + told([&] { return to_string(row.token(field)); });
    all += ' ' + told([&] { return row.text(field); });
    all += ' ' + told([&] { return digits_of(row.number(field)); });
    all += ' ' + told([&] { return std::to_string(row.integer(field)); });
    all += ' ' + told([&] { return std::string(row.flag(field) ? "true" : "false"); });
    all += ' ' + told([&] {
             std::string list;
             for (const double number : row.numbers(field)) list += digits_of(number) + ',';
             return list;
           });
    all += ' ' + told([&] {
             std::string list;
             for (const auto& group : row.token_groups(field)) {
               for (const Token& token : group) list += to_string(token) + ',';
               list += ';';
             }
             return list;
           });
    all += ' ' + told([&] {
             std::string list;
             for (const Token& token : row.tokens(field)) list += to_string(token) + ',';
             return list;
           });
  }
  return all;
}

// Every row, and how it ended.
std::vector<std::string> rows_of(std::istream& stream) {
  std::vector<std::string> rows;
  JsonRowsVisitor visitor;
  visitor.fields = kept;
  visitor.row = [&](const JsonRow& row) {
    rows.push_back(told(row));
    if (row.has("b") && rows.size() % 1000 == 999) row.fail("b", "is what the test stops at");
  };
  visitor.list = [&](const std::string& key) { rows.push_back("list " + key); };
  visitor.number = [&](const std::string& key, double value) { rows.push_back(key + " is " + digits_of(value)); };
  visitor.text = [&](const std::string& key, const std::string& value) { rows.push_back(key + " is " + value); };
  try {
    visit_json_rows(stream, "rows.json", visitor);
    rows.emplace_back("the end");
  } catch (const DataError& error) {
    rows.emplace_back(error.what());
  }
  return rows;
}

void check_both_ways(const std::string& text) {
  std::istringstream stream(text);
  const std::vector<std::string> fast = rows_of(stream);
  OneWay buffer(text);
  std::istream one_way(&buffer);
  const std::vector<std::string> slow = rows_of(one_way);
  INFO((text.size() < 2000 ? text : text.substr(0, 300)));
  REQUIRE(fast.size() == slow.size());
  for (std::size_t i = 0; i < fast.size(); ++i) REQUIRE(fast[i] == slow[i]);
}

std::string space(Random& random) {
  static constexpr const char* spaces[] = {"", "", "", " ", "\n", "\r\n", "\t", "  \n "};
  return spaces[random.integer(0, 7)];
}

std::string value(Random& random, int depth) {
  static constexpr const char* scalars[] = {"null",
                                            "true",
                                            "false",
                                            "0",
                                            "-0",
                                            "7",
                                            "-12",
                                            "1532402927647951",
                                            "9223372036854775807",
                                            "9223372036854775808",
                                            "18446744073709551615",
                                            "-9223372036854775808",
                                            "0.1",
                                            "-0.0",
                                            "1e3",
                                            "1E-3",
                                            "2.2250738585072011e-308",
                                            "5e-324",
                                            "1.7976931348623157e308",
                                            "1e-400",
                                            "411.3039245605469",
                                            "0.30000000000000004",
                                            "123456789.12345678901234567890"};
  static constexpr const char* strings[] = {"\"\"",
                                            "\"x\"",
                                            "\"}, {\"",
                                            "\"4dacb6a19271e91a44444077f10f9f8f\"",
                                            "\"4DACB6A19271E91A44444077F10F9F8F\"",
                                            "\"4dacb6a1-9271-e91a-4444-4077f10f9f8f\"",
                                            "\"samples/CAM_FRONT/n015__1.jpg\"",
                                            "\"caf\xc3\xa9\""};
  const int kind = random.integer(0, depth > 0 ? 9 : 6);
  if (kind < 4) return scalars[random.integer(0, 22)];
  if (kind < 7) return strings[random.integer(0, 7)];
  const bool object = kind == 9;
  std::string text(1, object ? '{' : '[');
  for (int i = random.integer(0, 4); i > 0; --i) {
    if (text.size() > 1) text += ',' + space(random);
    if (object) text += std::string(random.chance(0.5) ? "\"token\"" : "\"a\"") + space(random) + ':' + space(random);
    text += value(random, depth - 1);
  }
  return text + (object ? '}' : ']');
}

std::string table(Random& random, std::size_t rows) {
  static constexpr const char* names[] = {"\"token\"", "\"a\"", "\"b\"", "\"list\"", "\"other\"", "\"name\""};
  std::string text = space(random) + '[' + space(random);
  for (std::size_t i = 0; i < rows; ++i) {
    if (i > 0) text += ',' + space(random);
    text += '{';
    // Mostly in one order, some keys absent, some twice.
    bool first = true;
    for (const char* name : names) {
      if (random.chance(0.15)) continue;
      const char* key = random.chance(0.05) ? names[random.integer(0, 5)] : name;
      text += std::string(first ? "" : ",") + space(random) + key + space(random) + ':' + space(random) + value(random, 3);
      first = false;
    }
    text += space(random) + '}' + space(random);
  }
  return text + ']' + space(random);
}

std::string plain_table(Random& random, std::size_t rows) {
  std::string text = "[\n";
  for (std::size_t i = 0; i < rows; ++i) {
    text +=
        std::string(i > 0 ? "},\n" : "") + "{\n\"token\": \"" + to_string(Token::of_digits(random.bits(), i)) + "\",\n\"a\": ";
    text += std::to_string(random.bits() >> 1U) + ",\n\"other\": [" + std::to_string(random.unit()) + ", true],\n\"list\": [\n";
    text += std::to_string(random.uniform(-1, 1)) + ",\n" + std::to_string(random.uniform(0, 2000)) + "\n]\n";
  }
  return text + "}\n]\n";
}

bool in_batches(const std::string& text) {
  std::istringstream stream(text);
  JsonRowsVisitor visitor;
  visitor.fields = kept;
  JsonRowsBuilder builder("rows.json", visitor);
  return visit_in_batches(stream, builder);
}

}  // namespace

TEST_CASE("two parsers give the same rows", "[json]") {
  Random random({5});
  for (int i = 0; i < 300; ++i) check_both_ways(table(random, static_cast<std::size_t>(random.integer(0, 12))));
  // Of several windows; in the second text no comma but a row's lies between two objects, as in nuScenes' tables.
  const std::string large = table(random, 6'000);
  const std::string plain = plain_table(random, 12'000);
  REQUIRE(large.size() > 1'000'000);
  REQUIRE(plain.size() > 1'500'000);
  check_both_ways(large);
  check_both_ways(plain);
  if (in_batches("[{\"a\": 1}]")) {
    CHECK(in_batches(plain));
    CHECK(in_batches("[]"));
  }
}

TEST_CASE("two parsers refuse alike", "[json]") {
  Random random({6});
  for (int i = 0; i < 1500; ++i) {
    const std::string good = table(random, static_cast<std::size_t>(random.integer(1, 5)));
    const fuzz::Bytes bytes = fuzz::damage({good.begin(), good.end()}, random);
    check_both_ways({bytes.begin(), bytes.end()});
  }
  const std::string large = plain_table(random, 6'000);
  for (int i = 0; i < 12; ++i) {
    const fuzz::Bytes bytes = fuzz::damage({large.begin(), large.end()}, random);
    check_both_ways({bytes.begin(), bytes.end()});
  }
}

TEST_CASE("texts that parsers are known to differ on", "[json]") {
  const std::string long_row = "{\"list\": [" + std::string(700'000, ' ') + "1]}";
  std::string inner;
  for (int i = 0; i < 60'000; ++i) inner += std::string(i > 0 ? "," : "") + "{\"token\": \"x\"}";
  const std::string deep = std::string(14, '[') + std::string(14, ']');
  const std::string texts[] = {"",
                               " ",
                               "[",
                               "]",
                               "[]",
                               "[ ]x",
                               "[][]",
                               "{}",
                               "{\"a\": 1}",
                               "[1, {\"a\": 2}]",
                               "[{\"a\": 1}, 2]",
                               "[[{\"a\": 1}]]",
                               "null",
                               "\xef\xbb\xbf[{\"a\": 1}]",
                               "[{\"a\": 1},]",
                               "[,{\"a\": 1}]",
                               "[{\"a\": 1} {\"a\": 2}]",
                               "[{\"a\": 01}]",
                               "[{\"a\": 1.}]",
                               "[{\"a\": .5}]",
                               "[{\"a\": +1}]",
                               "[{\"a\": -}]",
                               "[{\"a\": 1e}]",
                               "[{\"a\": 1e400}]",
                               "[{\"a\": -1e400}]",
                               "[{\"a\": 123456789012345678901234567890}]",
                               "[{\"a\": -9223372036854775809}]",
                               "[{\"a\": NaN}]",
                               "[{\"a\": Infinity}]",
                               "[{\"a\": \"\\u0041\\n\\\"\"}]",
                               "[{\"a\": \"\\ud800\"}]",
                               "[{\"a\": \"\\udc00\"}]",
                               "[{\"a\": \"\\ud83d\\ude00\"}]",
                               "[{\"a\": \"\\x\"}]",
                               "[{\"a\": \"\xff\"}]",
                               "[{\"a\": \"\xed\xa0\x80\"}]",
                               "[{\"a\": \"\xc0\x80\"}]",
                               "[{\"a\": \"\x01\"}]",
                               std::string("[{\"a\": 1}]\0", 11),
                               std::string("[{\"a\": \"\0\"}]", 12),
                               "[{\"a\": tru}]",
                               "[{\"other\": tru}]",
                               "[{\"other\": [1, }]",
                               "[{\"a\": 1, \"a\": [2], \"a\": [3]}]",
                               "[{\"a\": [1], \"a\": \"x\"}]",
                               "[{1: 2}]",
                               "[{\"a\" 1}]",
                               "[{\"a\": 1}",
                               "[{\"a\": 1}, ",
                               "[{\"a\": \"}, {\"b\": 1}]",
                               "[{\"a\": [{\"token\": \"x\"}, {\"token\": \"y\"}]}]",
                               "[{\"a\": " + deep + "}]",
                               "[{\"other\": " + deep + "}]",
                               "[{\"a\": [" + deep + "]}]",
                               "[{\"other\": [" + deep + "]}]",
                               "[" + long_row + "," + long_row + "]",
                               "[{\"list\": [" + inner + "]}, {\"a\": 1}]",
                               "[{\"other\": [" + inner + "]}, {\"a\": 1}]"};
  for (const std::string& text : texts) check_both_ways(text);
}

TEST_CASE("a row's token is the text that stands there", "[json]") {
  static constexpr char letters[] = "0123456789abcdef0123456789abcdefABFGg-/:@`";
  Random random({12});
  std::vector<std::string> texts;
  std::string table = "[";
  for (int i = 0; i < 3000; ++i) {
    // Of 32 letters most, of which all, one or any are digits.
    std::string text(static_cast<std::size_t>(random.chance(0.9) ? 32 : random.integer(1, 40)), '0');
    for (char& letter : text) letter = letters[random.integer(0, random.chance(0.99) ? 31 : 41)];
    table += (i > 0 ? ", {\"token\": \"" : "{\"token\": \"") + text + "\"}";
    texts.push_back(text);
  }
  std::istringstream stream(table + "]");
  JsonRowsVisitor visitor;
  visitor.fields = {"token"};
  std::size_t at = 0;
  visitor.row = [&](const JsonRow& row) {
    REQUIRE(row.required_token("token") == Token(texts[at]));
    REQUIRE(to_string(row.token("token")) == texts[at++]);
  };
  visit_json_rows(stream, "rows.json", visitor);
  CHECK(at == texts.size());
}

TEST_CASE("an index of tokens finds what a map finds", "[tables]") {
  const auto some = [](std::uint64_t i) {
    // Digits that count up, UUIDs, and words.
    return i % 3 == 0 ? Token::of_digits(0, i) : i % 3 == 1 ? Token::of_uuid(i << 40U, 0) : Token("row " + std::to_string(i));
  };
  Random random({9});
  TokenIndex index;
  std::unordered_map<Token, TokenIndex::Number> numbers;
  for (int i = 0; i < 40'000; ++i) {
    const Token token = some(random.bits() % 20'000);
    const auto next = static_cast<TokenIndex::Number>(numbers.size());
    const bool known = numbers.count(token) > 0;
    REQUIRE(index.number_of(token) == (known ? numbers[token] : -1));
    REQUIRE(index.meet(token) == (known ? numbers[token] : next));
    numbers.emplace(token, next);
  }
  for (const auto& [token, number] : numbers) {
    REQUIRE(index.token_of(number) == token);
    REQUIRE(index.find(token) == -1);  // met, and no row
    index.set_row(number, 2 * number);
    REQUIRE(index.find(token) == 2 * number);
  }
  CHECK(index.meet(Token()) == -1);
  CHECK(index.find(Token()) == -1);
  CHECK(index.row_of(-1) == -1);
}

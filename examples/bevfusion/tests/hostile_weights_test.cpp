// SPDX-License-Identifier: Apache-2.0
// The readers of weights on good files that were then damaged in thousands of ways, and on files made to ask for too much: they
// read them or refuse them with a DataError. The same targets run under libFuzzer (option FULLER_FUZZ).
#include <filesystem>
#include <limits>
#include <memory>
#include <random>
#include <regex>
#include <sstream>
#include <string>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/tests/fuzz/damage.hpp"
#include "bevfusion/tests/fuzz/weights_targets.hpp"
#include "bevfusion/weights/name_map.hpp"
#include "bevfusion/weights/state_file.hpp"
#include "bevfusion/weights/zip_file.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::DataError;
using bevfusion::NameMap;
using bevfusion::StateFile;
using bevfusion::fuzz::Bytes;
using bevfusion::fuzz::try_damaged;

const std::filesystem::path source = FULLER_SOURCE_DIR;
const std::filesystem::path python_state = source / "examples/bevfusion/tests/data/python_state.bin";

// Pickles by hand, in the instructions of Python's pickletools.

std::string little_endian(std::uint64_t number, int count) {
  std::string bytes;
  for (int k = 0; k < count; ++k) {
    bytes += static_cast<char>(number >> (8 * k) & 0xFF);
  }
  return bytes;
}

std::string text(const std::string& value) { return "X" + little_endian(value.size(), 4) + value; }

std::string integer(std::int64_t value) { return std::string("\x8a\x08") + little_endian(static_cast<std::uint64_t>(value), 8); }

std::string tuple(const std::vector<std::int64_t>& values) {
  std::string bytes = "(";
  for (const std::int64_t value : values) {
    bytes += integer(value);
  }
  return bytes + "t";
}

/// A tensor of floats in the storage data/0 of `count` elements.
std::string tensor(std::int64_t count, std::int64_t offset, const std::vector<std::int64_t>& sizes,
                   const std::vector<std::int64_t>& strides) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") +
         integer(count) + "tQ" + integer(offset) + tuple(sizes) + tuple(strides) + "tR";
}

StateFile state_with(const std::string& pickle, std::size_t storage = 400) {
  return {std::make_unique<std::istringstream>(bevfusion::fuzz::zip_around(pickle + ".", storage)), "made.pth"};
}

StateFile file_with(const std::string& tensor_bytes) { return state_with("}" + text("t") + tensor_bytes + "s"); }

std::string refusal(const std::string& pickle) {
  try {
    state_with(pickle);
  } catch (const DataError& error) {
    return error.what();
  }
  return "not refused";
}

bool contains(const std::string& where, const std::string& what) { return where.find(what) != std::string::npos; }

TEST_CASE("damaged weights are read or refused, never more", "[bevfusion][weights][hostile]") {
  bevfusion::ZipFile zip(python_state);
  const std::string pickle = zip.read("data.pkl");
  // Whole, with storages long enough: the names of make_python_state.py.
  StateFile whole = state_with(pickle.substr(0, pickle.size() - 1));
  REQUIRE(whole.names().size() == 8);

  SECTION("file") { try_damaged(bevfusion::read_bytes(python_state), 5000, bevfusion::fuzz::state_file); }
  SECTION("pickle") { try_damaged(Bytes(pickle.begin(), pickle.end()), 20000, bevfusion::fuzz::state_pickle); }
  SECTION("names") {
    Bytes map = bevfusion::read_bytes(source / "examples/bevfusion/weights/swin.names");
    const std::string name = "\1layers.1.blocks.0.norm1.weight";
    map.insert(map.end(), name.begin(), name.end());
    try_damaged(map, 5000, bevfusion::fuzz::name_map);
  }
}

TEST_CASE("a tensor may reach the end of its storage and no further", "[bevfusion][weights][hostile]") {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK(file_with(tensor(100, 0, {10, 10}, {10, 1})).tensor("t").sizes() == at::IntArrayRef({10, 10}));
  CHECK(file_with(tensor(100, 99, {}, {})).tensor("t").dim() == 0);
  CHECK(file_with(tensor(100, 90, {5, 2}, {1, 5})).tensor("t").numel() == 10);
  CHECK(file_with(tensor(100, 7, {3, 0}, {1, 1})).tensor("t").numel() == 0);
  const std::string large = "larger than its storage of 100";
  CHECK(contains(refusal("}" + text("t") + tensor(100, 100, {}, {}) + "s"), large));
  CHECK(contains(refusal("}" + text("t") + tensor(100, 91, {5, 2}, {1, 5}) + "s"), large));
  CHECK(contains(refusal("}" + text("t") + tensor(100, huge, {2}, {1}) + "s"), large));
  CHECK(contains(refusal("}" + text("t") + tensor(100, 0, {2}, {huge}) + "s"), large));
  CHECK(contains(refusal("}" + text("t") + tensor(100, 0, {huge}, {0}) + "s"), large));
  CHECK(contains(refusal("}" + text("t") + tensor(100, 0, {50, 3}, {1, 0}) + "s"), large));
  // An empty tensor has strides, too: 2^62 * 2^62 is no number of 64 bits.
  const std::int64_t wide = std::int64_t{1} << 62;
  CHECK(contains(refusal("}" + text("t") + tensor(100, 0, {0, wide, wide}, {wide, wide, 1}) + "s"), large));
  CHECK(contains(refusal("}" + text("t") + tensor(101, 0, {1}, {1}) + "s"), "entry data/0 fewer"));
  CHECK(contains(
      refusal("}" + text("t") + tensor(100, 0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)) + "s"),
      "shape or stride"));
}

TEST_CASE("a small file cannot ask for much work", "[bevfusion][weights][hostile]") {
  SECTION("dicts that hold the one before many times") {
    // 50^15 ways lead to the empty one.
    std::string pickle = "}q\1" + std::string("0");
    for (int level = 0; level < 15; ++level) {
      pickle += "}(";
      for (int k = 0; k < 50; ++k) {
        pickle += text("k" + std::to_string(k)) + "h\1";
      }
      pickle += "uq\1" + std::string("0");
    }
    CHECK(contains(refusal(pickle + "h\1"), "too much under"));
  }
  SECTION("a dict that holds itself") { CHECK(contains(refusal("}q\1" + text("a") + "h\1s"), "too much under 'a.a.a")); }
  SECTION("names without an end") {
    const std::string longest(1000, 'n');
    CHECK(state_with("}" + text(longest) + tensor(1, 0, {}, {}) + "s").names() == std::vector<std::string>{longest});
    CHECK(contains(refusal("}" + text(longest + "n") + tensor(1, 0, {}, {}) + "s"), "more than 1000 characters"));
    CHECK(contains(refusal("}" + text(longest) + "}" + text("n") + tensor(1, 0, {}, {}) + "ss"), "more than 1000 characters"));
  }
  SECTION("a class with a long name") {
    CHECK(contains(refusal(text(std::string(999, 'm')) + text("nn") + "\x93"), "more than 1000 characters"));
  }
  SECTION("a name and a pattern of many stars") {
    // Were each star tried at every length, 200 over 30 ways.
    std::string pattern;
    for (int k = 0; k < 30; ++k) {
      pattern += "a*";
    }
    std::istringstream lines(pattern + "b ours\n");
    CHECK_FALSE(NameMap(lines, "made.names").find(std::string(200, 'a')).has_value());
  }
}

TEST_CASE("stars stand for what the same regular expression finds", "[bevfusion][weights]") {
  std::mt19937 random(5);
  const auto letters = [&](const std::string& alphabet, std::size_t most) {
    std::string word;
    for (std::size_t k = random() % (most + 1); k > 0; --k) {
      word += alphabet[random() % alphabet.size()];
    }
    return word;
  };
  int found = 0;
  for (int round = 0; round < 5000; ++round) {
    const std::string pattern = "a" + letters("ab.***", 7);
    const std::string name = "a" + letters("aab.", 9);
    std::string expression;
    std::string ours = "o";
    for (const char c : pattern) {
      expression += c == '*' ? "([^.]*?)" : c == '.' ? "\\." : std::string(1, c);
      ours += c == '*' ? "_*" : "";
    }
    std::smatch stars;
    std::string expected;
    if (std::regex_match(name, stars, std::regex(expression))) {
      expected = "o";
      for (std::size_t k = 1; k < stars.size(); ++k) {
        expected += "_" + stars[k].str();
      }
      ++found;
    }
    std::istringstream lines(pattern + " " + ours + "\n");
    const auto renamed = NameMap(lines, "made.names").find(name);
    INFO(pattern << " on " << name);
    REQUIRE((renamed ? renamed->name : "") == expected);
  }
  CHECK(found > 500);
}

}  // namespace

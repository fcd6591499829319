// SPDX-License-Identifier: Apache-2.0
// Tables out of an index are those out of their JSON, whatever happens to the index, and whoever makes it.
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/tables_index.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tests/fuzz/damage.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/large_tables.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/tests/support/same_tables.hpp"
#include "support/catch.hpp"

using namespace bevfusion;
using bevfusion::testing::difference;
using bevfusion::testing::has;
using bevfusion::testing::refusal;
namespace fs = std::filesystem;

namespace {

/// A data set's tables and what is said of their index.
struct Indexed {
  bevfusion::testing::TemporaryFolder folder;
  std::string version = "v1.0-synth";
  TablesOptions options;
  TablesIndex index;
  std::vector<std::string> said;

  Indexed() {
    index.least = 0;
    index.settled = std::chrono::milliseconds(0);
    index.say = [this](const std::string& text) { said.push_back(text); };
  }

  void synthesise(SynthOptions::Tokens tokens = SynthOptions::Tokens::nuscenes) {
    SynthOptions synth = SynthOptions::tiny();
    synth.scenes = 1;
    synth.samples = 2;
    synth.sweeps = 1;
    synth.azimuths = 8;
    synth.image_scale = 0.03;
    synth.tokens = tokens;
    synth.out = folder.path();
    generate(synth);
    version = synth.version;
  }

  fs::path file() const { return tables_index_file(folder.path(), version, options, index); }
  fs::path table(const char* name) const { return folder.path() / version / (std::string(name) + ".json"); }
  Tables read() { return read_tables(folder.path(), version, options, index); }
  Tables without() const {
    TablesIndex none;
    none.place = TablesIndex::Place::none;
    return read_tables(folder.path(), version, options, none);
  }
  bool heard(const std::string& what) const {
    bool found = false;
    for (const std::string& text : said) found = found || has(text, what);
    return found;
  }
};

/// Bytes that this process has read so far, from whatever file.
std::uint64_t bytes_read() {
  std::ifstream file("/proc/self/io");
  std::string name;
  std::uint64_t count = 0;
  file >> name >> count;
  REQUIRE(name == "rchar:");
  return count;
}

std::uint64_t bytes_of_tables(const Indexed& set) {
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(set.folder.path() / set.version)) {
    if (entry.path().extension() == ".json") bytes += entry.file_size();
  }
  return bytes;
}

std::uint64_t bytes_to_read(Indexed& set) {
  const std::uint64_t before = bytes_read();
  set.read();
  return bytes_read() - before;
}

void overwrite(const fs::path& file, const fuzz::Bytes& bytes) { write_bytes(file, bytes.data(), bytes.size()); }

void replace(const fs::path& file, const std::string& what, const std::string& with) {
  const fuzz::Bytes bytes = read_bytes(file);
  std::string text(bytes.begin(), bytes.end());
  const std::size_t at = text.find(what);
  REQUIRE(at != std::string::npos);
  text.replace(at, what.size(), with);
  write_bytes(file, text.data(), text.size());
}

void check_same_twice(Indexed& set) {
  const Tables right = set.without();
  CHECK(difference(set.read(), right).empty());
  CHECK(set.said.size() == 1);
  CHECK(set.heard("made, "));
  REQUIRE(fs::exists(set.file()));
  CHECK(difference(set.read(), right).empty());
  CHECK(set.said.size() == 1);
  CHECK_FALSE(fs::exists(set.file().string() + ".part"));
}

}  // namespace

TEST_CASE("tables out of an index are those out of their JSON", "[index]") {
  Indexed set;
  SECTION("tokens are digits") {
    set.synthesise();
    check_same_twice(set);
  }
  SECTION("tokens are UUIDs") {
    set.synthesise(SynthOptions::Tokens::uuid);
    check_same_twice(set);
  }
  SECTION("tokens are words") {
    set.synthesise(SynthOptions::Tokens::text);
    check_same_twice(set);
  }
  SECTION("many rows, radars, sweeps") {
    bevfusion::testing::LargeTables(set.folder.path() / set.version, 2).write();
    check_same_twice(set);
    set.said.clear();
    set.options.camera_sweeps = true;
    check_same_twice(set);  // in another file
    set.said.clear();
    set.options.cameras = {"CAM_BACK"};
    check_same_twice(set);
  }
  SECTION("in another folder") {
    set.synthesise();
    set.index.place = TablesIndex::Place::folder;
    set.index.folder = set.folder.path() / "not" / "there" / "yet";
    check_same_twice(set);
    CHECK(set.file().parent_path() == set.index.folder);
  }
  SECTION("a real key frame") {
    const fs::path real = bevfusion::testing::real_key_frame();
    if (real.empty()) FULLER_SKIP("no real key frame");
    set.version = "v1.0-mini";
    fs::create_directories(set.folder.path() / set.version);
    for (const auto& entry : fs::directory_iterator(real / set.version)) {
      overwrite(set.folder.path() / set.version / entry.path().filename(), read_bytes(entry.path()));
    }
    check_same_twice(set);
  }
}

TEST_CASE("the generator's tables have the rows that it says", "[index]") {
  const bevfusion::testing::TemporaryFolder folder;
  const bevfusion::testing::LargeTables large(folder.path() / "v1.0-trainval", 2);
  large.write();
  const Tables tables = read_tables(folder.path(), "v1.0-trainval");
  CHECK(tables.samples.size() == 80);
  CHECK(large.all_files() == 5600);
  CHECK(tables.sample_data.size() == 80 * 16);
  CHECK(large.kept_files() == 80 * 16);
  CHECK(tables.annotations.size() == 2400);
  CHECK(large.all_annotations() == 2400);
  CHECK_FALSE(fs::exists(tables_index_file(folder.path(), "v1.0-trainval", {}, {})));  // too small for one
}

TEST_CASE("a second start reads the index alone, as long as the tables stay", "[index]") {
  if (!fs::exists("/proc/self/io")) FULLER_SKIP("no /proc/self/io");
  Indexed set;
  bevfusion::testing::LargeTables(set.folder.path() / set.version, 1).write();
  const std::uint64_t tables = bytes_of_tables(set);
  CHECK(bytes_to_read(set) >= tables);
  const std::uint64_t index = fs::file_size(set.file());
  const std::uint64_t kept = bytes_to_read(set);
  CHECK(kept >= index);
  CHECK(kept < index + 4000);
  REQUIRE(index + 4000 < tables);

  SECTION("times that say nothing: read once more, and then no more") {
    const fs::file_time_type other = fs::last_write_time(set.table("ego_pose")) + std::chrono::hours(1);
    fs::last_write_time(set.table("ego_pose"), other);
    set.said.clear();
    const std::uint64_t again = bytes_to_read(set);
    CHECK(again >= index + fs::file_size(set.table("ego_pose")));
    CHECK(again < index + fs::file_size(set.table("ego_pose")) + 4000);
    CHECK(set.said.empty());
    CHECK(bytes_to_read(set) < index + 4000);
  }
  SECTION("times too young to tell one change from the next") {
    fs::remove(set.file());
    set.index.settled = std::chrono::hours(1);
    set.read();
    CHECK(bytes_to_read(set) >= index + tables);
  }
}

TEST_CASE("tables that changed are read again", "[index]") {
  Indexed set;
  set.synthesise();
  set.read();
  set.said.clear();
  const Tables before = set.without();
  SECTION("longer") { replace(set.table("sample_annotation"), "\"num_lidar_pts\": ", "\"num_lidar_pts\": 1"); }
  SECTION("of the same size") { replace(set.table("sample_annotation"), "\"num_radar_pts\": 0", "\"num_radar_pts\": 7"); }
  SECTION("of the same size and time of writing") {
    const auto time = fs::last_write_time(set.table("sample_annotation"));
    replace(set.table("sample_annotation"), "\"num_radar_pts\": 0", "\"num_radar_pts\": 7");
    fs::last_write_time(set.table("sample_annotation"), time);
  }
  const Tables after = set.read();
  CHECK(set.heard("the tables have changed"));
  CHECK(set.heard("made, "));
  CHECK(difference(after, set.without()).empty());
  CHECK_FALSE(difference(after, before).empty());
  set.said.clear();
  CHECK(difference(set.read(), after).empty());
  CHECK(set.said.empty());
}

TEST_CASE("a damaged index is noticed, said and made anew", "[index]") {
  Indexed set;
  set.synthesise();
  const Tables right = set.without();
  set.read();
  const fuzz::Bytes good = read_bytes(set.file());
  const auto check = [&](const fuzz::Bytes& bytes) {
    if (bytes == good) return;
    overwrite(set.file(), bytes);
    set.said.clear();
    REQUIRE(difference(set.read(), right).empty());
    REQUIRE(set.said.size() == 2);
    REQUIRE(has(set.said[0], "is not taken: "));
    REQUIRE(has(set.said[1], "made, "));
    set.said.clear();
    REQUIRE(difference(set.read(), right).empty());
    REQUIRE(set.said.empty());
  };
  Random random({3});
  const auto place = [&] { return static_cast<std::size_t>(random.unit() * static_cast<double>(good.size())); };
  SECTION("one bit") {
    for (std::size_t i = 0; i < 600; ++i) {
      fuzz::Bytes bytes = good;
      bytes[i < 300 ? i : place()] ^= static_cast<std::uint8_t>(1U << static_cast<unsigned>(random.integer(0, 7)));
      check(bytes);
    }
  }
  SECTION("cut short, or longer") {
    for (int i = 0; i < 200; ++i) {
      fuzz::Bytes bytes = good;
      bytes.resize(i < 60 ? static_cast<std::size_t>(i) : place());
      check(bytes);
    }
    fuzz::Bytes bytes = good;
    bytes.push_back(0);
    check(bytes);
    bytes.insert(bytes.end(), good.begin(), good.end());
    check(bytes);
  }
  SECTION("anyhow") {
    for (int i = 0; i < 400; ++i) check(fuzz::damage(good, random));
  }
  SECTION("another file") {
    check({});
    check(fuzz::Bytes(1000, 0));
    check(read_bytes(set.table("sample")));
  }
}

TEST_CASE("an index of another program or machine says so", "[index]") {
  Indexed set;
  set.synthesise();
  set.read();
  fuzz::Bytes bytes = read_bytes(set.file());
  set.said.clear();
  SECTION("version") {
    bytes[24] ^= 2U;
    overwrite(set.file(), bytes);
    set.read();
    CHECK(set.heard("another version of the program"));
  }
  SECTION("order of bytes") {
    std::swap(bytes[28], bytes[31]);
    std::swap(bytes[29], bytes[30]);
    overwrite(set.file(), bytes);
    set.read();
    CHECK(set.heard("another kind of machine"));
  }
  SECTION("of another data set") {
    Indexed other;
    other.synthesise(SynthOptions::Tokens::uuid);
    other.read();
    overwrite(set.file(), read_bytes(other.file()));
    CHECK(difference(set.read(), set.without()).empty());
    CHECK(set.heard("the tables have changed"));
  }
}

TEST_CASE("errors are the same with an index", "[index]") {
  Indexed set;
  set.synthesise();
  const bool made = GENERATE(false, true);  // before the damage
  if (made) set.read();
  set.said.clear();
  const auto check = [&](const std::string& part) {
    const std::string right = refusal<DataError>([&] { set.without(); });
    REQUIRE(has(right, part));
    CHECK(refusal<DataError>([&] { set.read(); }) == right);
    CHECK(fs::exists(set.file()) == made);
    CHECK_FALSE(fs::exists(set.file().string() + ".part"));
  };
  SECTION("a value") {
    replace(set.table("sample_annotation"), "\"size\": [", "\"size\": [-1, 1, 1], \"was\": [");
    check("'size' is not above zero");
  }
  SECTION("a reference") {
    replace(set.table("instance"), "\"category_token\": \"",
            "\"category_token\": \"0123456789abcdef0123456789abcdef\", \"was\": \"");
    check("'category_token' refers to a row that is not there");
  }
  SECTION("cut short") {
    fs::resize_file(set.table("ego_pose"), 150);
    check("cut short");
  }
  SECTION("missing") {
    fs::remove(set.table("visibility"));
    check("cannot be opened");
  }
}

TEST_CASE("tables are read where no index can be written", "[index]") {
  Indexed set;
  set.synthesise();
  set.index.place = TablesIndex::Place::folder;
  SECTION("the folder cannot be made") { set.index.folder = set.table("sample") / "below a file"; }
  SECTION("the folder takes no file") { set.index.folder = "/proc"; }
  CHECK(difference(set.read(), set.without()).empty());
  REQUIRE(set.said.size() == 1);
  CHECK(set.heard("cannot be written ("));
  CHECK(set.heard("FULLER_TABLES_INDEX="));
}

TEST_CASE("where something else has the index's name, tables are read", "[index]") {
  Indexed set;
  set.synthesise();
  fs::create_directories(set.file() / "something");
  CHECK(difference(set.read(), set.without()).empty());
  CHECK(set.heard("cannot be written ("));
  CHECK(fs::exists(set.file() / "something"));
  CHECK_FALSE(fs::exists(set.file().string() + ".part"));
}

TEST_CASE("FULLER_TABLES_INDEX says where an index is", "[index]") {
  CHECK(tables_index_named(nullptr).place == TablesIndex::Place::beside_tables);
  CHECK(tables_index_named("").place == TablesIndex::Place::beside_tables);
  CHECK(tables_index_named("beside").place == TablesIndex::Place::beside_tables);
  CHECK(tables_index_named("off").place == TablesIndex::Place::none);
  CHECK(tables_index_named("/somewhere").place == TablesIndex::Place::folder);
  CHECK(tables_index_named("/somewhere").folder == "/somewhere");
  CHECK_THROWS_WITH(tables_index_named("offf"), Catch::Matchers::Contains("'offf'") && Catch::Matchers::Contains("absolute"));
}

// SPDX-License-Identifier: Apache-2.0
// What an index is made of: checksums, blocks, a file that one process makes for several.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/nuscenes/block_file.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/claimed_file.hpp"
#include "bevfusion/nuscenes/tables_archive.hpp"
#include "bevfusion/nuscenes/tables_index.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/large_tables.hpp"
#include "bevfusion/tests/support/same_tables.hpp"
#include "support/catch.hpp"

using namespace bevfusion;
using bevfusion::testing::difference;
namespace fs = std::filesystem;

namespace {

std::uint64_t checksum(const std::vector<char>& bytes, std::uint64_t seed = 0) {
  Checksum sum(seed);
  sum.add(bytes.data(), bytes.size());
  return sum.value();
}

std::vector<char> some_bytes(std::size_t count, std::uint64_t seed) {
  Random random({seed});
  std::vector<char> bytes(count);
  for (char& byte : bytes) byte = static_cast<char>(random.integer(-128, 127));
  return bytes;
}

/// Does the work in another process, whose exit status it returns the number of.
pid_t in_process(const std::function<int()>& work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(work());
  return child;
}

int status_of(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("a checksum follows from the bytes alone", "[index]") {
  for (const std::size_t length : std::vector<std::size_t>{0, 1, 7, 8, 63, 64, 65, 127, 128, 1000}) {
    std::vector<char> bytes = some_bytes(length, length);
    const std::uint64_t whole = checksum(bytes);
    for (const std::size_t piece : std::vector<std::size_t>{1, 3, 64, 100}) {
      Checksum sum;
      for (std::size_t at = 0; at < length; at += piece) sum.add(bytes.data() + at, std::min(piece, length - at));
      CHECK(sum.value() == whole);
    }
    CHECK(checksum(bytes, 1) != whole);
    for (std::size_t bit = 0; bit < 8 * length; ++bit) {
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ static_cast<char>(1U << bit % 8));
      REQUIRE(checksum(bytes) != whole);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ static_cast<char>(1U << bit % 8));
    }
    bytes.push_back(0);
    CHECK(checksum(bytes) != whole);
  }
}

TEST_CASE("blocks give out what was put in, or say what is wrong", "[index]") {
  const std::vector<char> content = some_bytes(2'500'000, 4);
  std::vector<char> file;
  BlockWriter writer([&](const void* bytes, std::size_t count) {
    const auto* at = static_cast<const char*>(bytes);
    file.insert(file.end(), at, at + count);
  });
  for (std::size_t at = 0; at < content.size(); at += 7919)
    writer.add(content.data() + at, std::min<std::size_t>(7919, content.size() - at));
  writer.finish();
  const auto read = [&](const std::vector<char>& from) {
    std::size_t at = 0;
    BlockReader reader([&](void* to, std::size_t count) {
      count = std::min(count, from.size() - at);
      if (count > 0) std::memcpy(to, from.data() + at, count);
      at += count;
      return count;
    });
    std::vector<char> out(content.size());
    for (std::size_t i = 0; i < out.size(); i += 1'000'003)
      reader.take(out.data() + i, std::min<std::size_t>(1'000'003, out.size() - i));
    reader.expect_end();
    return out;
  };
  REQUIRE(read(file) == content);
  Random random({8});
  const auto place = [&] { return static_cast<std::size_t>(random.unit() * static_cast<double>(file.size())); };
  for (int i = 0; i < 60; ++i) {
    std::vector<char> damaged = file;
    char& byte = damaged[place()];
    byte = static_cast<char>(byte ^ static_cast<char>(1 << random.integer(0, 6)));
    REQUIRE_THROWS_AS(read(damaged), BlockError);
    damaged = file;
    damaged.resize(place());
    REQUIRE_THROWS_AS(read(damaged), BlockError);
  }
  // The first two blocks, which are of one length, change places.
  const std::size_t block = sizeof(BlockHead) + BlockHead::most;
  std::vector<char> swapped = file;
  std::swap_ranges(swapped.begin(), swapped.begin() + static_cast<std::ptrdiff_t>(block),
                   swapped.begin() + static_cast<std::ptrdiff_t>(block));
  REQUIRE_THROWS_AS(read(swapped), BlockError);
  // A block is gone.
  std::vector<char> shorter = file;
  shorter.erase(shorter.begin(), shorter.begin() + static_cast<std::ptrdiff_t>(block));
  REQUIRE_THROWS_AS(read(shorter), BlockError);
  std::vector<char> longer = file;
  longer.push_back('x');
  REQUIRE_THROWS_AS(read(longer), BlockError);
}

TEST_CASE("no row may refer to one that is not there", "[index]") {
  const bevfusion::testing::TemporaryFolder folder;
  bevfusion::testing::LargeTables(folder.path() / "v", 1).write();
  const Tables good = read_tables(folder.path(), "v");
  CHECK_NOTHROW(check_references(good));
  const auto refused = [&](const std::function<RowIndex&(Tables&)>& field, RowIndex wrong) {
    Tables tables = good;
    field(tables) = wrong;
    CHECK_THROWS_AS(check_references(tables), BlockError);
  };
  const auto samples = static_cast<RowIndex>(good.samples.size());
  const auto data = static_cast<RowIndex>(good.sample_data.size());
  const auto annotations = static_cast<RowIndex>(good.annotations.size());
  refused([](Tables& t) -> RowIndex& { return t.scenes[0].log; }, 1);
  refused([](Tables& t) -> RowIndex& { return t.scenes[0].first_sample; }, -1);
  refused([](Tables& t) -> RowIndex& { return t.scenes[0].last_sample; }, samples);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].scene; }, 1);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].previous; }, samples);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].next; }, -2);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].data[6]; }, data);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].first_annotation; }, annotations + 1);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].annotation_count; }, annotations + 1);
  refused([](Tables& t) -> RowIndex& { return t.samples[3].annotation_count; }, -1);
  refused([](Tables& t) -> RowIndex& { return t.sample_data[5].sample; }, -1);
  refused([](Tables& t) -> RowIndex& { return t.sample_data[5].ego_pose; }, data);
  refused([](Tables& t) -> RowIndex& { return t.sample_data[5].calibration; }, 100);
  refused([](Tables& t) -> RowIndex& { return t.sample_data[5].previous; }, data);
  refused([](Tables& t) -> RowIndex& { return t.sample_data[5].next; }, -2);
  refused([](Tables& t) -> RowIndex& { return t.instances[5].category; }, 10);
  refused([](Tables& t) -> RowIndex& { return t.annotations[5].sample; }, samples);
  refused([](Tables& t) -> RowIndex& { return t.annotations[5].instance; }, -1);
  refused([](Tables& t) -> RowIndex& { return t.annotations[5].previous; }, annotations);
  refused([](Tables& t) -> RowIndex& { return t.annotations[5].next; }, -2);
}

TEST_CASE("one process makes a file, and others see it whole", "[index]") {
  const bevfusion::testing::TemporaryFolder folder;
  const fs::path file = folder.path() / "file";
  using Claim = ClaimedFile::Claim;
  {
    ClaimedFile first(file);
    REQUIRE(first.claim() == Claim::made);
    ClaimedFile second(file);
    CHECK(second.claim() == Claim::others);
    REQUIRE(first.write("whole", 5));
    CHECK_FALSE(fs::exists(file));
    REQUIRE(first.put_in_place());
    CHECK(read_bytes(file).size() == 5);
    CHECK(second.claim() == Claim::made);
  }
  CHECK(read_bytes(file).size() == 5);  // given up, nothing changed
  CHECK_FALSE(fs::exists(file.string() + ".part"));

  SECTION("one that was killed") {
    const pid_t child = in_process([&] {
      ClaimedFile claimed(file);
      if (claimed.claim() != Claim::made || !claimed.write("half of it", 10)) return 1;
      raise(SIGKILL);
      return 2;
    });
    CHECK(status_of(child) == 128 + SIGKILL);
    CHECK(fs::file_size(file.string() + ".part") == 10);
    ClaimedFile next(file);
    REQUIRE(next.claim() == Claim::made);
    REQUIRE(next.write("new", 3));
    REQUIRE(next.put_in_place());
    CHECK(read_bytes(file).size() == 3);
    CHECK_FALSE(fs::exists(file.string() + ".part"));
  }
  SECTION("a file system without locks") {
    const auto none = [](int, int) {
      errno = ENOLCK;
      return -1;
    };
    ClaimedFile one(file, none);
    ClaimedFile two(file, none);
    REQUIRE(one.claim() == Claim::made);
    REQUIRE(two.claim() == Claim::made);
    REQUIRE(one.write("one", 3));
    REQUIRE(two.write("other", 5));
    REQUIRE(one.put_in_place());
    CHECK(read_bytes(file).size() == 3);
    REQUIRE(two.put_in_place());
    CHECK(read_bytes(file).size() == 5);
    CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  }
}

TEST_CASE("where the disk is full, the tables are there all the same", "[index]") {
  const bevfusion::testing::TemporaryFolder folder;
  bevfusion::testing::LargeTables(folder.path() / "v", 1).write();
  const Tables right = read_tables(folder.path(), "v");
  TablesIndex index;
  index.least = 0;
  const fs::path file = tables_index_file(folder.path(), "v", {}, index);
  const pid_t child = in_process([&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit small = {100'000, 100'000};
    if (setrlimit(RLIMIT_FSIZE, &small) != 0) return 2;
    int said = 0;
    index.say = [&](const std::string& text) {
      said += text.find("cannot be written (File too large)") != std::string::npos ? 1 : 50;
    };
    return difference(read_tables(folder.path(), "v", {}, index), right).empty() ? said : 100;
  });
  CHECK(status_of(child) == 1);
  CHECK_FALSE(fs::exists(file));
  CHECK_FALSE(fs::exists(file.string() + ".part"));
}

TEST_CASE("of several processes one reads the tables", "[index]") {
  const bevfusion::testing::TemporaryFolder folder;
  bevfusion::testing::LargeTables(folder.path() / "v", 2).write();
  const Tables right = read_tables(folder.path(), "v");
  TablesIndex index;
  index.least = 0;
  index.settled = std::chrono::milliseconds(0);
  const fs::path notes = folder.path() / "said";
  fs::create_directories(notes);
  // Exits with the number of sentences, 100 where the tables are wrong.
  const auto reader = [&](int number) {
    return in_process([&, number] {
      int said = 0;
      index.say = [&](const std::string& text) {
        ++said;
        std::ofstream(notes / std::to_string(number)) << text << "\n";
      };
      return difference(read_tables(folder.path(), "v", {}, index), right).empty() ? said : 100;
    });
  };
  SECTION("all at once") {
    std::vector<pid_t> readers;
    for (int i = 0; i < 5; ++i) readers.push_back(reader(i));
    int said = 0;
    for (const pid_t child : readers) said += status_of(child);
    CHECK(said == 1);
    for (const auto& note : fs::directory_iterator(notes)) {
      const std::vector<std::uint8_t> text = read_bytes(note.path());
      CHECK(std::string(text.begin(), text.end()).find("made, ") != std::string::npos);
    }
  }
  SECTION("the one that makes it is killed") {
    const fs::path file = tables_index_file(folder.path(), "v", {}, index);
    const pid_t maker = in_process([&] {
      ClaimedFile claimed(file);
      if (claimed.claim() != ClaimedFile::Claim::made) return 1;
      std::ofstream(notes / "claimed");
      for (;;) pause();
    });
    while (!fs::exists(notes / "claimed")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    fs::remove(notes / "claimed");
    const pid_t waiting = reader(0);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK_FALSE(fs::exists(file));
    CHECK(waitpid(waiting, nullptr, WNOHANG) == 0);
    kill(maker, SIGKILL);
    CHECK(status_of(maker) == 128 + SIGKILL);
    CHECK(status_of(waiting) == 1);
    CHECK(fs::exists(file));
  }
  SECTION("the one that makes it never ends") {
    const fs::path file = tables_index_file(folder.path(), "v", {}, index);
    ClaimedFile claimed(file);
    REQUIRE(claimed.claim() == ClaimedFile::Claim::made);
    index.patience = std::chrono::milliseconds(50);
    std::string said;
    index.say = [&](const std::string& text) { said += text; };
    CHECK(difference(read_tables(folder.path(), "v", {}, index), right).empty());
    CHECK(said.find("another process has been making it for long") != std::string::npos);
    CHECK_FALSE(fs::exists(file));
  }
}

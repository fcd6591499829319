// SPDX-License-Identifier: Apache-2.0
// Files, threads and folders where the system gives less than was asked for; numbers and words that are not what was asked for.
#include <atomic>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <limits>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/synth/parallel.hpp"
#include "bevfusion/tests/support/program_run.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "bevfusion/training/crc32c.hpp"
#include "support/catch.hpp"
#include "support/folder_lock.hpp"
#include "support/nearest.hpp"
#include "support/number_range.hpp"
#include "support/output_file.hpp"
#include "support/threads.hpp"

namespace {

using bevfusion::testing::content_of;
using bevfusion::testing::refusal;
using bevfusion::testing::TemporaryFolder;

/// While it lives, so many threads can be started and no more: each wants a stack of 1 GB of addresses.
class FewThreads {
 public:
  explicit FewThreads(std::size_t count) {
    pthread_attr_t attributes;
    pthread_getattr_default_np(&attributes_);
    pthread_getattr_default_np(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
    getrlimit(RLIMIT_AS, &limit_);
    rlimit less = limit_;
    less.rlim_cur = addresses_in_use() + count * stack + stack / 2;
    setrlimit(RLIMIT_AS, &less);
  }
  ~FewThreads() {
    setrlimit(RLIMIT_AS, &limit_);
    pthread_setattr_default_np(&attributes_);
    pthread_attr_destroy(&attributes_);
  }
  FewThreads(const FewThreads&) = delete;
  FewThreads& operator=(const FewThreads&) = delete;

 private:
  static constexpr std::size_t stack = std::size_t{1} << 30U;

  static std::size_t addresses_in_use() {
    std::ifstream in("/proc/self/statm");
    std::size_t pages = 0;
    in >> pages;
    return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }

  pthread_attr_t attributes_;
  rlimit limit_{};
};

TEST_CASE("work is done by the threads that could be started", "[bevfusion][scarcity]") {
  for (const std::size_t given : {std::size_t{0}, std::size_t{2}}) {
    const FewThreads few(given);
    std::atomic<int> began{0};
    std::vector<std::thread> threads = example::start_threads(6, [&began] { ++began; });
    const std::size_t count = threads.size();
    for (std::thread& thread : threads) {
      thread.join();
    }
    CHECK(count == given);
    CHECK(began == static_cast<int>(given));
  }
  for (const std::size_t given : {std::size_t{0}, std::size_t{2}}) {
    const FewThreads few(given);
    std::vector<std::atomic<int>> done(50);
    bevfusion::parallel_for(done.size(), 8, [&done](std::size_t i) { ++done[i]; });
    CHECK(std::all_of(done.begin(), done.end(), [](const std::atomic<int>& times) { return times == 1; }));
    CHECK(refusal<std::runtime_error>(
              [] { bevfusion::parallel_for(9, 8, [](std::size_t) { throw std::runtime_error("this job"); }); }) == "this job");
    bevfusion::Prefetcher<int> items(
        3, 9, 8, 4, [](std::size_t i) { return i == 7 ? throw std::runtime_error("item 7") : static_cast<int>(i); });
    for (int i = 3; i < 7; ++i) {
      CHECK(items.next() == i);
    }
    CHECK(refusal<std::runtime_error>([&items] { items.next(); }) == "item 7");
    CHECK(items.next() == 8);
    CHECK_FALSE(items.next());
  }
}

TEST_CASE("a file that cannot be written says so, with the reason, and the old one stays", "[bevfusion][scarcity]") {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "result.json";
  CHECK(refusal<std::runtime_error>([] { example::OutputFile("/no/such/folder/x"); }) ==
        "/no/such/folder/x: cannot be written (No such file or directory)");
  CHECK(refusal<std::runtime_error>([] { example::write_file("/dev/full", "text"); }) ==
        "/dev/full: cannot be written (No space left on device)");
  example::write_file(file, "old");
  CHECK(content_of(file) == "old");
  const std::string large(300'000, 'x');
  const std::string said = refusal<std::runtime_error>([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit less = before;
    less.rlim_cur = 100'000;
    setrlimit(RLIMIT_FSIZE, &less);
    struct Restore {
      rlimit& limits;
      ~Restore() { setrlimit(RLIMIT_FSIZE, &limits); }
    } restore{before};
    example::write_file(file, large);
  });
  CHECK(said.find("result.json") != std::string::npos);
  CHECK(said.find("(File too large)") != std::string::npos);
  CHECK(content_of(file) == "old");
  CHECK(refusal<std::runtime_error>([&] {
          example::write_whole(file, [](example::OutputFile& out) {
            out.write("half");
            throw std::runtime_error("stopped");
          });
        }) == "stopped");
  CHECK(content_of(file) == "old");
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  example::write_file(file, large);
  CHECK(content_of(file) == large);
}

TEST_CASE("a folder's lock ends with its process, however that ends", "[bevfusion][scarcity]") {
  const TemporaryFolder folder;
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const example::FolderLock lock(folder.path(), "is being used");
    static_cast<void>(!write(ready[1], "x", 1));
    pause();
  }
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  const auto lock = [&folder] { example::FolderLock(folder.path(), "is being used"); };
  const std::string said = refusal<std::runtime_error>(lock);
  CHECK(said.find(folder.path().string() + " is being used by process " + std::to_string(child)) == 0);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(refusal<std::runtime_error>(lock) == "");
  {
    const example::FolderLock mine(folder.path(), "is being used");
    CHECK(refusal<std::runtime_error>(lock).find(std::to_string(getpid())) != std::string::npos);
  }
  CHECK(refusal<std::runtime_error>(lock) == "");
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(refusal<std::runtime_error>([] { example::FolderLock("/no/such/folder", "is being used"); }).find("/no/such/folder") ==
        0);
}

TEST_CASE("a checksum of pieces is that of the whole", "[bevfusion][scarcity]") {
  std::string bytes(1000, '\0');
  std::iota(bytes.begin(), bytes.end(), static_cast<char>(1));
  std::uint32_t rest = 0xFFFFFFFFU;  // bit by bit, from the polynomial
  for (const char byte : bytes) {
    rest ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) {
      rest = (rest >> 1U) ^ ((rest & 1U) != 0 ? 0x82F63B78U : 0U);
    }
  }
  const std::uint32_t expected = rest ^ 0xFFFFFFFFU;
  CHECK(bevfusion::crc32c(bytes) == expected);
  for (const std::size_t piece : {1U, 7U, 8U, 9U, 333U}) {
    bevfusion::Crc32c sum;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      sum.add(std::string_view(bytes).substr(at, piece));
    }
    CHECK(sum.value() == expected);
  }
}

/// What the validator says of a text.
template <class Number>
std::string said_of(std::string text, double least = -std::numeric_limits<double>::infinity(),
                    double most = std::numeric_limits<double>::infinity()) {
  return example::number_within<Number>(least, most)(text);
}

TEST_CASE("numbers are taken as they are written, or refused", "[bevfusion][scarcity]") {
  for (const char* good : {"0", "-7", "+7", "2147483647", "-2147483648"}) {
    CHECK(said_of<int>(good) == "");
  }
  CHECK(said_of<int>("2147483648") == "2147483648 is out of range; it may be -2147483648 ... 2147483647");
  CHECK(said_of<std::int64_t>("9223372036854775807") == "");
  for (const char* bad : {"9223372036854775808", "-9223372036854775809", "99999999999999999999", "1e30"}) {
    INFO(bad);
    CHECK(said_of<std::int64_t>(bad) != "");
  }
  CHECK(said_of<std::uint64_t>("18446744073709551615") == "");
  CHECK(said_of<std::uint64_t>("18446744073709551616") != "");
  CHECK(said_of<std::uint64_t>("-1") != "");
  for (const char* bad : {"010", "0x10", "1.5", "1e2", "", " ", "3 ", "three", "nan", "inf"}) {
    INFO("'" << bad << "'");
    CHECK(said_of<int>(bad) != "");
  }
  for (const char* good : {"1e-3", "-2.5", "010", ".5"}) {
    INFO(good);
    CHECK(said_of<double>(good) == "");
  }
  for (const char* bad : {"nan", "inf", "-inf", "1e999", "1.5x", ""}) {
    INFO(bad);
    CHECK(said_of<double>(bad) != "");
  }
  CHECK(said_of<float>("1e38") == "");
  CHECK(said_of<float>("1e39") != "");
  CHECK(said_of<int>("0", 1) == "0 is out of range; it may be >= 1");
}

TEST_CASE("the word that was meant is the nearest, if it is near", "[bevfusion][scarcity]") {
  const std::vector<std::string> known = {"train", "eval", "predict", "score", "report", "synth"};
  CHECK(example::nearest("tran", known) == "train");
  CHECK(example::nearest("trian", known) == "train");
  CHECK(example::nearest("rpeort", known) == "report");
  CHECK(example::nearest("evaluate", known) == "");
  CHECK(example::nearest("nonsense", known) == "");
  CHECK(example::edits_between("kitten", "sitting") == 3);
  CHECK(example::edits_between("", "abc") == 3);
  CHECK(example::edits_between("ab", "ba") == 1);
}

}  // namespace

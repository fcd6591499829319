// SPDX-License-Identifier: Apache-2.0
// What it costs to open tables of the size of nuScenes v1.0-trainval: by their JSON alone, the first time, the next time, and by
// several processes at once. Each is measured in a process of its own, so that memory is that of the tables.
//
//   bevfusion_tables [Google Benchmark's options]
//
// FULLER_BENCH_SCENES is the number of scenes, 850 of trainval (2.4 GB in the folder for temporary files) if it is not set. Files
// are read once beforehand, so they are in memory where it holds them.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/nuscenes/tables_index.hpp"
#include "bevfusion/tests/support/large_tables.hpp"
#include "support/machine.hpp"

namespace {

namespace fs = std::filesystem;
using bevfusion::TablesIndex;

constexpr const char* version = "v1.0-trainval";

/// The generated tables, for as long as the program runs.
class Folder {
 public:
  Folder() : root_(fs::temp_directory_path() / ("bevfusion-tables-" + std::to_string(getpid()))) {
    const char* named = std::getenv("FULLER_BENCH_SCENES");
    const unsigned long scenes = named == nullptr ? 850 : std::stoul(named);
    bevfusion::testing::LargeTables(root_ / version, scenes).write();
    for (const auto& table : fs::directory_iterator(root_ / version)) bytes_ += table.file_size();
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const fs::path& root() const { return root_; }
  double bytes() const { return static_cast<double>(bytes_); }
  fs::path index() const { return bevfusion::tables_index_file(root_, version, {}, {}); }

 private:
  fs::path root_;
  std::uintmax_t bytes_ = 0;
};

const Folder& folder() {
  static const Folder made;
  return made;
}

/// What the tables are read for no more than their bytes: no reader is faster.
void read_bytes_alone() {
  std::vector<char> piece(1U << 18U);
  std::uint64_t sum = 0;
  for (const auto& table : fs::directory_iterator(folder().root() / version)) {
    if (table.path().extension() != ".json") continue;
    std::ifstream file(table.path(), std::ios::binary);
    while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0) {
      sum += static_cast<unsigned char>(piece[0]);
    }
  }
  benchmark::DoNotOptimize(sum);
}

void read(TablesIndex::Place place) {
  TablesIndex index;
  index.place = place;
  index.least = 0;
  index.say = [](const std::string&) {};
  benchmark::DoNotOptimize(bevfusion::read_tables(folder().root(), version, {}, index).annotations.size());
}

struct Cost {
  double seconds = 0;    // until the last process ends
  double processor = 0;  // of all processes
  double megabytes = 0;  // at its most, of one
};

Cost cost_of(int processes, const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("no process");
    if (child == 0) {
      work();
      _exit(0);
    }
    children.push_back(child);
  }
  Cost cost;
  for (const pid_t child : children) {
    int status = 0;
    rusage used{};
    if (wait4(child, &status, 0, &used) != child || status != 0) throw std::runtime_error("a process failed");
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
    };
    cost.processor += seconds(used.ru_utime) + seconds(used.ru_stime);
    cost.megabytes = std::max(cost.megabytes, 1.024e-3 * static_cast<double>(used.ru_maxrss));
  }
  cost.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return cost;
}

void measure(benchmark::State& state, int processes, bool remove_index, const std::function<void()>& work) {
  folder();
  cost_of(1, read_bytes_alone);
  Cost most;
  double processor = 0;
  for (auto _ : state) {
    std::error_code absent;
    if (remove_index) fs::remove(folder().index(), absent);
    const Cost cost = cost_of(processes, work);
    state.SetIterationTime(cost.seconds);
    processor += cost.processor;
    most.megabytes = std::max(most.megabytes, cost.megabytes);
  }
  state.counters["processor_s"] = processor / static_cast<double>(state.iterations());
  state.counters["peak_MB"] = most.megabytes;
  state.counters["JSON_MB"] = 1e-6 * folder().bytes();
}

void add(const std::string& name, int processes, bool remove_index, const std::function<void()>& work, int iterations = 3) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { measure(state, processes, remove_index, work); })
      ->Iterations(iterations)
      ->UseManualTime()
      ->Unit(benchmark::kSecond);
}

}  // namespace

int main(int argc, char** argv) {
  bench::name_machine();
  add("tables/bytes_alone", 1, false, read_bytes_alone);
  add("tables/no_index", 1, false, [] { read(TablesIndex::Place::none); });
  add("tables/first", 1, true, [] { read(TablesIndex::Place::beside_tables); });
  // The second one: times younger than two seconds are not relied upon, so a start right after may read the tables' bytes.
  add("tables/next", 1, false, [] { read(TablesIndex::Place::beside_tables); });
  add("tables/first/processes:4", 4, true, [] { read(TablesIndex::Place::beside_tables); });
  add("tables/next/processes:4", 4, false, [] { read(TablesIndex::Place::beside_tables); });
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

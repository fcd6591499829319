// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/table_stamps.hpp"

#include <algorithm>
#include <array>

#include <sys/stat.h>

#include "bevfusion/nuscenes/hashed_file.hpp"

namespace bevfusion {

namespace {

constexpr std::array<const char*, 13> table_names = {
    "attribute", "calibrated_sensor", "category",    "ego_pose", "instance", "log",       "map",
    "sample",    "sample_annotation", "sample_data", "scene",    "sensor",   "visibility"};

std::int64_t nanoseconds(const timespec& time) {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::int64_t>(time.tv_nsec);
}

}  // namespace

std::vector<TableStamp> stamps_of(const std::filesystem::path& folder) {
  std::vector<TableStamp> stamps;
  for (const char* table : table_names) {
    struct stat file {};
    if (::stat((folder / (std::string(table) + ".json")).c_str(), &file) != 0 || !S_ISREG(file.st_mode)) return {};
    stamps.push_back({table, static_cast<std::uint64_t>(file.st_size), nanoseconds(file.st_mtim), nanoseconds(file.st_ctim), 0});
  }
  return stamps;
}

void forget_young_times(std::vector<TableStamp>& stamps, std::chrono::milliseconds settled) {
  timespec clock{};
  ::clock_gettime(CLOCK_REALTIME, &clock);
  const std::int64_t now = nanoseconds(clock);
  const std::int64_t latest = now - std::chrono::nanoseconds(settled).count();
  for (TableStamp& stamp : stamps) {
    // A time of writing that is yet to come was set by somebody, and says nothing of when.
    const bool just_written = stamp.written > latest && stamp.written <= now;
    if (stamp.changed > latest || just_written) stamp.written = stamp.changed = -1;
  }
}

bool same_tables(const std::filesystem::path& folder, const std::vector<TableStamp>& known, std::vector<TableStamp>& now,
                 bool& read) {
  read = false;
  const auto same_name_and_size = [](const TableStamp& a, const TableStamp& b) {
    return a.table == b.table && a.bytes == b.bytes;
  };
  if (!std::equal(known.begin(), known.end(), now.begin(), now.end(), same_name_and_size)) return false;
  for (std::size_t i = 0; i < now.size(); ++i) {
    now[i].checksum = known[i].checksum;
    if (now[i].same_times(known[i])) continue;
    read = true;
    HashedFile file(folder / (now[i].table + ".json"));
    if (!file.opened() || file.checksum_of_all() != known[i].checksum || file.bytes() != known[i].bytes) return false;
  }
  return true;
}

}  // namespace bevfusion

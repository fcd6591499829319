// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/run_log.hpp"

#include <stdexcept>

#include "bevfusion/training/whole_file.hpp"

namespace bevfusion {

RunLog::RunLog(const std::filesystem::path& folder, std::int64_t bytes, std::int64_t next_step)
    : path_(folder / "log.jsonl"), bytes_(bytes), events_(folder, next_step) {
  if (bytes > 0) {
    std::error_code problem;
    const auto there = std::filesystem::file_size(path_, problem);
    if (problem || there < static_cast<std::uintmax_t>(bytes)) {
      throw std::runtime_error(path_.string() +
                               " is missing, or shorter than the checkpoint says it was; it cannot be continued");
    }
    std::filesystem::resize_file(path_, static_cast<std::uintmax_t>(bytes));
  }
  lines_.open(path_, bytes > 0 ? std::ios::binary | std::ios::app : std::ios::binary | std::ios::trunc);
  if (!lines_) {
    throw std::runtime_error(path_.string() + ": cannot be written");
  }
}

void RunLog::add(const StepRecord& record) { add(record.json(), record.step, record.scalars()); }

void RunLog::add(const std::string& json, std::int64_t step, const NamedValues& scalars) {
  lines_ << json << '\n' << std::flush;
  if (!lines_) {
    throw std::runtime_error(path_.string() + ": cannot be written");
  }
  bytes_ += static_cast<std::int64_t>(json.size()) + 1;
  if (!scalars.empty()) {
    events_.add(step, scalars);
  }
}

std::int64_t RunLog::store_all() {
  store(path_);
  return bytes_;
}

}  // namespace bevfusion

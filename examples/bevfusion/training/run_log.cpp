// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/run_log.hpp"

#include <stdexcept>

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
  lines_.emplace(path_, bytes > 0 ? example::OutputFile::Mode::append : example::OutputFile::Mode::replace);
}

void RunLog::add(const StepRecord& record) { add(record.json(), record.step, record.scalars()); }

void RunLog::add(const std::string& json, std::int64_t step, const NamedValues& scalars) {
  try {
    lines_->write(json);
    lines_->put('\n');
    lines_->flush();
  } catch (const std::runtime_error&) {
    std::error_code ignored;  // no half line is left
    std::filesystem::resize_file(path_, static_cast<std::uintmax_t>(bytes_), ignored);
    throw;
  }
  bytes_ += static_cast<std::int64_t>(json.size()) + 1;
  if (!scalars.empty()) {
    events_.add(step, scalars);
  }
}

std::int64_t RunLog::store_all() {
  lines_->store();
  return bytes_;
}

}  // namespace bevfusion

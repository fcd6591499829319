// SPDX-License-Identifier: Apache-2.0
// Any bytes are a submission or end in a DataError; what was read is read again from what is written.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <string>

#include "bevfusion/metrics/submission.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  bevfusion::Submission first;
  try {
    std::istringstream in(std::string(bytes, bytes + count));
    first = bevfusion::read_submission(in, "input");
  } catch (const bevfusion::DataError&) {
    return 0;
  }
  std::stringstream file;
  bevfusion::write_submission(file, first);
  const bevfusion::Submission second = bevfusion::read_submission(file, "copy");
  if (second.results.size() != first.results.size()) {
    std::abort();
  }
  for (std::size_t i = 0; i < first.results.size(); ++i) {
    if (second.results[i].first != first.results[i].first || second.results[i].second.size() != first.results[i].second.size()) {
      std::abort();
    }
  }
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/printed_config.hpp"

#include <sstream>
#include <string>
#include <vector>

#include <torch/version.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/run_options.hpp"

namespace bevfusion {
namespace {

std::string printed_config(const std::vector<std::string>& words) {
  CLI::App app;
  RunOptions options(app);
  std::vector<std::string> last_first(words.rbegin(), words.rend());
  app.parse(last_first);
  std::ostringstream out;
  write_config(options.config(), out);
  return out.str();
}

}  // namespace

TrainingProgram this_training_program() { return {TORCH_VERSION, printed_config}; }

}  // namespace bevfusion

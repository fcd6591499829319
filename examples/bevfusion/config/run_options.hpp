// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "bevfusion/config/config_field.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// The options of a command that needs a RunConfig: `--config FILE`, and every field as `--section.name`.
///
/// Help shows the fields that are chosen often; `--help-all` shows all, `--print-config` their values. An object belongs to one
/// command and must outlive its parsing: make it with std::make_shared and hold it in the command's callback.
class RunOptions {
 public:
  explicit RunOptions(CLI::App& command);
  RunOptions(const RunOptions&) = delete;
  RunOptions& operator=(const RunOptions&) = delete;

  /// The defaults of the size, then what the config file says, then what the command line says; checked.
  /// @throws std::invalid_argument where that makes no run
  RunConfig config() const;

  /// A config that is there already, with what the command line says (and the file that it names) in its place; checked.
  /// @throws std::invalid_argument where that makes no run, and for another size
  RunConfig over(RunConfig base) const;

 private:
  std::vector<ConfigEntry> given() const;
  void show_all();

  RunConfig shown_;  ///< where parsing writes, to find out what is wrong while the command line is read
  std::vector<ConfigField> fields_;
  std::vector<CLI::Option*> options_;
  std::string file_;
};

}  // namespace bevfusion

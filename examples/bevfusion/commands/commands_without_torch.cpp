// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/commands.hpp"
#include "bevfusion/commands/experiment_command.hpp"
#include "bevfusion/commands/score_command.hpp"
#include "bevfusion/commands/synth_command.hpp"

namespace bevfusion {

void add_commands(CLI::App& app) {
  app.footer("This program was built without LibTorch: it writes data sets and evaluates submissions, and trains nothing.");
  add_synth_command(app);
  add_score_command(app);
  add_experiment_command(app, {});
}

}  // namespace bevfusion

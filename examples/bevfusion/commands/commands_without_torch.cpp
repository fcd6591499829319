// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/commands.hpp"
#include "bevfusion/commands/synth_command.hpp"

namespace bevfusion {

void add_commands(CLI::App& app) {
  app.footer("This program was built without LibTorch: it writes data sets, and neither trains nor evaluates.");
  add_synth_command(app);
}

}  // namespace bevfusion

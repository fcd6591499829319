// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/commands.hpp"

#include "bevfusion/commands/attention_command.hpp"
#include "bevfusion/commands/drive_command.hpp"
#include "bevfusion/commands/eval_command.hpp"
#include "bevfusion/commands/experiment_command.hpp"
#include "bevfusion/commands/predict_command.hpp"
#include "bevfusion/commands/printed_config.hpp"
#include "bevfusion/commands/report_command.hpp"
#include "bevfusion/commands/score_command.hpp"
#include "bevfusion/commands/synth_command.hpp"
#include "bevfusion/commands/train_command.hpp"

namespace bevfusion {

void add_commands(CLI::App& app) {
  add_synth_command(app);
  add_train_command(app);
  add_eval_command(app);
  add_predict_command(app);
  add_attention_command(app);
  add_drive_command(app);
  add_score_command(app);
  add_report_command(app);
  add_experiment_command(app, this_training_program());
}

}  // namespace bevfusion

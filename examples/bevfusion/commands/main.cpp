// SPDX-License-Identifier: Apache-2.0
// The reference model's program: bevfusion <command>.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include <fuller/version.hpp>

#include "bevfusion/commands/commands.hpp"
#include "support/all_cores.hpp"
#include "support/nearest.hpp"
#include "support/standard_streams.hpp"

namespace {

/// CLI11 says of a command that it does not know that a subcommand is required.
void expect_command(const CLI::App& app, const std::string& word) {
  std::vector<std::string> names;
  std::string known;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
    known += (known.empty() ? "" : ", ") + names.back();
  }
  if (!word.empty() && word.front() != '-' && std::find(names.begin(), names.end(), word) == names.end()) {
    throw CLI::ParseError("there is no command '" + word + "'; there are " + known + example::did_you_mean(word, names),
                          static_cast<int>(CLI::ExitCodes::ExtrasError));
  }
}

/// Which of the words that nothing took is no option, and which one was meant.
std::string unknown_option(const CLI::App& app) {
  const std::vector<CLI::App*> commands = app.get_subcommands();
  const CLI::App& command = commands.empty() ? app : *commands.front();
  std::vector<std::string> known;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      known.push_back("--" + name);
    }
  }
  for (const std::string& word : app.remaining(true)) {
    if (word.size() > 1 && word.front() == '-') {
      const std::string name = word.substr(0, word.find('='));
      return "there is no option " + name + example::did_you_mean(name, known);
    }
  }
  return "";
}

int run(CLI::App& app, int argc, char** argv) {
  try {
    bevfusion::add_commands(app);
    expect_command(app, argc > 1 ? argv[1] : "");
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ExtrasError& error) {
    const std::string what = unknown_option(app);
    return app.exit(what.empty() ? error : CLI::ExtrasError(what, CLI::ExitCodes::ExtrasError));
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bevfusion: %s\n", example::reason_of(error).c_str());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  example::prepare_standard_streams();
  example::run_on_all_cores(argv);
  CLI::App app(
      "A BEVFusion-style network that detects objects and segments the map from LiDAR and cameras, trained with calibrated\n"
      "gradients (fuller). Data sets are in nuScenes' format; `synth` writes one. `bevfusion COMMAND --help` explains a command.",
      "bevfusion");
  app.footer(
      "\nA first run, in minutes on two CPU cores:\n"
      "  bevfusion synth --out town --scenes 52 --samples 4 --tiny\n"
      "  bevfusion train --size tiny --data town --out run\n"
      "  bevfusion eval --run run\n"
      "  bevfusion predict --run run --pictures 8\n"
      "  bevfusion score --submission predictions/submission.json --data town --version v1.0-synth --split val\n"
      "  bevfusion report run\n");
  app.set_version_flag("--version", fuller::version);
  app.require_subcommand(1);
  return example::exit_status("bevfusion", run(app, argc, argv));
}

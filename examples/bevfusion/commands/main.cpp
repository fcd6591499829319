// SPDX-License-Identifier: Apache-2.0
// The reference model's program: bevfusion <command>.
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>

#include <fuller/version.hpp>

#include "bevfusion/commands/commands.hpp"
#include "support/all_cores.hpp"

int main(int argc, char** argv) {
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
      "  bevfusion report run\n");
  app.set_version_flag("--version", fuller::version);
  app.require_subcommand(1);
  bevfusion::add_commands(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bevfusion: %s\n", error.what());
    return 1;
  }
  return 0;
}

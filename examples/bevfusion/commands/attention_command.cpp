// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/attention_command.hpp"

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/commands/finished_run.hpp"
#include "bevfusion/evaluation/attention_gallery.hpp"
#include "support/folder_lock.hpp"
#include "support/number_range.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;

struct AttentionArguments {
  RunChoice choice;
  std::string out = "attention";
  std::size_t pictures = 3;
  std::vector<double> at;
  int width = 640;
};

void draw_attention(const AttentionArguments& arguments) {
  FinishedRun run = open_run(arguments.choice);
  AttentionOptions options;
  options.out = arguments.out;
  options.title = "Where the sensors of " + run.checkpoint.string() + " look at each other, split " + run.split;
  options.width = arguments.width;
  if (!arguments.at.empty()) {
    options.at = Eigen::Vector2d(arguments.at.at(0), arguments.at.at(1));
  }
  fs::create_directories(options.out);
  const example::FolderLock mine(options.out, "is being written");
  AttentionGallery gallery(options, run.tables, run.config);
  const std::vector<std::size_t> drawn = evenly_spread(arguments.pictures, run.samples.size());
  for (const std::size_t position : drawn) {
    gallery.add(run.network, run.samples[position]);
  }
  gallery.write();
  std::printf("%zu samples drawn: %s\n", drawn.size(), (fs::path(arguments.out) / "index.html").c_str());
}

}  // namespace

void add_attention_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("attention",
                                         "Draw what the LiDAR's map reads of the cameras' from a place, in the pictures and from "
                                         "above, and the other way round, at\n"
                                         "each scale of a network with model.fuser cross_attention.");
  const auto arguments = std::make_shared<AttentionArguments>();
  arguments->choice.add_to(*command);
  command
      ->add_option("--out", arguments->out,
                   "Folder for pictures and their page; made where it is not there. RUN/attention is shown by report")
      ->capture_default_str()
      ->type_name("DIR");
  command->add_option("--pictures", arguments->pictures, "Samples to draw, evenly spread over the split")
      ->check(example::number_within<std::size_t>(1))
      ->capture_default_str();
  command
      ->add_option(
          "--at", arguments->at,
          "Place that is asked from, in metres from the LiDAR: x to the right, y ahead; the nearest annotated box of each\n"
          "sample unless given")
      ->expected(2)
      ->type_name("X Y");
  command->add_option("--width", arguments->width, "Pixels of a view's side and of a camera picture's width")
      ->check(example::number_within<int>(64, 4096))
      ->capture_default_str();
  command->callback([arguments] { draw_attention(*arguments); });
}

}  // namespace bevfusion

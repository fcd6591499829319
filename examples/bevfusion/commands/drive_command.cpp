// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/drive_command.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/commands/finished_run.hpp"
#include "bevfusion/driving/rollout.hpp"
#include "bevfusion/driving/rollout_picture.hpp"
#include "bevfusion/evaluation/network_driver.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/synth/synth_knobs.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "support/folder_lock.hpp"
#include "support/number_range.hpp"
#include "support/output_file.hpp"
#include "support/page.hpp"
#include "support/progress.hpp"
#include "support/statistics.hpp"
#include "support/text_table.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Routes shorter than this say nothing: their driver waits at a light from begin to end.
constexpr double shortest_route = 20;

struct DriveArguments {
  RunChoice choice;
  std::string out;
  std::string by;
  int routes = 10;
  double seconds = 20;
  std::uint64_t seed = 1000;
  RolloutOptions rollout;
  int width = 900;
};

/// The data set's world and sensors, with routes in it.
SynthOptions world_options(const DriveArguments& arguments, const RunConfig& config) {
  SynthOptions options = read_synth_options(fs::path(config.data.root) / config.data.version / "synth.json");
  options.driving = true;
  options.seed = arguments.seed;
  options.samples = static_cast<int>(2 * arguments.seconds) + 1;
  options.scenes = 1;
  check(options);
  if (options.sweeps + 1 < config.loading.sweeps) {
    throw std::invalid_argument("the run's network takes " + std::to_string(config.loading.sweeps) +
                                " LiDAR sweeps (loading.sweeps), and its data set has " + std::to_string(options.sweeps) +
                                " before a key frame (synth --sweeps)");
  }
  return options;
}

double mean(const std::vector<Rollout>& rollouts, const std::function<double(const Rollout&)>& of) {
  std::vector<double> values;
  std::transform(rollouts.begin(), rollouts.end(), std::back_inserter(values), of);
  return example::mean(values);
}

double completion_of(const Rollout& one) { return one.completion; }
double score_of(const Rollout& one) { return one.score(); }
double off_road_of(const Rollout& one) { return one.off_road; }

std::vector<std::vector<std::string>> table_of(const std::vector<Rollout>& rollouts) {
  std::vector<std::vector<std::string>> rows{
      {"route", "m", "done, %", "s", "collisions", "red lights", "off the road, times", "% of it", "score", "end"}};
  Rollout sum;
  for (const Rollout& one : rollouts) {
    rows.push_back({one.scene, figure_text(one.goal, 0), figure_text(100 * one.completion, 1), figure_text(one.seconds, 1),
                    std::to_string(one.collisions), std::to_string(one.red_lights), std::to_string(one.left_road),
                    figure_text(100 * one.off_road, 1), figure_text(one.score()), one.end});
    sum.goal += one.goal;
    sum.seconds += one.seconds;
    sum.collisions += one.collisions;
    sum.red_lights += one.red_lights;
    sum.left_road += one.left_road;
  }
  rows.push_back({"all", figure_text(sum.goal, 0), figure_text(100 * mean(rollouts, completion_of), 1),
                  figure_text(sum.seconds, 1), std::to_string(sum.collisions), std::to_string(sum.red_lights),
                  std::to_string(sum.left_road), figure_text(100 * mean(rollouts, off_road_of), 1),
                  figure_text(mean(rollouts, score_of)), ""});
  return rows;
}

Json json_of(const Rollout& one) {
  Json events = Json::array();
  for (const World::Event& event : one.events) {
    events.push_back({{"what", name_of(event.what)}, {"time", event.time}, {"x", event.place.x()}, {"y", event.place.y()}});
  }
  return {{"route", one.scene},
          {"length", one.goal},
          {"completion", one.completion},
          {"seconds", one.seconds},
          {"collisions", one.collisions},
          {"red_lights", one.red_lights},
          {"off_road_times", one.left_road},
          {"off_road_share", one.off_road},
          {"score", one.score()},
          {"end", one.end},
          {"events", events}};
}

std::string driver_of(const DriveArguments& arguments, const FinishedRun& run) {
  if (!arguments.by.empty()) {
    return arguments.by;
  }
  return run.config.model.parts.tasks.has("waypoints") ? "waypoints" : "controls";
}

void drive(const DriveArguments& arguments) {
  FinishedRun run = open_run(arguments.choice);
  run.network->eval();
  const SynthOptions options = world_options(arguments, run.config);
  const std::string by = driver_of(arguments, run);
  const Driver driver = by == "rule" ? Driver(rule_driver) : network_driver(run.network, run.config, by);
  RolloutOptions rollout = arguments.rollout;  // the world goes on in whole steps
  rollout.period = Drive::step * std::max(1.0, std::round(rollout.period / Drive::step));
  const fs::path out = arguments.out.empty() ? fs::path(arguments.choice.run) / ("drive_" + by) : fs::path(arguments.out);
  fs::create_directories(out);
  const example::FolderLock mine(out, "is being written");

  std::vector<Rollout> rollouts;
  std::vector<std::string> pictures;
  {
    example::Progress progress(arguments.routes);
    for (int index = 0; static_cast<int>(rollouts.size()) < arguments.routes; ++index) {
      if (index > 20 * arguments.routes) {
        throw std::runtime_error("hardly any town has a route of " + std::to_string(static_cast<int>(shortest_route)) +
                                 " m in it; choose more --seconds");
      }
      World world(make_scene(options, index), options);
      if (world.goal() < shortest_route) {
        continue;
      }
      rollouts.push_back(drive_route(world, driver, rollout));
      pictures.push_back(rollouts.back().scene + ".png");
      write_png(out / pictures.back(), picture_of(world, rollouts.back(), arguments.width));
      progress.advance(1);
    }
  }
  const auto rows = table_of(rollouts);
  std::printf("%s drives by %s, seed %llu:\n\n%s", run.checkpoint.c_str(), by.c_str(),
              static_cast<unsigned long long>(arguments.seed), example::text_table(rows).c_str());

  Json json = {{"checkpoint", run.checkpoint.string()},
               {"driver", by},
               {"seed", arguments.seed},
               {"seconds", 0.5 * (options.samples - 1)},
               {"period", rollout.period},
               {"completion", mean(rollouts, completion_of)},
               {"score", mean(rollouts, score_of)},
               {"collisions", mean(rollouts, [](const Rollout& one) { return one.collisions; })},
               {"red_lights", mean(rollouts, [](const Rollout& one) { return one.red_lights; })},
               {"off_road_share", mean(rollouts, off_road_of)}};
  for (const Rollout& one : rollouts) {
    json["routes"].push_back(json_of(one));
  }
  example::write_file(out / "drive.json", json.dump(1) + "\n");

  example::Page page("Routes driven by " + by);
  page.paragraph(
      "Yellow is the route, magenta the way that " + run.checkpoint.string() +
      " drove, white who else was there at the end; squares beside the road are the traffic lights as they were then, and a red "
      "ring is where something was done wrong. Completion is the share of the route driven on the road; the score "
      "multiplies it by 0.6 for a collision, which ends a route, and by 0.7 for each red light.");
  page.table(rows);
  for (std::size_t i = 0; i < rollouts.size(); ++i) {
    page.heading(rollouts[i].scene + ": " + rollouts[i].end);
    page.raw("<img style=\"max-width:100%\" src=\"" + pictures[i] + "\" alt=\"the route and the way driven, from above\"/>\n");
  }
  page.write((out / "index.html").string());
  std::printf("\nwrote %s\n", (out / "index.html").c_str());
}

}  // namespace

void add_drive_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "drive",
      "Let a run's network drive routes of the synthetic world: its sensors are rendered from where its way-points or controls\n"
      "led. Route completion, collisions, red lights, and how much of the way was off the road.");
  const auto arguments = std::make_shared<DriveArguments>();
  arguments->choice.add_to(*command, /*samples=*/false);
  command
      ->add_option("--out", arguments->out,
                   "Folder for drive.json, a page and a picture of each route; RUN/drive_BY unless given")
      ->type_name("DIR");
  command
      ->add_option("--by", arguments->by,
                   "Who drives: waypoints or controls, of the network's tasks; rule, the synthetic scenes' own driver, to\n"
                   "compare with. Unless given, what the network has")
      ->check(CLI::IsMember({"waypoints", "controls", "rule"}));
  command->add_option("--routes", arguments->routes, "Routes, each in a town of its own")
      ->check(example::number_within<int>(1, 10000))
      ->capture_default_str();
  command->add_option("--seconds", arguments->seconds, "How long the rule's driver takes for a route")
      ->check(example::number_within<double>(4, 99))
      ->capture_default_str();
  command->add_option("--seed", arguments->seed, "Seed of the towns; another than the data set's, or the network may know them")
      ->check(example::number_within<std::uint64_t>())
      ->capture_default_str();
  command->add_option("--period", arguments->rollout.period, "Seconds between two questions to the network")
      ->check(example::number_within<double>(0.05, 1))
      ->capture_default_str();
  command->add_option("--width", arguments->width, "Pixels of a picture's longer side")
      ->check(example::number_within<int>(200, 4000))
      ->capture_default_str();
  command->callback([arguments] { drive(*arguments); });
}

}  // namespace bevfusion

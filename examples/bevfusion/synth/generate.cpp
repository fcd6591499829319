// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/generate.hpp"

#include <chrono>
#include <mutex>
#include <vector>

#include "bevfusion/nuscenes/camera_masks.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/synth/driving_files.hpp"
#include "bevfusion/synth/parallel.hpp"
#include "bevfusion/synth/synth_tables.hpp"
#include "support/folder_lock.hpp"

namespace bevfusion {

namespace {

void make_folders(const SynthOptions& options) {
  std::filesystem::create_directories(options.out / options.version);
  std::filesystem::create_directories(options.out / "maps" / "expansion");
  std::filesystem::create_directories(options.out / "sweeps" / std::string(name_of(Channel::lidar_top)));
  if (options.driving) {
    std::filesystem::create_directories(options.out / "can_bus");
    std::filesystem::create_directories(options.out / "traffic_lights");
  }
  for (const std::string_view channel : channel_names)
    std::filesystem::create_directories(options.out / "samples" / std::string(channel));
  for (std::size_t c = 0; options.driving && c < camera_count; ++c)
    std::filesystem::create_directories(options.out / "camera_masks" / std::string(channel_names[c]));
}

// Data sets of one folder share pictures, sweeps and maps, whose names depend on neither version nor seed.
void refuse_other_data(const SynthOptions& options) {
  const std::filesystem::path own = options.out / options.version;
  if (std::filesystem::exists(own) && !(std::filesystem::is_directory(own) && std::filesystem::is_empty(own))) {
    fail(own.string(), "is there already and would be overwritten; choose another folder");
  }
  for (const auto& entry : std::filesystem::directory_iterator(options.out)) {
    if (std::filesystem::exists(entry.path() / "scene.json") && entry.path().filename() != options.version + ".partial") {
      fail(options.out.string(), "holds the data set " + entry.path().filename().string() + ", whose pictures and maps " +
                                     options.version + " would overwrite; choose another folder");
    }
  }
}

}  // namespace

SynthReport generate(const SynthOptions& options, const std::function<void(int done, int all)>& progress) {
  check(options);
  const auto start = std::chrono::steady_clock::now();
  std::filesystem::create_directories(options.out);
  const example::FolderLock mine(options.out, "is being written");
  refuse_other_data(options);
  // Tables that are there are those of a data set that is whole: they come last, and all at once.
  SynthOptions unfinished = options;
  unfinished.version += ".partial";
  make_folders(unfinished);

  if (options.driving) write_pixel_classes(options.out);

  const auto scene_count = static_cast<std::size_t>(options.all_scenes());
  std::vector<SynthScene> scenes(scene_count);
  parallel_for(scene_count, options.threads, [&](std::size_t i) {
    scenes[i] = make_scene(options, static_cast<int>(i));
    write_map_files(scenes[i], options);
    if (options.driving) write_driving_files(scenes[i], options);
  });

  const auto samples = static_cast<std::size_t>(options.samples);
  std::vector<std::vector<SeenObject>> seen(scene_count * samples);
  std::mutex guard;
  int done = 0;
  parallel_for(seen.size(), options.threads, [&](std::size_t i) {
    seen[i] = write_sample_files(scenes[i / samples], static_cast<int>(i % samples), options);
    const std::lock_guard<std::mutex> lock(guard);
    ++done;
    if (progress) progress(done, static_cast<int>(seen.size()));
  });

  SynthReport report;
  report.scenes = options.all_scenes();
  report.samples = static_cast<int>(seen.size());
  for (const std::vector<SeenObject>& objects : seen) report.annotations += static_cast<std::int64_t>(objects.size());
  write_tables(scenes, seen, unfinished);
  std::filesystem::rename(options.out / unfinished.version, options.out / options.version);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace bevfusion

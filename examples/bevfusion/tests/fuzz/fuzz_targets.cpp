// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tests/fuzz/fuzz_targets.hpp"

#include <algorithm>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/lidar_file.hpp"
#include "bevfusion/nuscenes/tables_archive.hpp"

namespace bevfusion::fuzz {

namespace {

std::string text_of(const std::uint8_t* bytes, std::size_t count) { return {bytes, bytes + count}; }

// A size read from the file itself bounds no loop below, so a small input cannot ask for much work.
template <typename Read>
void try_to(Read&& read) {
  try {
    read();
  } catch (const DataError&) {
  }
}

}  // namespace

void tables(const std::uint8_t* bytes, std::size_t count) {
  std::map<std::string, std::string> texts;
  const std::uint8_t* at = bytes;
  const std::uint8_t* const end = bytes + count;
  for (const char* table : table_order) {
    const std::uint8_t* stop = std::find(at, end, std::uint8_t{1});
    texts[table] = std::string(at, stop);
    at = stop == end ? end : stop + 1;
  }
  try_to([&] {
    const Tables read = read_tables([&](const std::string& table) { return std::make_unique<std::istringstream>(texts[table]); });
    for (std::size_t i = 0; i < read.samples.size(); ++i) {
      try_to([&] { key_frame_of(read, static_cast<RowIndex>(i), {10}); });
    }
    std::vector<std::string> names;
    for (const SceneRow& scene : read.scenes) names.push_back(scene.name);
    samples_of_scenes(read, names);
  });
}

void tables_index(const std::uint8_t* bytes, std::size_t count) {
  std::string file;
  BlockWriter writer([&](const void* at, std::size_t size) { file.append(static_cast<const char*>(at), size); });
  writer.add(bytes, count);
  writer.finish();
  std::istringstream stream(file);
  BlockReader reader([&](void* to, std::size_t size) {
    stream.read(static_cast<char*>(to), static_cast<std::streamsize>(size));
    return static_cast<std::size_t>(stream.gcount());
  });
  Unpacker unpack(reader, count);
  Tables read;
  try {
    unpack_tables(unpack, read);
    reader.expect_end();
  } catch (const BlockError&) {
    return;
  }
  for (std::size_t i = 0; i < read.samples.size(); ++i) {
    try_to([&] { key_frame_of(read, static_cast<RowIndex>(i), {10}); });
  }
}

void map_expansion(const std::uint8_t* bytes, std::size_t count) {
  try_to([&] {
    for (const char* set : {standard_map_labels, "hdmapnet_map"}) {
      std::istringstream stream(text_of(bytes, count));
      const MapExpansion map = read_map_expansion(stream, "fuzz.json", label_sets().map.at(set));
      MaskOptions options;
      options.outline = true;
      for (const char* rule : mask_rules) {
        options.rule = rule;
        draw_masks(map, bev_from_global({}), {}, options);
      }
    }
  });
}

void lidar(const std::uint8_t* bytes, std::size_t count) {
  try_to([&] { decode_lidar({bytes, bytes + count}, "fuzz.bin"); });
}

void image(const std::uint8_t* bytes, std::size_t count) {
  try_to([&] { decode_image({bytes, bytes + count}, "fuzz.jpg"); });
}

void base_map(const std::uint8_t* bytes, std::size_t count) {
  try_to([&] { BaseMap(decode_png_bits({bytes, bytes + count}, "fuzz.png")).drivable({1, 1}); });
}

}  // namespace bevfusion::fuzz

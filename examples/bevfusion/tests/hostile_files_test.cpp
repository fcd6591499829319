// SPDX-License-Identifier: Apache-2.0
// Every reader, on good files that were then damaged in thousands of ways, must either read them or refuse them with a DataError.
// The same targets run under libFuzzer (option FULLER_FUZZ).
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/map/base_map.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/tables_archive.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/fuzz/damage.hpp"
#include "bevfusion/tests/fuzz/fuzz_targets.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

using namespace bevfusion;
using fuzz::Bytes;
using fuzz::try_damaged;

namespace {

SynthOptions small_set() {
  SynthOptions options = SynthOptions::tiny();
  options.scenes = 1;
  options.samples = 2;
  options.sweeps = 1;
  options.azimuths = 8;
  options.image_scale = 0.03;
  return options;
}

Bytes joined_tables(const std::filesystem::path& folder) {
  Bytes all;
  for (const char* table : fuzz::table_order) {
    if (!all.empty()) all.push_back(1);
    const Bytes own = read_bytes(folder / (std::string(table) + ".json"));
    all.insert(all.end(), own.begin(), own.end());
  }
  return all;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "";
}

void check_names(const std::string& error, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    INFO(error);
    CHECK(error.find(part) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("damaged files are read or refused, never more", "[hostile]") {
  const testing::TemporaryFolder folder;
  SynthOptions options = small_set();
  options.out = folder.path();
  generate(options);
  const Tables tables = read_tables(folder.path(), options.version);
  const KeyFrame frame = key_frame_of(tables, 0);

  SECTION("tables") { try_damaged(joined_tables(folder.path() / options.version), 1500, fuzz::tables); }
  SECTION("what an index of tables holds") {
    Bytes bytes;
    BlockWriter writer([&](const void* at, std::size_t size) {
      const auto* from = static_cast<const std::uint8_t*>(at);
      bytes.insert(bytes.end(), from, from + size);
    });
    Packer pack(writer);
    archive_tables(pack, tables);
    writer.finish();
    REQUIRE(bytes.size() < BlockHead::most);  // one block, and the empty one
    try_damaged({bytes.begin() + sizeof(BlockHead), bytes.end() - sizeof(BlockHead)}, 3000, fuzz::tables_index);
  }
  SECTION("map expansion") {
    try_damaged(read_bytes(folder.path() / "maps" / "expansion" / (frame.location + ".json")), 1500, fuzz::map_expansion);
  }
  SECTION("LiDAR") { try_damaged(read_bytes(frame.sweeps[0].file), 3000, fuzz::lidar); }
  SECTION("JPEG") { try_damaged(read_bytes(frame.cameras[0].file), 3000, fuzz::image); }
  SECTION("PPM") {
    const std::string ppm = "P6\n# made by hand\n3 2\n255\nabcdefghijklmnopqr";
    try_damaged(Bytes(ppm.begin(), ppm.end()), 3000, fuzz::image);
  }
  SECTION("base map") {
    BitImage picture(70, 40);
    for (int i = 0; i < 40; ++i) picture.set(i, i);
    write_png_bits(folder.path() / "small.png", picture);
    try_damaged(read_bytes(folder.path() / "small.png"), 3000, fuzz::base_map);
  }
}

TEST_CASE("errors name file, row, token and field", "[hostile]") {
  const testing::TemporaryFolder folder;
  SynthOptions options = small_set();
  options.out = folder.path();
  generate(options);
  const std::filesystem::path tables = folder.path() / options.version;
  const auto replace = [&](const char* table, const std::string& what, const std::string& with) {
    const std::filesystem::path file = tables / (std::string(table) + ".json");
    const Bytes bytes = read_bytes(file);
    std::string text(bytes.begin(), bytes.end());
    const std::size_t at = text.find(what);
    REQUIRE(at != std::string::npos);
    text.replace(at, what.size(), with);
    write_bytes(file, text.data(), text.size());
  };
  const auto error = [&] { return message_of([&] { read_tables(folder.path(), options.version); }); };

  SECTION("a table is missing") {
    std::filesystem::remove(tables / "instance.json");
    check_names(error(), {"instance.json", "cannot be opened"});
  }
  SECTION("a table is cut short") {
    std::filesystem::resize_file(tables / "ego_pose.json", 150);
    check_names(error(), {"ego_pose.json", "cut short"});
  }
  SECTION("a field is missing") {
    replace("sample_annotation", "\"size\"", "\"sise\"");
    check_names(error(), {"sample_annotation.json", "token ", "'size' is missing"});
  }
  SECTION("a field is of another kind") {
    replace("sample", "\"timestamp\": ", "\"timestamp\": \"x\", \"was\": ");
    check_names(error(), {"sample.json", "'timestamp' is not a whole number"});
  }
  SECTION("a token is none") {
    replace("scene", "\"log_token\": \"", "\"log_token\": \"\", \"was\": \"");
    check_names(error(), {"scene.json", "'log_token' is an empty token"});
  }
  SECTION("a token leads nowhere") {
    replace("instance", "\"category_token\": \"", "\"category_token\": \"0123456789abcdef0123456789abcdef\", \"was\": \"");
    check_names(error(), {"instance.json", "'category_token' refers to a row that is not there"});
  }
  SECTION("a rotation is none") {
    replace("ego_pose", "\"rotation\": [", "\"rotation\": [3, 0, 0, 0], \"was\": [");
    check_names(error(), {"ego_pose.json", "'rotation' is wrong"});
  }
  SECTION("a path leads out of the data set") {
    replace("sample_data", "\"filename\": \"", "\"filename\": \"../");
    check_names(error(), {"sample_data.json", "'filename' is no path inside the data set"});
  }
  SECTION("a sensor is of another kind than its channel") {
    replace("sensor", "\"modality\": \"camera\"", "\"modality\": \"radar\"");
    check_names(error(), {"sensor.json", "'modality' is 'radar', and CAM_FRONT is a camera"});
  }
  SECTION("a picture's size does not go with its camera's matrix") {
    replace("sample_data", "\"width\": 48", "\"width\": 20");
    check_names(error(), {"sample_data.json", "20 x 27", "camera_intrinsic", "middle outside"});
  }
  SECTION("a sweep comes after the one that names it as earlier") {
    const std::string first = std::to_string(make_scene(options, 0).sample_time(0));
    replace("sample_data", "\"timestamp\": " + first, "\"timestamp\": 9" + first);
    check_names(error(), {"sample_data.json", "'prev' refers to a row that is not earlier"});
  }
  SECTION("a sample comes before the one before it") {
    const std::string first = std::to_string(make_scene(options, 0).sample_time(0));
    replace("sample", "\"timestamp\": " + first, "\"timestamp\": 9" + first);
    check_names(error(), {"sample.json", "'next' refers to a sample that is not later"});
  }
  SECTION("a sweep's history is cut off") {
    const Tables good = read_tables(folder.path(), options.version);
    RowIndex row = good.samples[0].key(Channel::lidar_top);
    row = good.sample_data[static_cast<std::size_t>(row)].previous;
    REQUIRE(row >= 0);
    const std::string own = to_string(good.sample_data[static_cast<std::size_t>(row)].token);
    replace("sample_data", "\"token\": \"" + own, "\"token\": \"other" + own);
    check_names(error(), {"sample_data.json", "'prev' refers to a row that is not there", own});
  }
  SECTION("an annotation's next is of another object, or not there") {
    const Tables good = read_tables(folder.path(), options.version);
    std::string own;
    std::string other;
    for (const AnnotationRow& row : good.annotations) {
      if (row.next >= 0 && own.empty()) own = to_string(good.annotations[static_cast<std::size_t>(row.next)].token);
      if (!own.empty() && to_string(row.token) != own && row.previous >= 0) other = to_string(row.token);
    }
    REQUIRE((!own.empty() && !other.empty()));
    SECTION("another object's") {
      replace("sample_annotation", "\"next\": \"" + own, "\"next\": \"" + other);
      check_names(error(), {"sample_annotation.json", "'next' refers to an annotation of another object", other});
    }
    SECTION("not there") {
      replace("sample_annotation", "\"next\": \"" + own, "\"next\": \"no such row");
      check_names(error(), {"sample_annotation.json", "'next' refers to a row that is not there: no such row"});
    }
  }
  SECTION("a picture is of another size than its table says") {
    const Tables good = read_tables(folder.path(), options.version);
    const KeyFrame frame = key_frame_of(good, 0);
    Image small(24, 13);
    const std::vector<std::uint8_t> bytes = encode_jpeg(small, 90);
    write_bytes(frame.cameras[0].file, bytes.data(), bytes.size());
    LoadingOptions loading;
    check_names(message_of([&] { SampleLoader(good, loading).load(0, 0); }),
                {frame.cameras[0].file.string(), "24 x 13", "48 x 27", "camera_intrinsic"});
  }
  SECTION("a size is negative") {
    replace("sample_annotation", "\"size\": [", "\"size\": [-1, 1, 1], \"was\": [");
    check_names(error(), {"'size' is not above zero"});
  }
}

// SPDX-License-Identifier: Apache-2.0
// Classes of the pixels of pictures: what the generator writes, against rays traced one by one; readers; augmentation.
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include <Eigen/LU>

#include "bevfusion/loading/image_augmentation.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/camera_masks.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/pictures/class_picture.hpp"
#include "bevfusion/synth/camera_sensor.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/sample_files.hpp"
#include "bevfusion/synth/sensor_rig.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/fuzz/damage.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "support/catch.hpp"

using namespace bevfusion;
using bevfusion::testing::has;
using bevfusion::testing::refusal;

namespace {

SynthOptions driving_options() {
  SynthOptions options = SynthOptions::tiny();
  options.driving = true;
  options.scenes = 2;
  options.samples = 2;
  options.sweeps = 0;
  options.seed = 21;
  options.image_scale = 0.06;
  options.jpeg_quality = 0;
  options.validation_scenes = 1;
  return options;
}

struct Driven {
  Driven() {
    options.out = folder.path();
    generate(options);
    tables = read_tables(folder.path(), options.version);
  }
  bevfusion::testing::TemporaryFolder folder;
  SynthOptions options = driving_options();
  Tables tables;
};

Camera camera_of(const SynthScene& scene, int sample, Channel channel, const SynthOptions& options) {
  const double time = scene.seconds(camera_file_of(scene, sample, channel, options).timestamp);
  Camera camera;
  camera.intrinsic = intrinsic_of(channel, options.image_scale);
  camera.global_from_camera = scene.global_from_ego(time) * ego_from_sensor(channel);
  camera.width = scaled_width(options.image_scale);
  camera.height = scaled_height(options.image_scale);
  return camera;
}

/// What the ray through a place of a picture meets, of all solids one by one and the ground.
std::size_t met_by_ray(const SynthScene& scene, const std::vector<Solid>& solids, const Camera& camera, double u, double v) {
  const Eigen::Vector3d eye = camera.global_from_camera.translation;
  const Eigen::Vector3d ray = camera.global_from_camera.rotation * (camera.intrinsic.inverse() * Eigen::Vector3d(u, v, 1));
  double nearest = std::numeric_limits<double>::infinity();
  std::string met = "sky";
  for (std::size_t i = 0; i < solids.size(); ++i) {
    const Solid& solid = solids[i];
    const Eigen::Matrix3d turn = rotation_about_z(solid.yaw).transpose();
    const Hit hit = enter_box(turn * (eye - solid.center), turn * ray, solid.half);
    if (hit && hit.distance < nearest) {
      nearest = hit.distance;
      if (solid.object >= 0) {
        const std::string name(name_of(scene.traffic.objects[static_cast<std::size_t>(solid.object)].label));
        met = name == "pedestrian"                          ? "pedestrian"
              : name == "motorcycle" || name == "bicycle"   ? "two_wheeler"
              : name == "traffic_cone" || name == "barrier" ? "barrier"
                                                            : "vehicle";
      } else {  // lights are listed after the clutter
        met = i < scene.traffic.clutter.size() ? "structure" : "traffic_light";
      }
    }
  }
  if (std::isinf(nearest) && ray.z() < -1e-4) {
    const Eigen::Vector3d at = eye - eye.z() / ray.z() * ray;
    const Surface surface = (at - eye).norm() < 250 ? scene.town.classify(at.head<2>()).surface : Surface::terrain;
    met = surface == Surface::asphalt   ? "road"
          : surface == Surface::walkway ? "walkway"
          : surface == Surface::carpark ? "car_park"
          : surface == Surface::paint   ? "marking"
                                        : "terrain";
  }
  return static_cast<std::size_t>(std::find(pixel_class_names.begin(), pixel_class_names.end(), met) - pixel_class_names.begin());
}

void read_mask_bytes(const std::uint8_t* bytes, std::size_t count) {
  try {
    decode_png_grey({bytes, bytes + count}, "a mask");
  } catch (const DataError&) {
  }
}

}  // namespace

TEST_CASE("each pixel of a written mask is what most of its rays meet", "[bevfusion][masks]") {
  const Driven data;
  const CameraMasks masks(data.options.out);
  const int fine = data.options.supersample;
  REQUIRE(fine == 2);
  std::array<int, pixel_class_count> seen{};
  for (int s = 0; s < data.options.scenes; ++s) {
    const SynthScene scene = make_scene(data.options, s);
    const KeyFrame frame = key_frame_of(data.tables, static_cast<RowIndex>(s * data.options.samples + 1));
    for (std::size_t c = 0; c < camera_count; ++c) {
      const auto channel = static_cast<Channel>(c);
      const Camera camera = camera_of(scene, 1, channel, data.options);
      const double time = scene.seconds(camera_file_of(scene, 1, channel, data.options).timestamp);
      const std::vector<Solid> solids = solids_at(scene.traffic, time);
      const GreyImage mask = masks.read(frame.cameras[c]);
      REQUIRE((mask.width == camera.width && mask.height == camera.height));
      int wrong = 0;
      for (int y = 0; y < mask.height; ++y) {
        for (int x = 0; x < mask.width; ++x) {
          std::array<int, pixel_class_count> rays{};
          for (const double v : {y + 0.25, y + 0.75}) {
            for (const double u : {x + 0.25, x + 0.75}) ++rays[met_by_ray(scene, solids, camera, u, v)];
          }
          ++seen[mask.at(x, y)];
          wrong += rays[mask.at(x, y)] == *std::max_element(rays.begin(), rays.end()) ? 0 : 1;
        }
      }
      INFO("scene " << s << " camera " << c);
      CHECK(wrong == 0);
    }
  }
  for (const PixelClass there : {PixelClass::sky, PixelClass::terrain, PixelClass::road, PixelClass::walkway, PixelClass::marking,
                                 PixelClass::structure, PixelClass::traffic_light, PixelClass::vehicle}) {
    INFO(pixel_class_names[static_cast<std::size_t>(there)]);
    CHECK(seen[static_cast<std::size_t>(there)] > 0);
  }
}

TEST_CASE("asking for a mask changes no pixel, no draw and no count of the picture", "[bevfusion][masks]") {
  const SynthOptions options = driving_options();
  const SynthScene scene = make_scene(options, 0);
  const Camera camera = camera_of(scene, 0, Channel::cam_front, options);
  const std::vector<Solid> solids = solids_at(scene.traffic, 0);
  Random with({5}), without({5});
  PixelCounts counts_with(scene.traffic.objects.size()), counts_without(scene.traffic.objects.size());
  GreyImage shown;
  const Image a = render(scene.town, solids, camera, 1, 7, options, with, counts_with, &shown);
  const Image b = render(scene.town, solids, camera, 1, 7, options, without, counts_without);
  CHECK(a.rgb == b.rgb);
  CHECK(with.bits() == without.bits());
  CHECK(counts_with.visible == counts_without.visible);
  CHECK(shown.values.size() == a.rgb.size() / 3);
}

TEST_CASE("classes are moved as pictures are, step by step", "[bevfusion][masks]") {
  Random random({9});
  GreyImage classes(40, 24);
  for (std::uint8_t& value : classes.values) value = static_cast<std::uint8_t>(random.integer(0, 11));
  for (int draw = 0; draw < 40; ++draw) {
    ImageAugmentation a;
    a.width = 32;
    a.height = 16;
    a.resize = random.uniform(0.5, 2);
    a.crop_left = random.uniform(-4, 20);
    a.crop_top = random.uniform(-4, 12);
    a.flip = draw % 2 == 1;
    a.rotation = draw % 3 == 0 ? 0 : random.uniform(-0.3, 0.3);
    const GreyImage fed = resample_classes(classes, a.matrix(), a.width, a.height, no_pixel_class);
    for (int v = 0; v < a.height; ++v) {
      for (int u = 0; u < a.width; ++u) {
        // Back by hand: turned about the middle, flipped, cropped, resized.
        const double dx = u + 0.5 - 16;
        const double dy = v + 0.5 - 8;
        double x = 16 + std::cos(a.rotation) * dx + std::sin(a.rotation) * dy;
        double y = 8 - std::sin(a.rotation) * dx + std::cos(a.rotation) * dy;
        x = a.flip ? 32 - x : x;
        x = (x + a.crop_left) / a.resize;
        y = (y + a.crop_top) / a.resize;
        if (std::abs(x - std::round(x)) < 1e-9 || std::abs(y - std::round(y)) < 1e-9) continue;
        const bool inside = x > 0 && y > 0 && x < 40 && y < 24;
        REQUIRE(fed.at(u, v) == (inside ? classes.at(static_cast<int>(x), static_cast<int>(y)) : no_pixel_class));
      }
    }
  }
  // By hand: 4 x 1 pixels enlarged twice, of which the last five columns stay, and a mirror.
  GreyImage row(4, 1);
  row.values = {1, 2, 3, 4};
  ImageAugmentation a;
  a.resize = 2;
  a.crop_left = 3;
  a.width = 6;
  a.height = 2;
  a.flip = true;
  const GreyImage fed = resample_classes(row, a.matrix(), 6, 2, no_pixel_class);
  CHECK(fed.values == std::vector<std::uint8_t>{255, 4, 4, 3, 3, 2, 255, 4, 4, 3, 3, 2});
}

TEST_CASE("damaged masks are refused, and say what is wrong and what to do", "[bevfusion][masks]") {
  const Driven data;
  const std::filesystem::path root = data.options.out;
  const CameraFrame camera = key_frame_of(data.tables, 0).cameras[0];
  const std::filesystem::path file = mask_file_of(root, camera.file);
  const auto read = [&] { CameraMasks(root).read(camera); };
  CHECK(file.parent_path() == root / "camera_masks" / "CAM_FRONT");
  CHECK(refusal<DataError>(read).empty());
  bevfusion::fuzz::try_damaged(read_bytes(file), 2000, read_mask_bytes);

  GreyImage mask = decode_png_grey(read_bytes(file), "");
  mask.values[5] = 12;
  write_png(file, mask);
  CHECK(has(refusal<DataError>(read), "class 12, and classes.json lists 12"));
  mask.values[5] = no_pixel_class;
  write_png(file, mask);
  CHECK(CameraMasks(root).read(camera).values[5] == no_pixel_class);
  write_png(file, GreyImage(3, 2));
  CHECK(has(refusal<DataError>(read), "is 3 x 2, and the picture is 96 x 54"));
  write_png(file, Image(96, 54));
  CHECK(has(refusal<DataError>(read), "one byte of grey"));
  std::ofstream(file) << "no picture";
  CHECK(has(refusal<DataError>(read), file.string()));
  CHECK(has(refusal<DataError>(read), "no whole PNG"));
  std::filesystem::remove(file);
  CHECK(has(refusal<DataError>(read), file.string()));
  CHECK(has(refusal<DataError>(read), "bevfusion synth --driving"));

  // The names in the file say what a value means; one that is unknown here is no label.
  mask = GreyImage(96, 54, 1);
  mask.values[0] = 0;
  write_png(file, mask);
  const std::filesystem::path list = root / "camera_masks" / "classes.json";
  std::ofstream(list) << R"(["dragon", "vehicle"])";
  const GreyImage by_name = CameraMasks(root).read(camera);
  CHECK(by_name.values[0] == no_pixel_class);
  CHECK(by_name.values[1] == static_cast<std::uint8_t>(PixelClass::vehicle));
  for (const char* bad : {"{", "{}", "[1]", "[]", R"(["sky", "sky"])"}) {
    std::ofstream(list) << bad;
    INFO(bad);
    CHECK(has(refusal<DataError>(read), "classes.json"));
  }
  std::filesystem::remove(list);
  CHECK(has(refusal<DataError>(read), "classes.json"));
  std::filesystem::remove_all(root / "camera_masks");
  CHECK_FALSE(CameraMasks::are_in(root));
  const std::string none = refusal<DataError>([&] { CameraMasks::expect_in(root); });
  CHECK(has(none, (root / "camera_masks").string()));
  CHECK(has(none, "model.parts.camera_segmentation to false"));
}

TEST_CASE("classes are painted half over a picture", "[bevfusion][masks]") {
  Image image(2, 1, {100, 0, 200});
  GreyImage classes(2, 1);
  classes.values = {1, no_pixel_class};
  paint_classes(image, classes, {{0, 0, 0}, {50, 255, 200}});
  CHECK(image.rgb == std::vector<std::uint8_t>{75, 128, 200, 100, 0, 200});
  CHECK_THROWS_AS(paint_classes(image, GreyImage(1, 1), {}), std::invalid_argument);
}

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/camera_sensor.hpp"

#include <Eigen/LU>
#include <algorithm>
#include <cmath>

namespace bevfusion {

namespace {

using Rgb = std::array<float, 3>;

struct Span {
  int x0 = 0;
  int y0 = 0;
  int x1 = 0;  // one past the last
  int y1 = 0;
  bool empty() const { return x0 >= x1 || y0 >= y1; }
};

struct Pixel {
  double depth = std::numeric_limits<double>::infinity();  // in lengths of the ray, whose z in the camera is 1
  int solid = -1;
  int axis = 0;
};

// Rays of a camera: direction(u, v) = rotation K^-1 (u, v, 1), global.
class Renderer {
 public:
  Renderer(const Camera& camera, const std::vector<Solid>& solids)
      : camera_(camera),
        solids_(solids),
        from_pixel_(camera.global_from_camera.rotation * camera.intrinsic.inverse()),
        camera_from_global_(camera.global_from_camera.inverse()),
        pixels_(static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height)) {}

  void draw_solids(PixelCounts& counts) {
    // The parts of an object lie one after the other; a pixel counts once for all of them.
    for (std::size_t first = 0; first < solids_.size();) {
      std::size_t last = first + 1;
      while (last < solids_.size() && solids_[first].object >= 0 && solids_[last].object == solids_[first].object) ++last;
      draw_group(first, last, counts);
      first = last;
    }
    for (const Pixel& pixel : pixels_) {
      if (pixel.solid < 0) continue;
      const int object = solids_[static_cast<std::size_t>(pixel.solid)].object;
      if (object >= 0) ++counts.visible[static_cast<std::size_t>(object)];
    }
  }

  const Pixel& pixel(int x, int y) const { return pixels_[index(x, y)]; }
  Eigen::Vector3d ray(int x, int y) const { return from_pixel_ * Eigen::Vector3d(x + 0.5, y + 0.5, 1); }

 private:
  std::size_t index(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(camera_.width) + static_cast<std::size_t>(x);
  }

  // Pixels that a solid can be in.
  Span span_of(const Solid& solid) const {
    const double cosine = std::cos(solid.yaw);
    const double sine = std::sin(solid.yaw);
    double x0 = 1e9, y0 = 1e9, x1 = -1e9, y1 = -1e9;
    int before = 0;
    for (unsigned i = 0; i < 8; ++i) {
      const double a = (i & 1U ? -1 : 1) * solid.half.x();
      const double b = (i & 2U ? -1 : 1) * solid.half.y();
      const Eigen::Vector3d corner =
          solid.center + Eigen::Vector3d(cosine * a - sine * b, sine * a + cosine * b, (i & 4U ? -1 : 1) * solid.half.z());
      const Eigen::Vector3d p = camera_from_global_ * corner;
      if (p.z() < 0.05) continue;
      ++before;
      const Eigen::Vector3d uvw = camera_.intrinsic * p;
      x0 = std::min(x0, uvw.x() / uvw.z());
      x1 = std::max(x1, uvw.x() / uvw.z());
      y0 = std::min(y0, uvw.y() / uvw.z());
      y1 = std::max(y1, uvw.y() / uvw.z());
    }
    if (before == 0) return {};
    if (before < 8)
      return {0, 0, camera_.width, camera_.height};  // reaches behind the camera: its outline is not that of its corners
    const auto pixel = [](double v, int most) {
      return static_cast<int>(std::clamp(std::floor(v), 0.0, static_cast<double>(most)));
    };
    return {pixel(x0, camera_.width), pixel(y0, camera_.height), pixel(x1 + 1, camera_.width), pixel(y1 + 1, camera_.height)};
  }

  void draw_group(std::size_t first, std::size_t last, PixelCounts& counts) {
    const int object = solids_[first].object;
    covered_.clear();
    for (std::size_t i = first; i < last; ++i) {
      const Span span = span_of(solids_[i]);
      if (!span.empty()) draw(i, span, object >= 0);
    }
    if (object < 0) return;
    std::sort(covered_.begin(), covered_.end());
    counts.covered[static_cast<std::size_t>(object)] +=
        static_cast<int>(std::unique(covered_.begin(), covered_.end()) - covered_.begin());
  }

  void draw(std::size_t which, const Span& span, bool count) {
    const Solid& solid = solids_[which];
    const Eigen::Matrix3d turn = rotation_about_z(-solid.yaw);
    const Eigen::Vector3d origin = turn * (camera_.global_from_camera.translation - solid.center);
    const Eigen::Matrix3d to_ray = turn * from_pixel_;
    for (int y = span.y0; y < span.y1; ++y) {
      for (int x = span.x0; x < span.x1; ++x) {
        const Hit hit = enter_box(origin, to_ray * Eigen::Vector3d(x + 0.5, y + 0.5, 1), solid.half);
        if (!hit) continue;
        if (count) covered_.push_back(index(x, y));
        Pixel& pixel = pixels_[index(x, y)];
        if (hit.distance < pixel.depth) pixel = {hit.distance, static_cast<int>(which), hit.axis};
      }
    }
  }

  const Camera& camera_;
  const std::vector<Solid>& solids_;
  Eigen::Matrix3d from_pixel_;
  RigidTransform camera_from_global_;
  std::vector<Pixel> pixels_;
  std::vector<std::size_t> covered_;
};

// Grain that stays with a place: of standard deviation 1, from a hash of its cell.
float grain(double x, double y, double cell, std::uint64_t texture) {
  const auto i = static_cast<std::int64_t>(std::floor(x / cell));
  const auto j = static_cast<std::int64_t>(std::floor(y / cell));
  const std::uint64_t bits = mix_bits(texture + static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15ULL +
                                      static_cast<std::uint64_t>(j) * 0xc2b2ae3d27d4eb4fULL);
  return (static_cast<float>(bits >> 40U) * 0x1p-24F - 0.5F) * 3.4641016F;
}

constexpr Rgb haze = {.72F, .76F, .82F};

PixelClass class_of(Surface surface) {
  switch (surface) {
    case Surface::asphalt:
      return PixelClass::road;
    case Surface::walkway:
      return PixelClass::walkway;
    case Surface::carpark:
      return PixelClass::car_park;
    case Surface::paint:
      return PixelClass::marking;
    case Surface::terrain:
      break;
  }
  return PixelClass::terrain;
}

// What a ray meets: its colour, and of what class it is.
Rgb shade(const Town& town, const std::vector<Solid>& solids, const Pixel& pixel, const Eigen::Vector3d& eye,
          const Eigen::Vector3d& ray, std::uint64_t texture, double fog, PixelClass& met) {
  Rgb colour = haze;
  double distance = 0;
  if (pixel.solid >= 0) {
    const Solid& solid = solids[static_cast<std::size_t>(pixel.solid)];
    met = solid.shows;
    constexpr float light[3] = {.85F, .68F, 1.0F};
    const Eigen::Vector3d at = eye + pixel.depth * ray;
    const float spots = 0.02F * grain(at.x() + at.y(), at.z(), 0.3, texture);
    for (std::size_t c = 0; c < 3; ++c) colour[c] = solid.colour[c] * light[pixel.axis] + spots;
    distance = pixel.depth * ray.norm();
  } else if (ray.z() < -1e-4) {
    const double t = -eye.z() / ray.z();
    const Eigen::Vector3d at = eye + t * ray;
    distance = t * ray.norm();
    const Surface surface = distance < 250 ? town.classify(at.head<2>()).surface : Surface::terrain;
    met = class_of(surface);
    colour = colour_of(surface);
    const float noise =
        0.02F * grain(at.x(), at.y(), 0.7, texture) + (distance < 30 ? 0.02F * grain(at.x(), at.y(), 0.08, ~texture) : 0);
    for (float& c : colour) c += noise;
  } else {
    met = PixelClass::sky;
    const auto up = static_cast<float>(std::min(1.0, 2.5 * ray.z() / ray.norm()));
    return {haze[0] - .30F * up, haze[1] - .18F * up, haze[2] + .08F * up};
  }
  if (fog > 0) {
    const auto clear = static_cast<float>(std::exp(-distance / fog));
    for (std::size_t c = 0; c < 3; ++c) colour[c] = clear * colour[c] + (1 - clear) * haze[c];
  }
  return colour;
}

/// Convolves each of `lines` lines of `length` pixels with a Gaussian cut at three deviations; beyond the edge the last pixel
/// goes on.
void blur_along(std::vector<Rgb>& pixels, int length, int lines, int step, int line_step, double deviation) {
  const int reach = static_cast<int>(std::ceil(3 * deviation));
  std::vector<float> kernel;
  float total = 0;
  for (int k = -reach; k <= reach; ++k) {
    kernel.push_back(static_cast<float>(std::exp(-0.5 * k * k / (deviation * deviation))));
    total += kernel.back();
  }
  std::vector<Rgb> line(static_cast<std::size_t>(length));
  for (int l = 0; l < lines; ++l) {
    const auto at = [&](int i) -> Rgb& { return pixels[static_cast<std::size_t>(l * line_step + i * step)]; };
    for (int i = 0; i < length; ++i) line[static_cast<std::size_t>(i)] = at(i);
    for (int i = 0; i < length; ++i) {
      Rgb sum{};
      for (int k = -reach; k <= reach; ++k) {
        const Rgb& other = line[static_cast<std::size_t>(std::clamp(i + k, 0, length - 1))];
        const float weight = kernel[static_cast<std::size_t>(k + reach)] / total;
        for (std::size_t c = 0; c < 3; ++c) sum[c] += weight * other[c];
      }
      at(i) = sum;
    }
  }
}

}  // namespace

Image render(const Town& town, const std::vector<Solid>& solids, const Camera& camera, double gain, std::uint64_t texture,
             const SynthOptions& options, Random& random, PixelCounts& counts, GreyImage* shown) {
  const int fine = options.supersample;
  Camera finer = camera;
  finer.width *= fine;
  finer.height *= fine;
  finer.intrinsic.topRows<2>() *= fine;
  Renderer renderer(finer, solids);
  renderer.draw_solids(counts);

  std::vector<Rgb> seen(static_cast<std::size_t>(camera.width) * static_cast<std::size_t>(camera.height));
  if (shown != nullptr) *shown = GreyImage(camera.width, camera.height);
  const float share = 1.0F / static_cast<float>(fine * fine);
  for (int y = 0; y < camera.height; ++y) {
    for (int x = 0; x < camera.width; ++x) {
      Rgb& sum = seen[static_cast<std::size_t>(y * camera.width + x)];
      std::array<int, pixel_class_count> rays{};
      for (int j = 0; j < fine; ++j) {
        for (int i = 0; i < fine; ++i) {
          const int u = fine * x + i;
          const int v = fine * y + j;
          PixelClass met{};
          const Rgb colour = shade(town, solids, renderer.pixel(u, v), camera.global_from_camera.translation, renderer.ray(u, v),
                                   texture, options.fog, met);
          for (std::size_t c = 0; c < 3; ++c) sum[c] += share * colour[c];
          ++rays[static_cast<std::size_t>(met)];
        }
      }
      if (shown != nullptr) {
        shown->at(x, y) = static_cast<std::uint8_t>(std::max_element(rays.begin(), rays.end()) - rays.begin());
      }
    }
  }
  if (options.blur > 0) {
    blur_along(seen, camera.width, camera.height, 1, camera.width, options.blur);
    blur_along(seen, camera.height, camera.width, camera.width, 1, options.blur);
  }

  Image image(camera.width, camera.height);
  for (int y = 0; y < camera.height; ++y) {
    for (int x = 0; x < camera.width; ++x) {
      const Rgb& sum = seen[static_cast<std::size_t>(y * camera.width + x)];
      const std::uint64_t bits = random.bits();
      for (std::size_t c = 0; c < 3; ++c) {
        // Sum of two uniform numbers: a triangle of standard deviation 1.
        const float a = static_cast<float>(bits >> (20 * c) & 1023U) + static_cast<float>(bits >> (20 * c + 10) & 1023U);
        const float noise = (a / 1023.0F - 1.0F) * 2.4494897F * static_cast<float>(options.image_noise);
        const float value = sum[c] * static_cast<float>(gain) + noise;
        image.pixel(x, y)[c] = static_cast<std::uint8_t>(std::lround(255 * std::clamp(value, 0.0F, 1.0F)));
      }
    }
  }
  return image;
}

}  // namespace bevfusion

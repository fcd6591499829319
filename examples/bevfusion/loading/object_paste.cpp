// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/loading/object_paste.hpp"

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "bevfusion/matching/rotated_iou.hpp"
#include "bevfusion/synth/random.hpp"

namespace bevfusion {
namespace {

std::string without_blanks(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The first `count` of `values` in a random order.
template <class Value>
std::vector<Value> drawn(std::vector<Value> values, std::size_t count, Random& random) {
  count = std::min(count, values.size());
  for (std::size_t k = 0; k < count; ++k) {
    const auto offset = static_cast<std::size_t>(random.unit() * static_cast<double>(values.size() - k));
    std::swap(values[k], values[std::min(k + offset, values.size() - 1)]);
  }
  values.resize(count);
  return values;
}

}  // namespace

std::vector<int> objects_by_label(const PasteOptions& options, const DetectionLabels& labels) {
  std::vector<int> wanted(labels.size(), 0);
  for (std::size_t from = 0; from <= options.objects.size();) {
    const std::size_t to = std::min(options.objects.find(',', from), options.objects.size());
    const std::string entry = without_blanks(options.objects.substr(from, to - from));
    from = to + 1;
    if (entry.empty()) {
      continue;
    }
    const std::size_t sign = std::min(entry.find('='), entry.size());
    const std::string name = without_blanks(entry.substr(0, sign));
    const std::string text = without_blanks(entry.substr(std::min(sign + 1, entry.size())));
    char* end = nullptr;
    const long number = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end != '\0' || number < 0 || number > 1000) {
      throw std::invalid_argument("loading.paste.objects holds '" + entry +
                                  "'; it is label=number, 0 ... 1000, parted by commas");
    }
    const auto at = std::find_if(labels.begin(), labels.end(), [&](const DetectionLabel& label) { return label.name == name; });
    if (at == labels.end()) {
      throw std::invalid_argument("loading.paste.objects names '" + name + "', which is no label of model.detection_label_set");
    }
    wanted[static_cast<std::size_t>(at - labels.begin())] = static_cast<int>(number);
  }
  return wanted;
}

ObjectPaster::ObjectPaster(const Tables& tables, const std::vector<RowIndex>& samples, const KeyFrameOptions& frames,
                           PointOptions points, PasteOptions options, std::uint64_t seed)
    : points_(points), wanted_(objects_by_label(options, frames.labels)), objects_(frames.labels.size()) {
  Random random({seed, 0x7061737465ULL});
  std::vector<RowIndex> pool = samples;
  std::sort(pool.begin(), pool.end());
  pool.erase(std::unique(pool.begin(), pool.end()), pool.end());
  for (const RowIndex row : drawn(pool, static_cast<std::size_t>(std::max(options.pool, 0)), random)) {
    const KeyFrame& frame = frames_.emplace_back(key_frame_of(tables, row, frames));
    for (std::size_t b = 0; b < frame.boxes.size(); ++b) {
      if (frame.boxes[b].lidar_points >= options.least_points) {
        objects_.at(index_of(frame.boxes[b].label)).push_back({frames_.size() - 1, b});
      }
    }
    sources_.push_back(std::make_unique<Source>());
  }
}

const std::vector<SweepPoint>& ObjectPaster::points_of(const Place& place) const {
  Source& source = *sources_[place.source];
  std::call_once(source.read, [&] {  // a failed reading throws, and is tried again by whoever comes next
    const KeyFrame& frame = frames_[place.source];
    const std::vector<SweepPoint> cloud = read_points(frame, points_);
    std::vector<std::vector<SweepPoint>> of_boxes;
    for (const Box3D& box : frame.boxes) {
      const BoxInterior interior(box);
      std::copy_if(cloud.begin(), cloud.end(), std::back_inserter(of_boxes.emplace_back()),
                   [&](const SweepPoint& point) { return interior.contains(point.x, point.y, point.z); });
    }
    source.points = std::move(of_boxes);
  });
  return source.points[place.box];
}

void ObjectPaster::paste(std::vector<SweepPoint>& points, std::vector<Box3D>& boxes,
                         std::initializer_list<std::uint64_t> key) const {
  Random random(key);
  std::vector<Place> pasted;
  for (std::size_t label = 0; label < wanted_.size(); ++label) {
    const auto there = std::count_if(boxes.begin(), boxes.end(), [&](const Box3D& box) { return index_of(box.label) == label; });
    const auto lacking = std::max<std::ptrdiff_t>(0, wanted_[label] - there);
    for (const Place& place : drawn(objects_[label], static_cast<std::size_t>(lacking), random)) {
      const Box3D& object = frames_[place.source].boxes[place.box];
      const bool collides =
          std::any_of(boxes.begin(), boxes.end(), [&](const Box3D& box) { return footprint_intersection(object, box) > 0; });
      if (!collides) {
        boxes.push_back(object);
        pasted.push_back(place);
      }
    }
  }
  for (const Place& place : pasted) {
    const BoxInterior interior(frames_[place.source].boxes[place.box]);
    points.erase(std::remove_if(points.begin(), points.end(),
                                [&](const SweepPoint& point) { return interior.contains(point.x, point.y, point.z); }),
                 points.end());
  }
  for (const Place& place : pasted) {
    const std::vector<SweepPoint>& of_object = points_of(place);
    points.insert(points.end(), of_object.begin(), of_object.end());
  }
}

}  // namespace bevfusion

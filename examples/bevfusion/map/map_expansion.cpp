// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/map_expansion.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "bevfusion/map/area_outline.hpp"
#include "bevfusion/map/area_validity.hpp"
#include "bevfusion/map/square_clip.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"

namespace bevfusion {

MapShape::MapShape(std::vector<Chain> all) : chains(std::move(all)) {
  if (chains.empty() || chains[0].empty()) return;
  Eigen::Vector2d low = chains[0][0];
  Eigen::Vector2d high = low;
  for (const Chain& chain : chains) {
    for (const Eigen::Vector2d& p : chain) {
      low = low.cwiseMin(p);
      high = high.cwiseMax(p);
    }
  }
  center = 0.5 * (low + high);
  radius = 0.5 * (high - low).norm();
}

namespace {

// Shapes name lines and polygons, which name nodes, in any order in the file: tokens are resolved when all is read.
class ExpansionReader {
 public:
  ExpansionReader(std::string file, const MapLabels& labels) : file_(std::move(file)), labels_(labels) {
    for (std::size_t label = 0; label < labels_.size(); ++label) {
      for (const std::string& layer : labels_[label].layers) members_of_[layer].push_back(label);
    }
  }

  JsonRowsVisitor visitor() {
    JsonRowsVisitor v;
    v.fields = {"token",         "x",         "y", "node_tokens", "exterior_node_tokens", "holes", "polygon_tokens",
                "polygon_token", "line_token"};
    v.row = [this](const JsonRow& row) { take(row); };
    // An empty layer has no row to tell of it.
    v.list = [this](const std::string& key) { present_.insert(key); };
    v.number = [this](const std::string& key, double value) {
      if (key == "canvas_edge") canvas_edge_.push_back(value);
    };
    return v;
  }

  MapExpansion finish() const {
    MapExpansion map(labels_);
    if (canvas_edge_.size() != 2 || !(canvas_edge_[0] > 0) || !(canvas_edge_[1] > 0)) {
      fail(file_, "field 'canvas_edge' is missing, or is not two lengths");
    }
    map.canvas_edge = {canvas_edge_[0], canvas_edge_[1]};
    for (std::size_t label = 0; label < labels_.size(); ++label) {
      const std::vector<std::string>& layers = labels_[label].layers;
      const auto is_there = [this](const std::string& layer) { return present_.count(layer) > 0; };
      if (std::all_of(layers.begin(), layers.end(), is_there)) map.shapes[label].emplace();
    }
    for (const auto& [layer, count] : without_shape_) map.faults[layer].without_shape = count;
    std::set<std::pair<std::string, std::string>> no_areas;  // a layer may be part of several labels
    for (const Member& member : members_) {
      auto& shapes = map.shapes[member.label];
      if (!shapes) continue;
      const MapLabel& label = labels_[member.label];
      const auto& table = from_polygons(label.shapes) ? polygons_ : lines_;
      const auto found = table.find(member.shape);
      if (found == table.end())
        fail(file_, "layer " + member.layer + " refers to a shape that is not there: " + to_string(member.shape));
      std::vector<Chain> chains;
      for (const std::vector<Token>& nodes : found->second) {
        Chain chain = chain_of(nodes, member.shape);
        // Fewer than three corners are no hole.
        if (!from_polygons(label.shapes)) {
          chains.push_back(with_own_crossings(chain));
        } else if (chains.empty() || chain.size() > 2) {
          chains.push_back(std::move(chain));
        }
      }
      shapes->emplace_back(std::move(chains));
      MapShape& shape = shapes->back();
      shape.layer =
          static_cast<std::size_t>(std::find(label.layers.begin(), label.layers.end(), member.layer) - label.layers.begin());
      if (!from_polygons(label.shapes) || (member.one_of_several && shape.chains[0].size() > 2)) continue;
      shape.valid = is_valid_area(shape.chains);
      if (!shape.valid && no_areas.emplace(member.layer, to_string(member.shape)).second) ++map.faults[member.layer].no_areas;
    }
    for (std::size_t label = 0; label < labels_.size(); ++label) {
      if (map.shapes[label]) map.shapes[label] = as_drawn(*std::move(map.shapes[label]), labels_[label].shapes);
    }
    return map;
  }

 private:
  struct Member {
    std::size_t label;
    Token shape;
    std::string layer;
    bool one_of_several;
  };

  void take(const JsonRow& row) {
    const std::string& layer = row.layer();
    if (layer == "node") {
      const double x = row.number("x");
      const double y = row.number("y");
      if (!(std::abs(x) <= 1e6) || !(std::abs(y) <= 1e6)) row.fail("x", "or 'y' is beyond 1e6 m");
      nodes_.emplace(row.required_token("token"), Eigen::Vector2d(x, y));
    } else if (layer == "line") {
      lines_.emplace(row.required_token("token"), std::vector<std::vector<Token>>{row.tokens("node_tokens")});
    } else if (layer == "polygon") {
      std::vector<std::vector<Token>> rings = {row.tokens("exterior_node_tokens")};
      if (row.has("holes")) {
        for (std::vector<Token>& hole : row.token_groups("holes")) rings.push_back(std::move(hole));
      }
      polygons_.emplace(row.required_token("token"), std::move(rings));
    } else {
      const auto found = members_of_.find(layer);
      if (found == members_of_.end()) return;
      bool without_shape = false;
      for (const std::size_t label : found->second) without_shape = !take_member(row, label) || without_shape;
      if (without_shape) ++without_shape_[layer];
    }
  }

  // False where the row has no shape.
  bool take_member(const JsonRow& row, std::size_t label) {
    const bool areas = from_polygons(labels_[label].shapes);
    // A drivable area is several polygons, every other row a single shape or none.
    if (areas && row.has("polygon_tokens")) {
      for (const Token& polygon : row.tokens("polygon_tokens")) members_.push_back({label, polygon, row.layer(), true});
      return true;
    }
    if (areas && row.is_null("polygon_tokens")) return false;
    const Token shape = row.token(areas ? "polygon_token" : "line_token");
    if (!shape.empty()) members_.push_back({label, shape, row.layer(), false});
    return !shape.empty();
  }

  Chain chain_of(const std::vector<Token>& nodes, const Token& shape) const {
    Chain chain;
    chain.reserve(nodes.size());
    for (const Token& node : nodes) {
      const auto found = nodes_.find(node);
      if (found == nodes_.end())
        fail(file_, "shape " + to_string(shape) + " refers to a node that is not there: " + to_string(node));
      chain.push_back(found->second);
    }
    return chain;
  }

  // What of polygons is drawn as lines, where that is asked for.
  static std::vector<MapShape> as_drawn(std::vector<MapShape> shapes, MapShapes as) {
    if (!from_polygons(as) || !drawn_as_lines(as)) return shapes;
    shapes.erase(std::remove_if(shapes.begin(), shapes.end(), [](const MapShape& shape) { return !shape.valid; }), shapes.end());
    std::vector<MapShape> lines;
    if (as == MapShapes::long_sides) {
      for (const MapShape& shape : shapes) {
        lines.emplace_back(two_longest_edges(shape.chains[0]));
        lines.back().layer = shape.layer;
      }
    } else {
      std::vector<std::vector<Chain>> areas;
      for (MapShape& shape : shapes) areas.push_back(std::move(shape.chains));
      for (Chain& chain : outline_of_union(areas)) lines.emplace_back(std::vector<Chain>{std::move(chain)});
    }
    return lines;
  }

  std::string file_;
  const MapLabels& labels_;
  std::map<std::string, std::vector<std::size_t>, std::less<>> members_of_;  // the labels that a layer is part of
  std::vector<double> canvas_edge_;
  std::set<std::string, std::less<>> present_;
  std::unordered_map<Token, Eigen::Vector2d> nodes_;
  std::unordered_map<Token, std::vector<std::vector<Token>>> lines_;
  std::unordered_map<Token, std::vector<std::vector<Token>>> polygons_;
  std::vector<Member> members_;
  std::map<std::string, std::size_t> without_shape_;
};

}  // namespace

MapExpansion read_map_expansion(std::istream& stream, const std::string& file, const MapLabels& labels) {
  ExpansionReader reader(file, labels);
  visit_json_rows(stream, file, reader.visitor());
  return reader.finish();
}

MapExpansion read_map_expansion(const std::filesystem::path& file, const MapLabels& labels) {
  const std::unique_ptr<std::istream> stream = open_buffered(file);
  if (!stream) fail(file.string(), "cannot be opened");
  return read_map_expansion(*stream, file.string(), labels);
}

}  // namespace bevfusion

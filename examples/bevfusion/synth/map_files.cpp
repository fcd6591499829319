// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/json_table.hpp"
#include "bevfusion/synth/synth_tables.hpp"
#include "bevfusion/synth/synth_tokens.hpp"

namespace bevfusion {

namespace {

// Numbers the nodes, shapes and members of a map expansion while they are written.
class ExpansionWriter {
 public:
  ExpansionWriter(const std::string& file, const SynthScene& scene, const SynthOptions& options)
      : out_(file),
        shapes_(shapes_of(scene.town)),
        canvas_(scene.town.canvas_edge),
        scene_(static_cast<std::uint64_t>(scene.index)),
        options_(options) {}

  void write() {
    out_.open('{').field("version", "1.3").field("canvas_edge", std::array<double, 2>{canvas_.x(), canvas_.y()});
    nodes();
    shapes("polygon", "exterior_node_tokens", false);
    shapes("line", "node_tokens", true);
    for (std::size_t l = 0; l < shapes_.layers.size(); ++l) members(l, shapes_.layers[l].name);
    members(0, "road_segment");
    // What no town has; NuScenesMap reads these as well.
    for (const char* layer : {"road_block", "traffic_light", "lane_connector"}) out_.line().key(layer).open('[').close(']');
    for (const char* paths : {"arcline_path_3", "connectivity"}) out_.line().key(paths).open('{').close('}');
    out_.close('}').finish();
  }

 private:
  Token node(std::size_t layer, std::size_t shape, std::size_t i) const {
    return token_of(options_, TokenKind::map_node, scene_, layer << 32U | shape, i);
  }
  Token shape_token(std::size_t layer, std::size_t shape) const {
    return token_of(options_, TokenKind::map_shape, scene_, layer, shape);
  }
  static bool is_line(const TownShapes::Layer& layer) { return layer.name == "road_divider" || layer.name == "lane_divider"; }

  template <typename Each>
  void each_chain(Each&& each) const {
    for (std::size_t l = 0; l < shapes_.layers.size(); ++l) {
      for (std::size_t s = 0; s < shapes_.layers[l].chains.size(); ++s) each(l, s, shapes_.layers[l].chains[s]);
    }
  }

  void nodes() {
    out_.key("node").open('[');
    each_chain([&](std::size_t l, std::size_t s, const Chain& chain) {
      for (std::size_t i = 0; i < chain.size(); ++i) {
        out_.open('{').field("token", node(l, s, i)).field("x", chain[i].x()).field("y", chain[i].y()).close('}');
      }
    });
    out_.close(']');
  }

  void shapes(const char* name, const char* nodes_name, bool lines) {
    out_.line().key(name).open('[');
    each_chain([&](std::size_t l, std::size_t s, const Chain& chain) {
      if (is_line(shapes_.layers[l]) != lines) return;
      std::vector<Token> tokens;
      for (std::size_t i = 0; i < chain.size(); ++i) tokens.push_back(node(l, s, i));
      out_.open('{').field("token", shape_token(l, s)).field(nodes_name, tokens);
      if (!lines) out_.field("holes", std::vector<int>());
      out_.close('}');
    });
    out_.close(']');
  }

  // A layer of this name with the shapes of the town's layer l.
  void members(std::size_t l, const std::string& name) {
    const TownShapes::Layer& layer = shapes_.layers[l];
    out_.line().key(name).open('[');
    for (std::size_t s = 0; s < layer.chains.size(); ++s) {
      // Road segments stand beside the drivable area under the same number.
      const std::uint64_t of = name == "road_segment" ? shapes_.layers.size() : l;
      out_.open('{').field("token", token_of(options_, TokenKind::map_member, scene_, of, s));
      if (name == "drivable_area") {
        out_.field("polygon_tokens", std::array<Token, 1>{shape_token(l, s)});
      } else {
        out_.field(is_line(layer) ? "line_token" : "polygon_token", shape_token(l, s));
      }
      facts(name, s);
      out_.close('}');
    }
    out_.close(']');
  }

  // The other fields that a layer's rows have in the format.
  void facts(const std::string& layer, std::size_t shape) {
    const std::vector<Token> none;
    if (layer == "road_segment") {
      out_.field("is_intersection", false)
          .field("drivable_area_token", token_of(options_, TokenKind::map_member, scene_, 0, shape));
    } else if (layer == "lane") {
      out_.field("lane_type", "CAR").field("from_edge_line_token", "").field("to_edge_line_token", "");
      out_.field("left_lane_divider_segments", none).field("right_lane_divider_segments", none);
    } else if (layer == "stop_line") {
      out_.field("stop_line_type", "STOP_SIGN").field("ped_crossing_tokens", none).field("traffic_light_tokens", none);
      out_.field("road_block_token", "");
    } else if (layer == "ped_crossing" || layer == "road_divider") {
      out_.field("road_segment_token", "");
    } else if (layer == "carpark_area") {
      out_.field("orientation", 0).field("road_block_token", "");
    } else if (layer == "lane_divider") {
      out_.field("lane_divider_segments", none);
    }
  }

  JsonWriter out_;
  TownShapes shapes_;
  Eigen::Vector2d canvas_;
  std::uint64_t scene_;
  const SynthOptions& options_;
};

}  // namespace

void write_map_files(const SynthScene& scene, const SynthOptions& options) {
  const std::filesystem::path maps = options.out / "maps";
  ExpansionWriter((maps / "expansion" / (scene.location + ".json")).string(), scene, options).write();
  if (!options.base_map) return;
  const Token token = token_of(options, TokenKind::map, static_cast<std::uint64_t>(scene.index));
  write_png_bits(maps / (to_string(token) + ".png"), base_map_of(scene.town));
}

}  // namespace bevfusion

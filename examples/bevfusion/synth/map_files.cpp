// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/json_table.hpp"
#include "bevfusion/synth/synth_tables.hpp"
#include "bevfusion/synth/synth_tokens.hpp"

namespace bevfusion {

namespace {

// Numbers the nodes, shapes and members of a map expansion while they are written.
class ExpansionWriter {
 public:
  ExpansionWriter(const std::string& file, const SynthScene& scene, std::uint64_t seed)
      : out_(file),
        shapes_(shapes_of(scene.town)),
        canvas_(scene.town.canvas_edge),
        scene_(static_cast<std::uint64_t>(scene.index)),
        seed_(seed) {}

  void write() {
    out_.open('{').field("version", "1.3").field("canvas_edge", std::array<double, 2>{canvas_.x(), canvas_.y()});
    nodes();
    shapes("polygon", "exterior_node_tokens", false);
    shapes("line", "node_tokens", true);
    for (std::size_t l = 0; l < shapes_.layers.size(); ++l) members(l);
    out_.close('}').finish();
  }

 private:
  Token node(std::size_t layer, std::size_t shape, std::size_t i) const {
    return token_of(seed_, TokenKind::map_node, scene_, layer << 32U | shape, i);
  }
  Token shape_token(std::size_t layer, std::size_t shape) const {
    return token_of(seed_, TokenKind::map_shape, scene_, layer, shape);
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

  void members(std::size_t l) {
    const TownShapes::Layer& layer = shapes_.layers[l];
    out_.line().key(layer.name).open('[');
    for (std::size_t s = 0; s < layer.chains.size(); ++s) {
      out_.open('{').field("token", token_of(seed_, TokenKind::map_member, scene_, l, s));
      if (layer.name == "drivable_area") {
        out_.field("polygon_tokens", std::array<Token, 1>{shape_token(l, s)});
      } else {
        out_.field(is_line(layer) ? "line_token" : "polygon_token", shape_token(l, s));
      }
      out_.close('}');
    }
    out_.close(']');
  }

  JsonWriter out_;
  TownShapes shapes_;
  Eigen::Vector2d canvas_;
  std::uint64_t scene_;
  std::uint64_t seed_;
};

}  // namespace

void write_map_files(const SynthScene& scene, const SynthOptions& options) {
  const std::filesystem::path maps = options.out / "maps";
  ExpansionWriter((maps / "expansion" / (scene.location + ".json")).string(), scene, options.seed).write();
  if (!options.base_map) return;
  const Token token = token_of(options.seed, TokenKind::map, static_cast<std::uint64_t>(scene.index));
  write_png_bits(maps / (to_string(token) + ".png"), base_map_of(scene.town));
}

}  // namespace bevfusion

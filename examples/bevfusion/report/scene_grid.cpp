// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/scene_grid.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "bevfusion/report/embedded_picture.hpp"
#include "bevfusion/report/findings.hpp"
#include "support/svg.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;
using example::escaped;

const std::string from_above = "_bev.png";
const std::string in_cameras = "_cameras.png";

/// A row's pictures of a run.
struct Drawn {
  const RowFigures* row = nullptr;
  fs::path folder;
  std::set<std::string> scenes;  ///< names of the pictures from above, without their ending
};

std::set<std::string> scenes_in(const fs::path& folder) {
  std::set<std::string> scenes;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    const std::string name = entry.path().filename().string();
    if (name.size() > from_above.size() && name.compare(name.size() - from_above.size(), from_above.size(), from_above) == 0) {
      scenes.insert(name.substr(0, name.size() - from_above.size()));
    }
  }
  return scenes;
}

/// The rows' pictures of the seed that most rows have pictures of, the least of such.
std::vector<Drawn> drawn_rows(const ExperimentFigures& figures) {
  std::map<std::uint64_t, std::vector<Drawn>> by_seed;
  for (const RowFigures& row : figures.rows) {
    for (const ExperimentRun* run : row.runs) {
      Drawn drawn{&row, run->folder / "predictions", scenes_in(run->folder / "predictions")};
      if (row.row->single.empty() && !drawn.scenes.empty()) {
        by_seed[run->seed].push_back(std::move(drawn));
      }
    }
  }
  const auto most = std::max_element(by_seed.begin(), by_seed.end(),
                                     [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  return most == by_seed.end() ? std::vector<Drawn>() : most->second;
}

/// Ordered as the samples are: by the number that a name begins with.
std::vector<std::string> scenes_of_all(const std::vector<Drawn>& rows) {
  std::set<std::string> common = rows.front().scenes;
  for (const Drawn& row : rows) {
    std::set<std::string> both;
    std::set_intersection(common.begin(), common.end(), row.scenes.begin(), row.scenes.end(), std::inserter(both, both.end()));
    common = both;
  }
  std::vector<std::string> scenes(common.begin(), common.end());
  const auto number = [](const std::string& name) { return std::strtol(name.c_str(), nullptr, 10); };
  std::stable_sort(scenes.begin(), scenes.end(),
                   [&](const std::string& a, const std::string& b) { return number(a) < number(b); });
  return scenes;
}

std::string tile(const EmbeddedPicture& picture, const std::string& name, const std::string& alternative) {
  return "<figure><img src=\"" + data_uri(picture) + "\" width=\"" + std::to_string(picture.width) + "\" height=\"" +
         std::to_string(picture.height) + "\" alt=\"" + escaped(alternative) + "\"/><figcaption>" + escaped(name) +
         "</figcaption></figure>\n";
}

/// Rows of several parts of the table are told apart by them.
std::string name_of(const Drawn& drawn, const std::vector<Drawn>& rows) {
  const bool alike = std::all_of(rows.begin(), rows.end(),
                                 [&](const Drawn& one) { return one.row->row->block == rows.front().row->row->block; });
  return alike ? drawn.row->row->label : full_name(*drawn.row->row);
}

/// What the colours stand for, from the page that stands beside the pictures; empty where it has none.
std::string legend_of(const Drawn& drawn) {
  std::ifstream in(drawn.folder / "index.html");
  std::stringstream page;
  page << in.rdbuf();
  const std::string text = page.str();
  const std::string open = "<p class=\"legend\">";
  const std::size_t begin = text.find(open);
  const std::size_t end = begin == std::string::npos ? begin : text.find("</p>", begin);
  return end == std::string::npos ? ""
                                  : "<details class=\"legend\"><summary>What the colours stand for</summary><p class=\"key\">" +
                                        text.substr(begin + open.size(), end - begin - open.size()) + "</p></details>\n";
}

std::string cameras_html(const std::vector<Drawn>& rows, const std::string& scene, std::size_t number) {
  std::string html;
  for (const Drawn& row : rows) {
    for (const auto& [kind, whose] : {std::pair<std::string, std::string>("_beside", "teachers of "), {"", ""}}) {
      const fs::path file = row.folder / (scene + kind + in_cameras);
      if (fs::exists(file)) {
        html += tile(no_wider_than(read_png(file), 760), whose + name_of(row, rows),
                     "Scene " + std::to_string(number) + " in the six cameras, boxes of " + whose + name_of(row, rows) +
                         " beside the annotated ones");
      }
    }
  }
  return html.empty() ? ""
                      : "<details><summary>Scene " + std::to_string(number) +
                            " in the six cameras</summary><div class=\"cameras\">\n" + html + "</div></details>\n";
}

}  // namespace

std::string scene_grid(const ExperimentFigures& figures, std::size_t most) {
  const std::vector<Drawn> rows = drawn_rows(figures);
  if (rows.empty()) {
    return "";
  }
  std::string html = legend_of(rows.front());
  std::size_t number = 0;
  for (const std::string& scene : scenes_of_all(rows)) {
    if (++number > most) {
      break;
    }
    const std::string name = "Scene " + std::to_string(number);
    html += "<section class=\"scene\" aria-label=\"" + name + "\"><h3>" + name + "</h3><div class=\"tiles\">\n" +
            tile(left_square(read_png(rows.front().folder / (scene + from_above))), "what is there",
                 name + " from above: what is annotated");
    for (const Drawn& row : rows) {
      const EmbeddedPicture whole = read_png(row.folder / (scene + from_above));
      if (const auto taught_by = middle_square(whole)) {
        html += tile(*taught_by, "teachers of " + name_of(row, rows),
                     name + " from above: what the teachers of " + name_of(row, rows) + " find");
      }
      html += tile(right_square(whole), name_of(row, rows), name + " from above: what " + name_of(row, rows) + " finds");
    }
    html += "</div>\n" + cameras_html(rows, scene, number) + "</section>\n";
  }
  return html;
}

}  // namespace bevfusion

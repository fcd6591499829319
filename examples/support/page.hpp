// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "output_file.hpp"
#include "svg.hpp"

namespace example {

/// An HTML page that needs nothing but itself, in the reader's light or dark colours.
class Page {
 public:
  explicit Page(std::string title) : title_(std::move(title)) {}

  void heading(const std::string& text) { body_ += "<h2>" + escaped(text) + "</h2>\n"; }
  void paragraph(const std::string& text) { body_ += "<p>" + escaped(text) + "</p>\n"; }
  /// SVG elements beside each other, as many as fit.
  void figures(const std::vector<std::string>& svgs) {
    body_ += "<div class=\"figures\">\n";
    for (const auto& one : svgs) {
      body_ += "<figure>" + one + "</figure>\n";
    }
    body_ += "</div>\n";
  }
  /// What the colours of the plots below stand for, in the order of the page's eight colours. It stays in view while they scroll.
  void legend(const std::vector<std::string>& names) {
    std::vector<std::pair<std::string, int>> coloured;
    for (std::size_t i = 0; i < names.size(); ++i) {
      coloured.emplace_back(names[i], static_cast<int>(i));
    }
    coloured_legend(coloured);
  }
  /// The same, each name with a colour of its choice.
  void coloured_legend(const std::vector<std::pair<std::string, int>>& names) {
    body_ += "<p class=\"legend\">";
    for (const auto& [name, colour] : names) {
      body_ += "<span><svg width=\"18\" height=\"10\"><line x1=\"0\" y1=\"5\" x2=\"18\" y2=\"5\" class=\"series c" +
               std::to_string(colour % 8) + "\"/></svg> " + escaped(name) + "</span> ";
    }
    body_ += "</p>\n";
  }
  /// The first row is the head. Cells that begin with '*' are set in bold, without it.
  void table(const std::vector<std::vector<std::string>>& rows) {
    open_table(rows);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      body_ += "<tr>";
      for (const auto& text : rows[r]) {
        const bool best = !text.empty() && text[0] == '*';
        cell(r == 0, best, escaped(best ? text.substr(1) : text));
      }
      body_ += "</tr>\n";
    }
    body_ += "</table></div>\n";
  }
  /// The first row is the head. Cells hold what they hold, a leading '*' too; `bold` says of each whether it is set in bold.
  void table(const std::vector<std::vector<std::string>>& rows, const std::vector<std::vector<bool>>& bold) {
    open_table(rows);
    for (std::size_t r = 0; r < rows.size(); ++r) {
      body_ += "<tr>";
      for (std::size_t c = 0; c < rows[r].size(); ++c) {
        cell(r == 0, r < bold.size() && c < bold[r].size() && bold[r][c], escaped(rows[r][c]));
      }
      body_ += "</tr>\n";
    }
    body_ += "</table></div>\n";
  }
  /// Marked-up text, as it is.
  void raw(const std::string& html) { body_ += html; }

  std::string html() const {
    return "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
           "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
           escaped(title_) + "</title>\n<style>\n" + style() + "</style></head>\n<body><main>\n<h1>" + escaped(title_) +
           "</h1>\n" + body_ + "</main></body></html>\n";
  }

  void write(const std::string& path) const { write_file(path, html()); }

 private:
  /// Characters beside each other in a table's widest rows, with the room between columns.
  static std::size_t characters(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::size_t> columns;
    for (const auto& row : rows) {
      columns.resize(std::max(columns.size(), row.size()), 0);
      for (std::size_t c = 0; c < row.size(); ++c) {
        columns[c] = std::max(columns[c], row[c].size() + 3);
      }
    }
    return std::accumulate(columns.begin(), columns.end(), std::size_t{0});
  }

  /// On a narrow screen a wide table scrolls by itself, and says so.
  void open_table(const std::vector<std::vector<std::string>>& rows) {
    constexpr std::size_t of_a_phone = 44;
    if (characters(rows) > of_a_phone) {
      body_ += "<p class=\"swipe\">The table goes on to the right: scroll it sideways.</p>\n";
    }
    body_ += "<div class=\"wide\" tabindex=\"0\"><table>\n";
  }

  void cell(bool head, bool best, const std::string& html) {
    const std::string tag = head ? "th" : "td";
    body_ += "<" + tag + (best ? " class=\"best\">" : ">") + html + "</" + tag + ">";
  }

  static const char* style() {
    return R"(:root { color-scheme: light dark; --back: #fdfdfc; --ink: #1d2327; --soft: #5d686f; --rule: #e2e5e6; --edge: #1d232740;
  --c0: #6b7378; --c1: #d55e00; --c2: #0072b2; --c3: #009e73; --c4: #b0578d; --c5: #b98a00; --c6: #2f9fd8; --c7: #8a5a2b; }
@media (prefers-color-scheme: dark) { :root { --back: #15191c; --ink: #e4e8ea; --soft: #9aa6ad; --rule: #2d3438; --edge: #ffffff55;
  --c0: #a3adb3; --c1: #ff8a3d; --c2: #5aa9e6; --c3: #35c79b; --c4: #dd8fbd; --c5: #e6bd3a; --c6: #8fd3f4; --c7: #c99a6b; } }
body { background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
p { max-width: 46rem; } code { font-size: .92em; } a { color: var(--c2); }
.figures { margin-top: .8rem; display: flex; flex-wrap: wrap; gap: .75rem 1rem; } figure { margin: 0; max-width: 100%; }
figure svg { max-width: 100%; height: auto; } figcaption { font-size: .8rem; color: var(--soft); text-align: center; line-height: 1.3; }
figure img { image-rendering: pixelated; width: 108px; height: 108px; display: block; margin: 0 auto .3rem; background: #000; }
.wide { overflow-x: auto; background: linear-gradient(to right, var(--back) 30%, transparent) left / 2.5rem 100% local,
  linear-gradient(to left, var(--back) 30%, transparent) right / 2.5rem 100% local,
  linear-gradient(to right, var(--edge), transparent) left / .8rem 100% scroll,
  linear-gradient(to left, var(--edge), transparent) right / .8rem 100% scroll; background-repeat: no-repeat; }
.swipe { display: none; font-size: .8rem; color: var(--soft); margin: .6rem 0 .2rem; }
@media (max-width: 44rem) { .swipe { display: block; } }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .32rem .8rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; } .best { font-weight: 700; }
.legend { position: sticky; top: 0; z-index: 1; background: var(--back); max-width: none; max-height: 30vh; overflow-y: auto;
  margin: 0 -.3rem; padding: .45rem .3rem; border-bottom: 1px solid var(--rule); }
.legend span { margin-right: 1.1rem; white-space: nowrap; font-size: .88rem; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; } svg .title { font-size: 13.5px; font-weight: 600; }
svg .tick, svg .note { font-size: 11.5px; fill: var(--soft); } svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--soft); } svg .error { stroke: var(--ink); stroke-width: 1.3; }
svg .band { opacity: .16; } svg .f0 { fill: var(--c0); } svg .f1 { fill: var(--c1); } svg .f2 { fill: var(--c2); }
svg .f3 { fill: var(--c3); } svg .f4 { fill: var(--c4); } svg .f5 { fill: var(--c5); } svg .f6 { fill: var(--c6); }
svg .f7 { fill: var(--c7); }
svg .series { fill: none; stroke-width: 1.9; stroke-linejoin: round; }
svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); } svg .c2 { stroke: var(--c2); } svg .c3 { stroke: var(--c3); }
svg .c4 { stroke: var(--c4); } svg .c5 { stroke: var(--c5); } svg .c6 { stroke: var(--c6); } svg .c7 { stroke: var(--c7); }
svg .b0 { fill: var(--c2); } svg .b1 { fill: var(--c1); } svg .b2 { fill: var(--c3); } svg .b3 { fill: var(--c4); }
svg .b4 { fill: var(--c5); } svg .b5 { fill: var(--c6); } svg .b6 { fill: var(--c7); } svg .b7 { fill: var(--c0); }
)";
  }

  std::string title_, body_;
};

}  // namespace example

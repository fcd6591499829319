// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

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
  /// What the colours of the plots below stand for, in the order of the page's eight colours.
  void legend(const std::vector<std::string>& names) {
    body_ += "<p class=\"legend\">";
    for (std::size_t i = 0; i < names.size(); ++i) {
      body_ += "<span><svg width=\"18\" height=\"10\"><line x1=\"0\" y1=\"5\" x2=\"18\" y2=\"5\" class=\"series c" +
               std::to_string(i % 8) + "\"/></svg> " + escaped(names[i]) + "</span> ";
    }
    body_ += "</p>\n";
  }
  /// The first row is the head. Cells that begin with '*' are set in bold, without it.
  void table(const std::vector<std::vector<std::string>>& rows) {
    body_ += "<div class=\"wide\"><table>\n";
    for (std::size_t r = 0; r < rows.size(); ++r) {
      body_ += "<tr>";
      for (const auto& cell : rows[r]) {
        const bool best = !cell.empty() && cell[0] == '*';
        const std::string tag = r == 0 ? "th" : "td";
        body_ += "<" + tag + (best ? " class=\"best\">" : ">") + escaped(best ? cell.substr(1) : cell) + "</" + tag + ">";
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

  void write(const std::string& path) const {
    std::ofstream out(path);
    out << html();
    out.close();
    if (!out) {
      throw std::runtime_error(path + ": cannot be written");
    }
  }

 private:
  static const char* style() {
    return R"(:root { color-scheme: light dark; --back: #fdfdfc; --ink: #1d2327; --soft: #5d686f; --rule: #e2e5e6;
  --c0: #6b7378; --c1: #d55e00; --c2: #0072b2; --c3: #009e73; --c4: #b0578d; --c5: #b98a00; --c6: #2f9fd8; --c7: #8a5a2b; }
@media (prefers-color-scheme: dark) { :root { --back: #15191c; --ink: #e4e8ea; --soft: #9aa6ad; --rule: #2d3438;
  --c0: #a3adb3; --c1: #ff8a3d; --c2: #5aa9e6; --c3: #35c79b; --c4: #dd8fbd; --c5: #e6bd3a; --c6: #8fd3f4; --c7: #c99a6b; } }
body { background: var(--back); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; margin: 0; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2.4rem; }
p { max-width: 46rem; } code { font-size: .92em; } a { color: var(--c2); }
.figures { display: flex; flex-wrap: wrap; gap: .75rem 1rem; } figure { margin: 0; max-width: 100%; }
figure svg { max-width: 100%; height: auto; } figcaption { font-size: .8rem; color: var(--soft); text-align: center; line-height: 1.3; }
figure img { image-rendering: pixelated; width: 108px; height: 108px; display: block; margin: 0 auto .3rem; background: #000; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { padding: .32rem .8rem; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--soft); font-weight: 600; } .best { font-weight: 700; }
.legend span { margin-right: 1.1rem; white-space: nowrap; font-size: .88rem; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; } svg .title { font-size: 13.5px; font-weight: 600; }
svg .tick, svg .note { font-size: 11.5px; fill: var(--soft); } svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--soft); } svg .error { stroke: var(--ink); stroke-width: 1.3; }
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

// SPDX-License-Identifier: Apache-2.0
// The examples' plots and pages: well-formed, to scale, and free of what the data might smuggle in.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <zlib.h>

#include "../../examples/support/bar_plot.hpp"
#include "../../examples/support/page.hpp"
#include "../../examples/support/png.hpp"
#include "../../examples/support/svg.hpp"
#include "support/catch.hpp"

namespace {

using namespace example;

/// Empty if the text is well-formed XML as far as these files use it: tags nest, attributes are quoted, & begins a known entity.
std::string xml_fault(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '&') {
      bool known = false;
      for (const std::string entity : {"&amp;", "&lt;", "&gt;", "&quot;"}) {
        known = known || text.compare(i, entity.size(), entity) == 0;
      }
      if (!known) {
        return "stray & at " + text.substr(i, 20);
      }
    }
    if (text[i] == '>') {
      return "stray > at " + text.substr(i, 20);
    }
    if (text[i] != '<') {
      continue;
    }
    std::string tag;
    bool quoted = false;
    for (++i; i < text.size() && (quoted || text[i] != '>'); ++i) {
      quoted = quoted != (text[i] == '"');
      if (text[i] == '<') {
        return "< inside a tag: " + tag;
      }
      tag += text[i];
    }
    if (i == text.size()) {
      return "a tag without end: " + tag;
    }
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      if (open.empty() || open.back() != tag.substr(1)) {
        return "</" + name + "> closes <" + (open.empty() ? "" : open.back()) + ">";
      }
      open.pop_back();
    } else if (tag.back() != '/' && tag[0] != '!') {
      open.push_back(name);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> is never closed";
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
    ++found;
  }
  return found;
}

LinePlot hostile_plot() {
  LinePlot plot;
  plot.title = "<script>alert(\"x\")</script> & more";
  plot.x_label = "a < b";
  plot.y_label = "c > d";
  plot.legend = true;
  plot.series = {{"\"quoted\" & <bold>", {{0, 1}, {1, 2}, {2, std::nan("")}, {3, std::numeric_limits<double>::infinity()}}, 3}};
  return plot;
}

}  // namespace

TEST_CASE("the fault finder finds faults", "[examples]") {
  CHECK(xml_fault("<a b=\"c>d\"><e/></a>").empty());
  for (const char* bad : {"<a>", "</a>", "<a><b></a></b>", "a & b", "<a b=\"<\"/>", "<a", "x > y"}) {
    INFO(bad);
    CHECK_FALSE(xml_fault(bad).empty());
  }
}

TEST_CASE("line plots are well-formed whatever the text and the numbers", "[examples]") {
  CHECK(xml_fault(svg(hostile_plot())).empty());
  CHECK(svg(hostile_plot()).find("<script>") == std::string::npos);
  CHECK(svg(hostile_plot()).find("nan") == std::string::npos);
  CHECK(svg(hostile_plot()).find("inf") == std::string::npos);
}

TEST_CASE("a plot without a point says so", "[examples]") {
  LinePlot plot = hostile_plot();
  plot.series[0].points = {{0, std::nan("")}};
  CHECK(xml_fault(svg(plot)).empty());
  CHECK(svg(plot).find("not measured") != std::string::npos);
}

TEST_CASE("a constant line and a single point have a place", "[examples]") {
  LinePlot plot;
  for (const auto& points : std::vector<std::vector<std::pair<double, double>>>{{{1, 5}, {2, 5}}, {{1, 0}}}) {
    plot.series = {{"flat", points, 0}};
    CHECK(svg(plot).find("nan") == std::string::npos);
    CHECK(xml_fault(svg(plot)).empty());
  }
}

TEST_CASE("a logarithmic plot leaves out what has no logarithm", "[examples]") {
  LinePlot plot;
  plot.logarithmic = true;
  plot.series = {{"s", {{0, 1}, {1, 0}, {2, -3}, {3, 100}}, 0}};
  const auto path = svg(plot);
  CHECK(count(path.substr(path.find("d=\"M"), path.find("/><title>")), "L") == 1);
  CHECK(path.find("nan") == std::string::npos);
}

TEST_CASE("ticks that are close are told apart, and leave room for the axis' name", "[examples]") {
  LinePlot plot;
  plot.y_label = "mean of the epoch";
  plot.series = {{"s", {{0, 0.99991}, {1, 1.00012}}, 0}};
  const auto text = svg(plot);
  CHECK(labels({0.9999, 1, 1.0001}) == std::vector<std::string>{"0.9999", "1", "1.0001"});
  // The turned name stands at x = 13, 11.5 units high; a digit is at most 6.7 wide, and labels end 6 before the axis.
  std::size_t longest = 0;
  double axis = 0;
  for (auto at = text.find("class=\"tick end\">"); at != std::string::npos; at = text.find("class=\"tick end\">", at + 1)) {
    const auto begin = text.find('>', at) + 1;
    longest = std::max(longest, text.find('<', begin) - begin);
    axis = std::stod(text.substr(text.rfind("x=\"", at) + 3));
  }
  CHECK(longest >= 6);
  CHECK(axis - 6.7 * static_cast<double>(longest) > 13 + 6);
}

TEST_CASE("a band goes along its upper edge and back along the lower", "[examples]") {
  LinePlot plot;
  plot.low = 0;
  plot.high = 10;
  Series series{"s", {{0, 2}, {1, 5}}, 3};
  series.band = {{0, 1, 4}, {1, std::nan(""), 6}, {2, 3, 10}};
  plot.series = {series};
  const auto text = svg(plot);
  // 34 is y = 10 and 228 is y = 0; x goes from 52 to 406 for 0 ... 2; the middle range is no number and left out.
  CHECK(text.find("<path d=\"M52 150.4 L406 34 L406 169.8 L52 208.6 Z\" class=\"band f3\"/>") != std::string::npos);
  CHECK(xml_fault(text).empty());
}

TEST_CASE("a wide table says that it goes on, and a starred name keeps its star", "[examples]") {
  Page page("t");
  page.table({{"run", "a"}, {"*x", "1"}}, {{false, false}, {false, true}});
  CHECK(page.html().find("<td>*x</td><td class=\"best\">1</td>") != std::string::npos);
  CHECK(page.html().find("<p class=\"swipe\">") == std::string::npos);
  page.table({{"run", "a heading of some length", "another of some length"}});
  CHECK(page.html().find("<p class=\"swipe\">") != std::string::npos);
}

TEST_CASE("axes are to scale and ticks are round", "[examples]") {
  const Axis linear(0, 10, 100, 0, false);
  CHECK(linear.at(0) == Approx(100));
  CHECK(linear.at(2.5) == Approx(75));
  CHECK(linear.ticks() == std::vector<double>{0, 2, 4, 6, 8, 10});
  const Axis logarithmic(1, 100, 0, 200, true);
  CHECK(logarithmic.at(10) == Approx(100));
  CHECK(logarithmic.ticks() == std::vector<double>{1, 2, 5, 10, 20, 50, 100});
  const std::vector<double> narrow = Axis(0.87, 1.3, 0, 200, true).ticks();
  REQUIRE(narrow.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(narrow[i] == Approx(0.9 + 0.1 * static_cast<double>(i)));
  }
}

TEST_CASE("bars begin at zero and are as long as their values", "[examples]") {
  BarPlot plot;
  plot.title = "a & b";
  plot.groups = {"one", "<two>"};
  plot.bars = {"left", "right"};
  plot.values = {{50, 25}, {100, std::nan("")}};
  plot.errors = {{5, 0}, {std::nan(""), 1}};
  const auto text = svg(plot);
  CHECK(xml_fault(text).empty());
  CHECK(text.find("nan") == std::string::npos);
  // 320 - 34 - 56 = 230 units are 100 %; three bars are drawn, one of them has an error bar of three strokes.
  CHECK(text.find("height=\"230\"") != std::string::npos);
  CHECK(text.find("height=\"115\"") != std::string::npos);
  CHECK(text.find("height=\"57.5\"") != std::string::npos);
  CHECK(count(text, "class=\"error\"") == 3);
}

TEST_CASE("a page is well-formed, escapes its text and needs nothing from outside", "[examples]") {
  Page page("Title <&>");
  page.heading("1 < 2");
  page.paragraph("\"Tom & Jerry\"");
  page.legend({"<a>", "b"});
  page.figures({svg(hostile_plot())});
  page.table({{"head", "%"}, {"*best", "<td>"}});
  const auto html = page.html();
  CHECK(html.find("<!DOCTYPE html>") == 0);
  const auto body = html.substr(html.find("<body>"), html.find("</html>") - html.find("<body>"));
  CHECK(xml_fault(body) == "");
  CHECK(html.find("<td class=\"best\">best</td>") != std::string::npos);
  CHECK(html.find("src=") == std::string::npos);
  CHECK(html.find("<link") == std::string::npos);
  CHECK(html.find("<script") == std::string::npos);
}

TEST_CASE("a PNG file has its signature, its size, its pixels and the checksums of the standard", "[examples]") {
  const std::vector<std::uint8_t> pixels = {0, 64, 128, 192, 255, 1};
  const auto file = png(pixels, 3, 2);
  CHECK(file.substr(0, 8) == "\x89PNG\r\n\x1a\n");
  CHECK(file.substr(8, 21) == std::string("\0\0\0\x0dIHDR\0\0\0\x03\0\0\0\x02\x08\0\0\0\0", 21));
  CHECK(file.substr(file.size() - 12) == std::string("\0\0\0\0IEND\xae\x42\x60\x82", 12));  // the same in every PNG file
  const auto at = file.find("IDAT") + 4;
  std::uint8_t rows[8];
  uLongf size = sizeof rows;
  REQUIRE(uncompress(rows, &size, reinterpret_cast<const Bytef*>(file.data()) + at, static_cast<uLong>(file.size() - at - 16)) ==
          Z_OK);
  CHECK(std::vector<std::uint8_t>(rows, rows + size) == std::vector<std::uint8_t>{0, 0, 64, 128, 0, 192, 255, 1});
  CHECK_THROWS_AS(png(pixels, 3, 3), std::invalid_argument);
}

TEST_CASE("base64 as in RFC 4648, section 10", "[examples]") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
}

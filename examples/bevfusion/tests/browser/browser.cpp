// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tests/browser/browser.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <stdexcept>

#include <nlohmann/json.hpp>

namespace bevfusion::testing {
namespace {

/// What a command writes, and whether it ended well.
std::pair<std::string, bool> output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) {
    throw std::runtime_error("cannot run " + command);
  }
  std::string text;
  std::array<char, 4096> piece{};
  for (std::size_t count = fread(piece.data(), 1, piece.size(), pipe); count > 0;
       count = fread(piece.data(), 1, piece.size(), pipe)) {
    text.append(piece.data(), count);
  }
  return {text, pclose(pipe) == 0};
}

std::string text_of(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

/// A string of JavaScript; "<" is written so that no tag ends the script around it.
std::string script_string(const std::string& text) {
  std::string out;
  for (const char c : nlohmann::json(text).dump()) {
    out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return out;
}

/// A page that shows another in a frame for each view, and then holds what the check found.
std::string harness(const std::string& html) {
  return "<!DOCTYPE html><html><body><pre id=\"faults\"></pre><script>\n" +
         text_of(std::filesystem::path(FULLER_SOURCE_DIR) / "examples/bevfusion/tests/browser/page_check.js") +
         "\nconst source = " + script_string(html) + R"(;
const all = [];
const views = [[390, 'light'], [390, 'dark'], [1400, 'light'], [1400, 'dark']];
const looks = views.map(([width, scheme]) => new Promise(done => {
  const frame = document.createElement('iframe');
  frame.style = `border: 0; width: ${width}px; height: 900px; color-scheme: ${scheme}`;
  frame.onload = () => {
    const view = `${width} ${scheme}`;
    try {
      for (const details of frame.contentDocument.querySelectorAll('details')) details.open = true;
      for (const fault of checkPage(frame.contentWindow, source)) all.push({view, ...fault});
      const dark = frame.contentWindow.matchMedia('(prefers-color-scheme: dark)').matches;
      if (dark !== (scheme === 'dark') || frame.contentWindow.innerWidth !== width) throw new Error('this is another view');
    } catch (error) {
      all.push({view, kind: 'check', what: String(error.stack), where: 'the check itself'});
    }
    done();
  };
  frame.srcdoc = source;
  document.body.append(frame);
}));
Promise.all(looks).then(() => {
  document.getElementById('faults').textContent = JSON.stringify({done: true, all}).replace(/[&<>]/g, c => '\\u' + c.charCodeAt(0).toString(16).padStart(4, '0'));
});
</script></body></html>
)";
}

}  // namespace

std::string browser() {
  const char* named = std::getenv("FULLER_BROWSER");
  const std::string program = named != nullptr ? named : "chromium";
  return output_of("command -v '" + program + "' 2>/dev/null").second ? program : "";
}

std::vector<PageFault> faults_of(const std::string& html, const std::filesystem::path& folder) {
  const std::filesystem::path page = folder / "harness.html";
  std::ofstream(page, std::ios::binary) << harness(html);
  const std::string command =
      "timeout 120 '" + browser() + "' --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --user-data-dir='" +
      (folder / "profile").string() + "' --window-size=1500,1000 --virtual-time-budget=20000 --dump-dom '" + page.string() +
      "' 2>'" + (folder / "browser.log").string() + "'";
  const std::string dom = output_of(command).first;
  const std::string open = "<pre id=\"faults\">";
  const std::size_t begin = dom.find(open);
  const std::size_t end = begin == std::string::npos ? begin : dom.find("</pre>", begin);
  if (end == std::string::npos || end == begin + open.size()) {
    throw std::runtime_error("the browser does not answer: " + text_of(folder / "browser.log"));
  }
  std::vector<PageFault> faults;
  const auto json = nlohmann::json::parse(dom.substr(begin + open.size(), end - begin - open.size()));
  for (const auto& one : json.at("all")) {
    faults.push_back({one.at("view"), one.at("kind"), one.at("what"), one.at("where")});
  }
  return faults;
}

}  // namespace bevfusion::testing

// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/attention_section.hpp"

#include <algorithm>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "bevfusion/report/provenance_tables.hpp"
#include "support/svg.hpp"

namespace bevfusion {
namespace {

const std::string at_scale = "_scale";

/// The pictures of the first sample, from above and then in the cameras, scale by scale.
std::vector<std::string> pictures_of(const std::filesystem::path& run) {
  std::vector<std::pair<long, std::string>> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(run / "attention", none)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".png" && name.find(at_scale) != std::string::npos) {
      found.emplace_back(std::strtol(name.c_str(), nullptr, 10), name);
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string> first;
  for (const auto& [sample, name] : found) {
    if (sample == found.front().first) {
      first.push_back("attention/" + name);
    }
  }
  return first;
}

}  // namespace

std::string attention_section(const std::vector<RunGroup>& groups, const std::filesystem::path& page_folder) {
  std::string html;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      const std::vector<std::string> pictures = pictures_of(run.folder);
      if (pictures.empty()) {
        continue;
      }
      html += "<h3>" + example::escaped(group.name) + "</h3>\n<div class=\"attention\">\n";
      for (const std::string& picture : pictures) {
        const bool above = picture.find("_bev.png") != std::string::npos;
        html += "<img src=\"" + address_of(run, picture, page_folder) + "\" alt=\"" + example::escaped(group.name) +
                (above ? ": what each sensor reads of the other, from above" : ": what the LiDAR reads, in the six pictures") +
                "\"/>\n";
      }
      html += "</div>\n";
      break;
    }
  }
  return html;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion::testing {

/// The program of a browser that shows pages without a screen: that of FULLER_BROWSER, or chromium. Empty where there is none.
std::string browser();

/// What a reader would stumble over, as browser/page_check.js finds it.
struct PageFault {
  std::string view;  ///< "390 light": width of the window and colour scheme
  std::string kind;  ///< overflow, keyboard, small, contrast, cut, overlap, alternative, picture, structure, outside
  std::string what, where;
};

/// Opens a page 390 and 1400 px wide, light and dark, everything that can be opened in it open, and looks at it.
/// @param folder  for files on the way
/// @throws std::runtime_error where the browser does not answer
std::vector<PageFault> faults_of(const std::string& html, const std::filesystem::path& folder);

}  // namespace bevfusion::testing

// SPDX-License-Identifier: Apache-2.0
// The page of an experiment in a real browser: nothing reaches out of the window, no label lies over another, every text can be
// read, by whoever reads it. And faults put into it on purpose, so that the check is known to see each kind.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>

#include "bevfusion/report/experiment_page.hpp"
#include "bevfusion/tests/browser/browser.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/small_experiment.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::faults_of;
using bevfusion::testing::PageFault;
using bevfusion::testing::TemporaryFolder;

/// Ends the program as "skipped" where there is no browser, but not in CI, where that is a failure.
void require_browser() {
  if (!bevfusion::testing::browser().empty()) {
    return;
  }
  std::cerr << "no browser: install Debian's chromium (scripts/install_dependencies.sh browser), or name one in FULLER_BROWSER\n";
  std::exit(std::getenv("CI") != nullptr ? 1 : 77);
}

std::string page_of(const std::filesystem::path& folder) {
  const FinishedExperiment experiment = bevfusion::testing::small_experiment(folder);
  return experiment_page(experiment, experiment_figures(experiment));
}

/// The page with something more at its end.
std::string with(const std::string& page, const std::string& more) {
  const std::size_t end = page.find("</main>");
  return page.substr(0, end) + more + page.substr(end);
}

std::string text_of(const std::vector<PageFault>& faults) {
  std::stringstream text;
  for (const PageFault& one : faults) {
    text << one.view << ": " << one.kind << ", " << one.what << ": " << one.where << "\n";
  }
  return text.str();
}

/// The views in which a fault of that kind was found at an element with that text.
std::set<std::string> views_with(const std::vector<PageFault>& faults, const std::string& kind, const std::string& where) {
  std::set<std::string> views;
  for (const PageFault& one : faults) {
    if (one.kind == kind && one.where.find(where) != std::string::npos) {
      views.insert(one.view);
    }
  }
  return views;
}

const std::set<std::string> every_view = {"390 light", "390 dark", "1400 light", "1400 dark"};
const std::set<std::string> narrow = {"390 light", "390 dark"};

}  // namespace

TEST_CASE("an experiment's page can be read by everybody", "[bevfusion][browser]") {
  require_browser();
  const TemporaryFolder folder;
  const std::vector<PageFault> faults = faults_of(page_of(folder.path()), folder.path());
  INFO(text_of(faults));
  CHECK(faults.empty());
}

TEST_CASE("a page with names as long as they get can be read as well", "[bevfusion][browser]") {
  require_browser();
  const TemporaryFolder folder;
  FinishedExperiment experiment = bevfusion::testing::small_experiment(folder.path());
  for (ExperimentRow& row : experiment.sheet.rows) {
    row.block = row.single.empty() ? "detection : segmentation = 1 : 10, disjoint-balance" : "one task a network";
    row.label += " with a shared encoder";
  }
  for (ExperimentRun& run : experiment.runs) {
    run.machine = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz, 176 cores, NVIDIA H200 with 139 GiB <& more>";
    run.message +=
        run.message.empty() ? "" : " /a/very/long/path/without/any/place/to/break/it/in/two/on/a/narrow/screen/log.jsonl";
  }
  experiment.sheet.title += ", measured with eleven thousand steps & five seeds <each>";
  const std::vector<PageFault> faults = faults_of(experiment_page(experiment, experiment_figures(experiment)), folder.path());
  INFO(text_of(faults));
  CHECK(faults.empty());
}

TEST_CASE("a page of which nothing is run can be read as well", "[bevfusion][browser]") {
  require_browser();
  const TemporaryFolder folder;
  FinishedExperiment experiment;
  experiment.sheet.paper = "wPCGrad";
  experiment.sheet.place = "Table 4";
  experiment.sheet.title = "Forty attributes";
  experiment.sheet.cannot = "its data are photographs of faces";
  const std::vector<PageFault> faults = faults_of(experiment_page(experiment, experiment_figures(experiment)), folder.path());
  INFO(text_of(faults));
  CHECK(faults.empty());
}

TEST_CASE("the check of a page sees faults of every kind", "[bevfusion][browser]") {
  require_browser();
  const TemporaryFolder folder;
  const std::string chart = R"(<svg viewBox="0 0 280 60" width="280" height="60" role="img"><title>t</title><desc>d</desc>)";
  const std::string page = with(
      page_of(folder.path()),
      R"(<div style="width: 700px">too wide for a phone</div>)"
      R"(<p style="width: 60px; white-space: nowrap">spills over its frame</p>)"
      R"(<div style="overflow-x: auto"><div style="width: 3000px">scrolls without keyboard</div></div>)"
      R"(<p style="color: #999; background: #fff">too pale</p>)"
      R"(<p style="font-size: 8px">tiny print</p>)" +
          chart + R"(<text x="20" y="30">first label</text><text x="40" y="32">second label</text></svg>)" + chart +
          R"(<text x="250" y="30">cut label</text></svg>)" + chart +
          R"(<path class="series" style="stroke: #808080; opacity: .3" d="M0 0L200 50"/><text x="9" y="50">pale line</text></svg>)"
          R"(<svg viewBox="0 0 280 60" width="140" height="30" role="img"><title>t</title><desc>d</desc><text x="20" y="30">shrunk label</text></svg>)"
          R"(<svg viewBox="0 0 9 9" width="9" height="9" class="untitled"></svg>)"
          R"(<figure class="untold"><img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=" class="untold"/></figure>)"
          R"(<img class="broken" alt="broken" width="9" height="9" src="data:image/png;base64,AAAA"/>)"
          R"(<img class="far" alt="far" width="9" height="9" src="https://example.invalid/a.png"/>)"
          R"(<p id="twice">one</p><p id="twice">two</p><p><a href="#nowhere">lost</a></p>)");
  const std::vector<PageFault> faults = faults_of(page, folder.path());
  INFO(text_of(faults));
  CHECK(views_with(faults, "overflow", "the page") == narrow);
  CHECK(views_with(faults, "overflow", "too wide for a phone") == narrow);
  CHECK(views_with(faults, "overflow", "spills over its frame") == every_view);
  CHECK(views_with(faults, "keyboard", "scrolls without keyboard") == every_view);
  CHECK(views_with(faults, "contrast", "too pale") == every_view);
  CHECK(views_with(faults, "contrast", ".series") == every_view);
  CHECK(views_with(faults, "small", "tiny print") == every_view);
  CHECK(views_with(faults, "small", "shrunk label") == every_view);
  CHECK(views_with(faults, "overlap", "first label") == every_view);
  CHECK(views_with(faults, "cut", "cut label") == every_view);
  CHECK(views_with(faults, "alternative", "untitled") == every_view);
  CHECK(views_with(faults, "alternative", "<img.untold>") == every_view);
  CHECK(views_with(faults, "picture", "broken") == every_view);
  CHECK(views_with(faults, "outside", "far") == every_view);
  CHECK(views_with(faults, "structure", "two") == every_view);
  CHECK(views_with(faults, "structure", "lost") == every_view);
}

TEST_CASE("the check of a page sees what is no HTML", "[bevfusion][browser]") {
  require_browser();
  const TemporaryFolder folder;
  const std::string page = page_of(folder.path());
  for (const char* wrong : {"<p>open", "<b>a & b</b>", "<p><p>inner</p></p>", "<table><div>moved</div></table>"}) {
    INFO(wrong);
    CHECK(views_with(faults_of(with(page, wrong), folder.path()), "structure", "") == every_view);
  }
}

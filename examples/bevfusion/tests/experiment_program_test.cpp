// SPDX-License-Identifier: Apache-2.0
// The papers' experiments, as the program itself understands their rows.
#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/tests/support/program_run.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion::testing;
namespace fs = std::filesystem;

const fs::path configs = fs::path(FULLER_SOURCE_DIR) / "examples" / "bevfusion" / "configs";

Ended experiment(std::vector<std::string> words, const fs::path& folder) {
  words.insert(words.begin(), {BEVFUSION_PROGRAM, "experiment"});
  return run_program(words, {folder});
}

/// Those of which something can be run: neither `needs` nor `cannot` stands above their first table.
/// @param driving  those on a driver's scenes, else the others: one plan has scenes of one kind
std::vector<std::string> runnable(bool driving) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(configs / "experiments")) {
    const std::string text = content_of(entry.path());
    const std::string head = text.substr(0, text.find("[["));
    if (head.find("\nneeds = ") == std::string::npos && head.find("\ncannot = ") == std::string::npos &&
        (head.find("\ndriving = true") != std::string::npos) == driving) {
      names.push_back(entry.path().stem().string());
    }
  }
  return names;
}

TEST_CASE("every row of every experiment is a config that the program takes", "[bevfusion][program]") {
  const std::string size = GENERATE("tiny", "small");
  const bool driving = GENERATE(false, true);
  const TemporaryFolder folder;
  std::vector<std::string> words = runnable(driving);
  REQUIRE(words.size() > (driving ? 0U : 15U));
  words.insert(words.end(), {"--plan", "--size", size});
  const Ended ended = experiment(words, folder.path());
  CHECK(ended.err.empty());
  CHECK(ended.code == 0);
  CHECK(ended.out.find("runs, 0 of them done") != std::string::npos);
  CHECK((driving || ended.out.find("shared") != std::string::npos));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("words that no experiment knows are answered with the near ones", "[bevfusion][program]") {
  const TemporaryFolder folder;
  const auto complaint = [&](const std::vector<std::string>& words) {
    const Ended ended = experiment(words, folder.path());
    CHECK(ended.code == 1);
    return ended.err;
  };
  CHECK(complaint({"fuller_tabel_1"}).find("did you mean fuller_table_1?") != std::string::npos);
  CHECK(complaint({"fuller_table_1", "--rows", "bothe_1"}).find("did you mean both_1?") != std::string::npos);
  CHECK(complaint({"fuller_table_1", "--size", "full"}).find("--data DIR") != std::string::npos);
  CHECK(complaint({}).find("--list") != std::string::npos);
}

}  // namespace

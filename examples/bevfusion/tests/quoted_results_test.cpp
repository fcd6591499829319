// SPDX-License-Identifier: Apache-2.0
// What documents quote from kept results.
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bevfusion/experiments/quoted_results.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using namespace bevfusion::testing;
namespace fs = std::filesystem;

constexpr const char* kept = R"({
  "experiment": "table", "paper": "P", "place": "Table 1", "title": "t", "shows": "s.", "expected": "e.", "size": "tiny",
  "quick": false, "training_samples": 168, "evaluation_samples": null, "repeat": "bevfusion experiment table",
  "columns": [{"key": "mAP", "label": "mAP, %", "better": "high", "scale": 100, "decimals": 1},
              {"key": "delta_mtl", "label": "D, %", "better": "low", "scale": 100, "decimals": 1}],
  "rows": [
    {"key": "a", "block": "", "label": "A", "mean": {"mAP": {"mean": 0.2345, "half_width": 0.0126, "seeds": 3}},
     "paper": {"mAP": 59.1}, "runs": [{"state": "done", "commit": "abc", "libtorch": "1.13.1", "machine": "M"}]},
    {"key": "b", "block": "half", "label": "B", "mean": {"mAP": {"mean": 0.5, "half_width": null, "seeds": 1}}, "paper": {},
     "runs": [{"state": "done", "commit": "abc", "libtorch": "1.13.1", "machine": "M"},
              {"state": "failed", "commit": "def", "libtorch": "", "machine": "N"}]},
    {"key": "c", "block": "", "label": "C", "mean": {}, "paper": {"delta_mtl": 18.3}, "runs": []}]})";

class Repository {
 public:
  Repository() { write("docs/results/table.json", kept); }
  void write(const std::string& file, const std::string& text) const {
    const fs::path path = folder_.path() / file;
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  std::string read(const std::string& file) const {
    std::ifstream in(folder_.path() / file);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<fs::path> quote(bool check) const { return quote_results(folder_.path(), check); }
  std::string refusal() const {
    try {
      quote(true);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  }

 private:
  TemporaryFolder folder_;
};

const std::string row_a = "| A | 23.4 ± 1.3 (59.1) | |\n";
const std::string row_b = "| half: B | 50.0 | |\n";

TEST_CASE("blocks get the table of their results, and nothing else changes", "[bevfusion][experiments]") {
  const Repository repository;
  repository.write("README.md", "before\n<!-- results table -->\nold\n<!-- /results -->\nafter\n");
  repository.write("docs/a.md", "<!-- results table b -->\n<!-- /results -->\n");
  repository.write("docs/b.md", "no block\n");
  repository.write("docs/results/of_another_program.json", "{\"program\": \"two_garments\"}\n");
  CHECK(repository.quote(true).size() == 3);
  CHECK(repository.read("README.md").find("old") != std::string::npos);
  CHECK(repository.quote(false).size() == 3);
  CHECK(repository.quote(true).empty());
  const std::string readme = repository.read("README.md");
  const std::string head = "before\n<!-- results table -->\n| | mAP, % | D, % (low is good) |\n|---|---|---|\n";
  CHECK(readme.rfind(head + row_a + row_b + "\n", 0) == 0);
  const std::string tail = "<!-- /results -->\nafter\n";
  CHECK(readme.substr(readme.size() - tail.size()) == tail);
  CHECK(readme.find("Commit abc, LibTorch 1.13.1, on M: `bevfusion experiment table`.") != std::string::npos);
  CHECK(repository.read("docs/a.md").find(row_a) == std::string::npos);
  CHECK(repository.read("docs/a.md").find(row_b) != std::string::npos);
  CHECK(repository.read("docs/results/table.md").find(row_a) != std::string::npos);
  CHECK(repository.read("docs/results/of_another_program.json") == "{\"program\": \"two_garments\"}\n");
}

TEST_CASE("a figure that was typed by hand is found", "[bevfusion][experiments]") {
  const Repository repository;
  repository.write("README.md", "<!-- results table a -->\n<!-- /results -->\n");
  repository.quote(false);
  std::string text = repository.read("README.md");
  text.replace(text.find("23.4"), 4, "24.4");
  repository.write("README.md", text);
  CHECK(repository.quote(true).size() == 1);
}

TEST_CASE("a block of what is not there is refused with file and line", "[bevfusion][experiments]") {
  const Repository repository;
  repository.write("README.md", "one\n<!-- results tabel -->\n<!-- /results -->\n");
  CHECK(repository.refusal().find("README.md:2: ") != std::string::npos);
  CHECK(repository.refusal().find("did you mean table?") != std::string::npos);
  repository.write("README.md", "<!-- results table d -->\n<!-- /results -->\n");
  CHECK(repository.refusal().find("no row 'd'") != std::string::npos);
  repository.write("README.md", "<!-- results table -->\n");
  CHECK(repository.refusal().find("has no end") != std::string::npos);
}

}  // namespace

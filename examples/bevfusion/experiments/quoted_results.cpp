// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/quoted_results.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>

#include "support/nearest.hpp"
#include "support/output_file.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* begin_mark = "<!-- results ";
constexpr const char* end_mark = "<!-- /results -->";

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string rounded(double value, int decimals) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string cell(const Json& row, const Json& column) {
  const auto key = column.at("key").get<std::string>();
  const int decimals = column.at("decimals").get<int>();
  const double scale = column.at("scale").get<double>();
  std::string text;
  if (row.at("mean").contains(key)) {
    const Json& mean = row["mean"][key];
    text = rounded(scale * mean.at("mean").get<double>(), decimals);
    text += mean.at("half_width").is_number() ? " ± " + rounded(scale * mean["half_width"].get<double>(), decimals) : "";
  }
  if (row.at("paper").contains(key)) {
    text += (text.empty() ? "(" : " (") + rounded(row["paper"][key].get<double>(), decimals) + ")";
  }
  return text;
}

/// The values of a field over all runs that are done, each once.
std::string all_of(const Json& rows, const char* field) {
  std::string text;
  std::set<std::string> seen;
  for (const Json& row : rows) {
    for (const Json& run : row.at("runs")) {
      const auto value = run.value(field, std::string());
      if (run.at("state") == "done" && !value.empty() && seen.insert(value).second) {
        text += (text.empty() ? "" : "; ") + value;
      }
    }
  }
  return text;
}

std::string origin(const Json& results) {
  const Json& rows = results.at("rows");
  std::string text = std::string("\nMeans over the seeds with their 95 % intervals; in brackets the paper's (") +
                     results.at("paper").get<std::string>() + ", " + results.at("place").get<std::string>() + "). Size " +
                     results.at("size").get<std::string>();
  for (const auto& [key, words] :
       {std::pair("training_samples", "samples to train on"), {"evaluation_samples", "to evaluate on"}}) {
    if (results.at(key).is_number()) {
      text += ", " + rounded(results[key].get<double>(), 0) + " " + words;
    }
  }
  text += results.at("quick").get<bool>() ? ", the quick plan. " : ". ";
  const std::string libtorch = all_of(rows, "libtorch");
  return text + "Commit " + all_of(rows, "commit") + (libtorch.empty() ? "" : ", LibTorch " + libtorch) + ", on " +
         all_of(rows, "machine") + ": `" + results.at("repeat").get<std::string>() + "`.\n";
}

/// Replaces the blocks of a text.
class Blocks {
 public:
  Blocks(fs::path file, const std::map<std::string, Json>& results) : file_(std::move(file)), results_(results) {}

  std::string replaced(const std::string& text) const {
    std::string out;
    std::size_t at = 0;
    for (;;) {
      const std::size_t begin = text.find(begin_mark, at);
      if (begin == std::string::npos) {
        return out + text.substr(at);
      }
      const std::size_t end_of_mark = text.find("-->", begin);
      const std::size_t end = text.find(end_mark, begin);
      if (end_of_mark == std::string::npos || end == std::string::npos) {
        refuse(text, begin, std::string("has no end, ") + end_mark);
      }
      const std::size_t after = end_of_mark + 3;
      const std::size_t words = begin + std::string(begin_mark).size();
      out += text.substr(at, after - at) + "\n" + table(text, begin, text.substr(words, end_of_mark - words)) + end_mark;
      at = end + std::string(end_mark).size();
    }
  }

 private:
  std::string table(const std::string& text, std::size_t at, const std::string& words) const {
    std::istringstream in(words);
    std::string name;
    std::string keys;
    in >> name >> keys;
    const auto found = results_.find(name);
    if (found == results_.end()) {
      std::vector<std::string> names;
      for (const auto& one : results_) {
        names.push_back(one.first);
      }
      refuse(text, at, "there is no docs/results/" + name + ".json" + example::did_you_mean(name, names));
    }
    std::vector<std::string> rows;
    std::istringstream list(keys);
    for (std::string key; std::getline(list, key, ',');) {
      rows.push_back(key);
    }
    try {
      return results_markdown(found->second, rows);
    } catch (const std::invalid_argument& error) {
      refuse(text, at, error.what());
    }
  }

  [[noreturn]] void refuse(const std::string& text, std::size_t at, const std::string& what) const {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    throw std::invalid_argument(file_.string() + ":" + std::to_string(line) + ": the block of results: " + what);
  }

  fs::path file_;
  const std::map<std::string, Json>& results_;
};

std::vector<fs::path> markdown_files(const fs::path& root) {
  std::vector<fs::path> files = {root / "README.md"};
  for (const char* folder : {"docs", "examples"}) {
    if (fs::is_directory(root / folder)) {
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        if (entry.path().extension() == ".md" && entry.path().parent_path() != root / "docs" / "results") {
          files.push_back(entry.path());
        }
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

std::string results_markdown(const Json& results, const std::vector<std::string>& rows) {
  std::string head = "| |";
  std::string line = "|---|";
  for (const Json& column : results.at("columns")) {
    head += " " + column.at("label").get<std::string>() + (column.at("better") == "low" ? " (low is good)" : "") + " |";
    line += "---|";
  }
  std::string text = head + "\n" + line + "\n";
  for (const std::string& key : rows) {
    const Json& all = results.at("rows");
    if (std::none_of(all.begin(), all.end(), [&](const Json& row) { return row.at("key") == key; })) {
      throw std::invalid_argument("there is no row '" + key + "' in " + results.at("experiment").get<std::string>());
    }
  }
  for (const Json& row : results.at("rows")) {
    const auto key = row.at("key").get<std::string>();
    const bool chosen = rows.empty() ? !row.at("mean").empty() : std::find(rows.begin(), rows.end(), key) != rows.end();
    if (!chosen) {
      continue;
    }
    const auto block = row.at("block").get<std::string>();
    text += "| " + (block.empty() ? "" : block + ": ") + row.at("label").get<std::string>() + " |";
    for (const Json& column : results.at("columns")) {
      const std::string value = cell(row, column);
      text += value.empty() ? " |" : " " + value + " |";
    }
    text += "\n";
  }
  return text + origin(results);
}

std::vector<fs::path> quote_results(const fs::path& root, bool check) {
  std::map<std::string, Json> results;
  const fs::path kept = root / "docs" / "results";
  if (fs::is_directory(kept)) {
    for (const auto& entry : fs::directory_iterator(kept)) {
      if (entry.path().extension() == ".json") {
        try {
          const Json json = Json::parse(content_of(entry.path()));
          if (json.contains("experiment")) {  // other programs keep their results here too, for scripts/quote_results
            results[entry.path().stem().string()] = json;
          }
        } catch (const Json::exception& error) {
          throw std::invalid_argument(entry.path().string() + ": " + error.what());
        }
      }
    }
  }
  std::vector<fs::path> other;
  const auto write = [&](const fs::path& file, const std::string& now, const std::string& wanted) {
    if (now != wanted) {
      other.push_back(file);
      if (!check) {
        example::write_file(file, wanted);
      }
    }
  };
  for (const auto& [name, json] : results) {
    const fs::path file = kept / (name + ".md");
    const std::string text = "# " + json.at("paper").get<std::string>() + ", " + json.at("place").get<std::string>() + ": " +
                             json.at("title").get<std::string>() + "\n\n" + json.at("shows").get<std::string>() +
                             " Expected: " + json.at("expected").get<std::string>() + "\n\n" + results_markdown(json, {});
    write(file, content_of(file), text);
  }
  for (const fs::path& file : markdown_files(root)) {
    const std::string text = content_of(file);
    if (text.find(begin_mark) != std::string::npos) {
      write(file, text, Blocks(file, results).replaced(text));
    }
  }
  return other;
}

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
// Compares what benchmarks measured with what is asked of them, and fails where something falls short.
//
//   targets_table TARGETS.txt RESULT.json...       the table, and Google Benchmark's JSON output
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <limits>
#include <map>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct Target {
  std::string what;
  std::regex benchmarks;
  std::string counter;
  bool at_most = true;
  double value = 0;
};

struct Result {
  std::string name;
  std::map<std::string, double> numbers;
};

std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::ifstream opened(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  return file;
}

/// Columns are parted by " | " so that a regular expression may hold a bare |.
std::vector<Target> read_targets(const std::string& path) {
  std::ifstream file = opened(path);
  std::vector<Target> targets;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') {
      continue;
    }
    std::vector<std::string> columns;
    std::size_t from = 0;
    for (std::size_t to = line.find(" | "); to != std::string::npos; to = line.find(" | ", from)) {
      columns.push_back(trimmed(line.substr(from, to - from)));
      from = to + 3;
    }
    columns.push_back(trimmed(line.substr(from)));
    if (columns.size() != 5 || (columns[3] != "<=" && columns[3] != ">=")) {
      throw std::runtime_error(path + ": cannot read the line: " + line);
    }
    targets.push_back({columns[0], std::regex(columns[1]), columns[2], columns[3] == "<=", std::stod(columns[4])});
  }
  return targets;
}

/// Google Benchmark writes one `"key": value,` a line, each benchmark's name first.
void read_results(const std::string& path, std::vector<Result>& results, std::map<std::string, std::string>& context) {
  std::ifstream file = opened(path);
  const std::regex entry("^\\s*\"([^\"]+)\": (\"(.*)\"|[^\",]+),?$");
  std::string line;
  bool in_benchmarks = false;
  while (std::getline(file, line)) {
    in_benchmarks = in_benchmarks || line.find("\"benchmarks\": [") != std::string::npos;
    std::smatch match;
    if (!std::regex_match(line, match, entry)) {
      continue;
    }
    if (!in_benchmarks) {
      context[match[1]] = match[3].matched ? match[3].str() : match[2].str();
    } else if (match[1] == "name") {
      results.push_back({match[3], {}});
    } else if (!results.empty() && !match[3].matched) {
      char* end = nullptr;
      const std::string text = match[2];
      const double number = std::strtod(text.c_str(), &end);
      if (end != text.c_str()) {
        results.back().numbers[match[1]] = number;
      }
    }
  }
}

std::string shown(double value) {
  std::ostringstream text;
  text << std::setprecision(3) << std::fixed << value;
  return text.str();
}

/// Prints one target and what was measured; whether it is met.
bool check(const Target& target, const std::vector<Result>& results) {
  const auto falls_short = [&](double value) { return !(target.at_most ? value <= target.value : value >= target.value); };
  std::vector<const Result*> matching, short_of;
  const Result* worst = nullptr;
  for (const Result& result : results) {
    const auto found = result.numbers.find(target.counter);
    if (found == result.numbers.end() || !std::regex_search(result.name, target.benchmarks)) {
      continue;
    }
    matching.push_back(&result);
    const double value = found->second;
    if (worst == nullptr ||
        (target.at_most ? value > worst->numbers.at(target.counter) : value < worst->numbers.at(target.counter))) {
      worst = &result;
    }
    if (falls_short(value)) {
      short_of.push_back(&result);
    }
  }
  std::cout << (worst == nullptr || !short_of.empty() ? "SHORT  " : "met    ") << target.what << ' '
            << (target.at_most ? "<=" : ">=") << ' ' << target.value << ": ";
  if (worst == nullptr) {
    std::cout << "not measured\n";
    return false;
  }
  std::cout << matching.size() - short_of.size() << " of " << matching.size() << ", the worst "
            << shown(worst->numbers.at(target.counter)) << '\n';
  for (const Result* result : short_of) {
    std::cout << "         " << result->name.substr(0, result->name.find("/iterations:")) << "  "
              << shown(result->numbers.at(target.counter));
    const auto low = result->numbers.find(target.counter + "_low"), high = result->numbers.find(target.counter + "_high");
    if (low != result->numbers.end() && high != result->numbers.end()) {
      std::cout << "  (" << shown(low->second) << " to " << shown(high->second) << ')';
    }
    std::cout << '\n';
  }
  return short_of.empty();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc < 3) {
      throw std::runtime_error("targets_table TARGETS.txt RESULT.json...");
    }
    std::vector<Result> results;
    std::map<std::string, std::string> context;
    for (int k = 2; k < argc; ++k) {
      read_results(argv[k], results, context);
    }
    std::cout << "machine   " << context["machine"] << "\ncompiler  " << context["compiler"] << "\nlibtorch  "
              << context["libtorch"] << "\ndate      " << context["date"] << "\n\n";
    bool all = true;
    for (const Target& target : read_targets(argv[1])) {
      all = check(target, results) && all;
    }
    std::cout << (all ? "\nEvery target is met.\n" : "\nNot every target is met.\n");
    return all ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}

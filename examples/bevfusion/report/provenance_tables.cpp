// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/provenance_tables.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include "support/svg.hpp"

namespace bevfusion {
namespace {

constexpr const char* seed_field = "training.seed";

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string whole(double value) {
  if (!std::isfinite(value)) {
    return "-";
  }
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.0f", value);
  return text.data();
}

/// "3 h 05 min", "41 min", "12 s".
std::string duration(double seconds) {
  if (!std::isfinite(seconds)) {
    return "-";
  }
  std::array<char, 48> text{};
  const auto minutes = static_cast<long long>(seconds / 60 + 0.5);
  if (seconds < 100) {
    std::snprintf(text.data(), text.size(), "%.3g s", seconds);
  } else if (minutes < 60) {
    std::snprintf(text.data(), text.size(), "%lld min", minutes);
  } else {
    std::snprintf(text.data(), text.size(), "%lld h %02lld min", minutes / 60, minutes % 60);
  }
  return text.data();
}

std::string data_of(const RunRecord& run) {
  const std::string root = run.config_of("data.root");
  const std::string version = run.config_of("data.version");
  return root.empty() || version.empty() ? root + version : root + ", " + version;
}

/// Values of a field among a group's runs, in the order in which they are met.
std::vector<std::string> values_of(const RunGroup& group, const std::string& field) {
  std::vector<std::string> values;
  for (const RunRecord& run : group.runs) {
    const std::string value = run.config_of(field);
    if (!run.config.empty() && std::find(values.begin(), values.end(), value) == values.end()) {
      values.push_back(value);
    }
  }
  return values;
}

std::string joined(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) {
    out += (out.empty() ? "" : "; ") + or_dash(text);
  }
  return or_dash(out);
}

/// Every so many steps are logged; the last ones of a training may not be.
double steps_between_lines(const RunRecord& run) {
  const std::string every = run.config_of("training.log_every");
  return every.empty() ? 1 : std::max(1.0, std::strtod(every.c_str(), nullptr));
}

std::vector<std::string> fields_of(const std::vector<RunGroup>& groups) {
  std::vector<std::string> fields;
  std::set<std::string> seen;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const auto& field : run.config) {
        if (seen.insert(field.first).second) {
          fields.push_back(field.first);
        }
      }
    }
  }
  return fields;
}

/// A path as part of an address.
std::string address(const std::string& path) {
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string("-_.~/").find(c) != std::string::npos) {
      out += c;
    } else {
      std::array<char, 4> code{};
      std::snprintf(code.data(), code.size(), "%%%02X", static_cast<unsigned>(byte));
      out += code.data();
    }
  }
  return out;
}

std::string evaluated_on(const RunRecord& run) {
  if (run.details.samples == 0 && run.details.split.empty()) {
    return "";
  }
  const std::string split = run.details.split.empty() ? run.config_of("data.validation_split") : run.details.split;
  return (split.empty() ? "" : split + ", ") + whole(run.details.samples) + " samples";
}

}  // namespace

TableRows run_rows(const std::vector<RunGroup>& groups) {
  TableRows rows{{"run", "folder", "seed", "calibrator, gate", "data set", "evaluated on", "parameters", "of twins", "steps",
                  "device", "training took", "begun", "version"}};
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      const RunFacts& facts = run.facts;
      const std::string device = facts.precision.empty() ? facts.device : facts.device + ", " + facts.precision;
      const std::string rule = facts.gate.empty() ? facts.calibrator : facts.calibrator + ", " + facts.gate;
      const std::string steps = facts.last_step == 0 ? "-" : whole(facts.last_step);
      rows.push_back({group.name, run.folder.lexically_normal().string(), or_dash(run.config_of(seed_field)), or_dash(rule),
                      or_dash(data_of(run)), or_dash(evaluated_on(run)), whole(run.parameters), whole(run.twin_parameters), steps,
                      or_dash(device), duration(run.training_seconds()), or_dash(facts.begun), or_dash(facts.version)});
    }
  }
  return rows;
}

TableRows config_rows(const std::vector<RunGroup>& groups) {
  TableRows rows{{"field"}};
  for (const RunGroup& group : groups) {
    rows[0].push_back(group.name);
  }
  for (const std::string& field : fields_of(groups)) {
    std::set<std::set<std::string>> kinds;
    std::vector<std::string> row = {field};
    bool within = false;
    for (const RunGroup& group : groups) {
      const std::vector<std::string> values = values_of(group, field);
      if (!values.empty()) {
        kinds.insert({values.begin(), values.end()});
      }
      within = within || (values.size() > 1 && field != seed_field);
      row.push_back(joined(values));
    }
    if (kinds.size() > 1 || within) {
      rows.push_back(row);
    }
  }
  return rows;
}

std::vector<std::string> cautions(const std::vector<RunGroup>& groups) {
  std::vector<std::string> out;
  std::set<std::string> evaluations;
  std::set<bool> directed;
  for (const RunGroup& group : groups) {
    std::string differing;
    for (const std::string& field : fields_of({group})) {
      if (field != seed_field && values_of(group, field).size() > 1) {
        differing += (differing.empty() ? "" : ", ") + field;
      }
    }
    if (!differing.empty()) {
      out.push_back("Runs of " + group.name + " differ in more than their seed: " + differing + ".");
    }
    for (const RunRecord& run : group.runs) {
      if (!evaluated_on(run).empty()) {
        evaluations.insert(evaluated_on(run));
      }
      if (run.steps.count("gamma_task") > 0) {
        directed.insert(!run.facts.gamma_pair.empty());
      }
      if (run.facts.last_step + steps_between_lines(run) <= run.facts.steps) {
        out.push_back(run.folder.string() + " has not ended: its log is at step " + whole(run.facts.last_step) + " of " +
                      whole(run.facts.steps) + ".");
      }
    }
  }
  if (evaluations.size() > 1) {
    std::string kinds;
    for (const std::string& one : evaluations) {
      kinds += (kinds.empty() ? "" : "; ") + one;
    }
    out.push_back("The runs were not evaluated on the same samples: " + kinds + ".");
  }
  if (directed.size() > 1) {
    out.push_back(
        "Some logs are older and have γ without a direction, the larger over the smaller norm, never below 1; others have it "
        "with "
        "one. The two cannot be compared.");
  }
  return out;
}

std::string address_of(const RunRecord& run, const std::string& file, const std::filesystem::path& page_folder) {
  std::error_code problem;
  std::filesystem::path folder = std::filesystem::relative(run.folder, page_folder, problem);
  if (problem || folder.empty()) {
    folder = std::filesystem::absolute(run.folder);
  }
  return example::escaped(address((folder / file).generic_string()));
}

std::string links_to(const RunRecord& run, const std::filesystem::path& page_folder) {
  std::string html = "<li>" + example::escaped(run.folder.lexically_normal().string()) + ":";
  for (const std::string& file : run.facts.files) {
    const std::string name = file == "predictions/index.html" ? "pictures" : file == "attention/index.html" ? "attention" : file;
    html += " <a href=\"" + address_of(run, file, page_folder) + "\">" + name + "</a>";
  }
  return html + (run.facts.files.empty() ? " nothing there" : "") + "</li>\n";
}

}  // namespace bevfusion

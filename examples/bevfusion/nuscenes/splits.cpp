// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/splits.hpp"

#include <cstdio>
#include <set>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"
#include "bevfusion/nuscenes/split_table.hpp"

namespace bevfusion {

namespace {

template <typename Runs>
std::vector<std::string> spell_out(const Runs& runs) {
  std::vector<std::string> names;
  for (const SceneRun& run : runs) {
    for (int n = run.first; n <= run.last; ++n) {
      char name[24];
      std::snprintf(name, sizeof name, "scene-%04d", n);
      names.emplace_back(name);
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> official_split(const std::string& split) {
  if (split == "train") return spell_out(train_runs);
  if (split == "val") return spell_out(val_runs);
  if (split == "test") return spell_out(test_runs);
  if (split == "mini_train") return spell_out(mini_train_runs);
  if (split == "mini_val") return spell_out(mini_val_runs);
  throw DataError("no split '" + split + "': train, val, test, mini_train and mini_val are known");
}

std::string official_name(const std::filesystem::path& tables, const std::string& split) {
  const bool mini = tables.filename() == "v1.0-mini" && !std::filesystem::exists(tables / "splits.json");
  return mini && (split == "train" || split == "val") ? "mini_" + split : split;
}

std::vector<std::string> scenes_of_split(const std::filesystem::path& tables, const std::string& split) {
  const std::filesystem::path own = tables / "splits.json";
  if (!std::filesystem::exists(own)) return official_split(official_name(tables, split));
  std::vector<std::string> names;
  std::set<std::string> known;
  JsonRowsVisitor visitor;
  visitor.text = [&](const std::string& key, const std::string& name) {
    known.insert(key);
    if (key == split) names.push_back(name);
  };
  visit_json_rows(own, visitor);
  if (names.empty()) {
    std::string all;
    for (const std::string& name : known) all += (all.empty() ? "" : ", ") + name;
    fail(own.string(), "has no scenes of split '" + split + "'; it has scenes of: " + all);
  }
  return names;
}

std::vector<std::string> known_splits(const std::filesystem::path& tables) {
  const std::filesystem::path own = tables / "splits.json";
  if (!std::filesystem::exists(own)) return {"train", "val", "test", "mini_train", "mini_val"};
  std::set<std::string> known;
  JsonRowsVisitor visitor;
  visitor.text = [&known](const std::string& key, const std::string& /*name*/) { known.insert(key); };
  visit_json_rows(own, visitor);
  return {known.begin(), known.end()};
}

}  // namespace bevfusion

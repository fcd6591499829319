// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/weights/init_from.hpp"

#include <algorithm>
#include <ostream>
#include <set>
#include <sstream>
#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {
namespace {

bool starts_with(const std::string& text, const std::string& start) { return text.compare(0, start.size(), start) == 0; }

std::string sizes_of(torch::IntArrayRef sizes) {
  std::ostringstream text;
  text << sizes;
  return text.str();
}

/// The towers that networks of this program consist of; their names stand in front of a checkpoint's.
std::string without_tower(const std::string& name) {
  std::vector<std::string> towers = {"model."};
  for (const TaskSheet& task : head_sheets()) {
    towers.push_back(task.name + "_tower.");
  }
  for (const std::string& tower : towers) {
    if (starts_with(name, tower)) {
      return name.substr(tower.size());
    }
  }
  return name;
}

InitReport init_branch(const std::string& path, const std::string& names, BevFusion& tower, const std::string& branch) {
  StateFile file(path);
  const std::string beside = path + ".names";
  const std::string map = names.empty() && std::filesystem::exists(beside) ? beside : names;
  InitReport report = init_from(file, map.empty() ? NameMap() : NameMap(map), *tower, branch);
  if (report.matched.empty()) {
    fail(path, "none of its " + std::to_string(file.names().size()) + " tensors is one of the network's under " + branch +
                   (map.empty() ? "; a map of names is missing: " + beside : ": see " + map));
  }
  return report;
}

}  // namespace

InitReport init_from(StateFile& file, const NameMap& names, torch::nn::Module& module, const std::string& prefix) {
  const torch::NoGradGuard no_grad;
  std::map<std::string, torch::Tensor> ours;
  for (const auto& parameter : module.named_parameters()) {
    ours[parameter.key()] = parameter.value();
  }
  for (const auto& buffer : module.named_buffers()) {
    ours[buffer.key()] = buffer.value();
  }
  InitReport report;
  std::set<std::string> filled;
  std::vector<std::pair<std::string, Renamed>> later;
  const auto take = [&](const std::string& theirs, const Renamed& renamed) {
    torch::Tensor& target = ours.at(renamed.name);
    // What is subtracted has the shape of what is there, too.
    const torch::Tensor value = converted(file.tensor(theirs), renamed.conversion, target.sizes());
    if (!value.defined()) {
      report.mismatched.emplace_back(
          theirs, renamed.name + " is " + sizes_of(target.sizes()) + ", it is " + sizes_of(file.sizes(theirs)));
      return;
    }
    const torch::Tensor fitting = value.to(target.device(), target.scalar_type());
    if (renamed.conversion == Conversion::subtracted) {
      target.sub_(fitting);
    } else {
      target.copy_(fitting);
    }
    filled.insert(renamed.name);
    report.matched.emplace_back(theirs, renamed.name);
  };
  for (const std::string& theirs : file.names()) {
    auto renamed = names.find(theirs);
    if (renamed && ours.count(renamed->name) == 0) {
      renamed->name = without_tower(renamed->name);
    }
    if (!renamed || ours.count(renamed->name) == 0 || !starts_with(renamed->name, prefix)) {
      report.unmatched.push_back(theirs);
    } else if (renamed->conversion == Conversion::subtracted) {
      later.emplace_back(theirs, *renamed);
    } else if (filled.count(renamed->name) == 0) {  // of several towers in a checkpoint the first
      take(theirs, *renamed);
    }
  }
  for (const auto& [theirs, renamed] : later) {
    take(theirs, renamed);
  }
  for (const auto& entry : ours) {
    if (starts_with(entry.first, prefix) && filled.count(entry.first) == 0) {
      report.unfilled.push_back(entry.first);
    }
  }
  return report;
}

void print(const InitReport& report, std::ostream& out) {
  for (const auto& [theirs, ours] : report.matched) {
    out << "  " << theirs << " -> " << ours << '\n';
  }
  for (const auto& [theirs, why] : report.mismatched) {
    out << "  not used, another shape: " << theirs << " (" << why << ")\n";
  }
  for (const std::string& theirs : report.unmatched) {
    out << "  not used, no such tensor here: " << theirs << '\n';
  }
  for (const std::string& ours : report.unfilled) {
    out << "  not in the file: " << ours << '\n';
  }
  out << report.matched.size() << " tensors matched, " << report.mismatched.size() << " have another shape, "
      << report.unmatched.size() << " of the file are not used, " << report.unfilled.size() << " of the network are not in it\n";
}

void init_network(Network& network, const InitConfig& config, std::ostream& say) {
  const auto start = [&](const std::string& path, const std::string& names, const char* modality, const char* branch) {
    if (path.empty()) {
      return;
    }
    bool first = true;
    for (BevFusion tower : network->towers()) {
      const std::vector<std::string>& modalities = tower->modalities();
      if (std::find(modalities.begin(), modalities.end(), modality) == modalities.end()) {
        throw std::invalid_argument(path + ": the network has no " + modality + " branch to start from it");
      }
      const InitReport report = init_branch(path, names, tower, branch);
      if (first) {
        say << "The " << modality << " branch starts from " << path << ":\n";
        print(report, say);
        first = false;
      }
    }
  };
  start(config.lidar, config.lidar_names, "lidar", "lidar.");
  start(config.camera, config.camera_names, "camera", "images.");
}

}  // namespace bevfusion

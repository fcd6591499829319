// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/version.h>

#include <fuller/graph/walk.hpp>

namespace fuller::detail {

/// One backward, as an identity that no other ever has. The address of what the engine keeps of a backward is no such thing: the
/// next one may get it. Dies with the backward, also with one that throws.
class Running {
 public:
  /// That of this thread; null outside of a backward.
  static std::shared_ptr<const Running> now() {
    const void* nodes = torch::autograd::get_current_graph_task_nodes_in_graph();
    if (nodes == nullptr) {
      return nullptr;
    }
    static std::mutex mutex;
    static std::unordered_map<const void*, std::weak_ptr<const Running>> all;  // by the address, while it lives
    const std::lock_guard<std::mutex> lock(mutex);
    if (auto known = all[nodes].lock()) {
      return known;
    }
    for (auto entry = all.begin(); entry != all.end();) {
      entry = entry->second.expired() ? all.erase(entry) : std::next(entry);
    }
    auto made = std::make_shared<const Running>();
    all[nodes] = made;
    torch::autograd::Engine::get_default_engine().queue_callback([made] {});  // the engine's hold on it
    return made;
  }

  static bool is(const std::weak_ptr<const Running>& one) {
    const auto alive = one.lock();
    return alive != nullptr && alive == now();
  }
};

/// The graph task of which `nodes` is the member: the engine gives that out, never the task itself.
inline torch::autograd::GraphTask& task_of(const std::unordered_set<Node*>& nodes) {
  using torch::autograd::GraphTask;
  alignas(GraphTask) static const unsigned char space[sizeof(GraphTask)]{};
  const auto* nowhere = reinterpret_cast<const GraphTask*>(space);
  const auto offset = reinterpret_cast<const unsigned char*>(&nowhere->nodes_in_graph_) - space;
  auto* member = reinterpret_cast<unsigned char*>(const_cast<std::unordered_set<Node*>*>(&nodes));
  return *reinterpret_cast<GraphTask*>(member - offset);
}

/// Whether all that the running backward sends into a leaf's node has arrived there, and passed its hooks.
inline bool has_arrived(const Node* leaf) {
  const auto* nodes = torch::autograd::get_current_graph_task_nodes_in_graph();
  if (nodes == nullptr || nodes->count(const_cast<Node*>(leaf)) == 0) {
    return false;
  }
  torch::autograd::GraphTask& task = task_of(*nodes);
  const std::lock_guard<std::mutex> lock(task.mutex_);
  if (!task.exec_info_.empty()) {
    const auto info = task.exec_info_.find(const_cast<Node*>(leaf));
#if TORCH_VERSION_MAJOR >= 2
    const bool runs_hooks = info != task.exec_info_.end() && info->second.should_execute();
#else
    const bool runs_hooks = info != task.exec_info_.end() && info->second.needed_;  // captures pass no hook
#endif
    if (!runs_hooks) {
      return false;
    }
  }
  return task.dependencies_.count(const_cast<Node*>(leaf)) == 0;
}

}  // namespace fuller::detail

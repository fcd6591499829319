// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/autograd/step.hpp>

namespace fuller::detail {

/// The open step whose fork one of the losses reaches, or null.
inline std::shared_ptr<Step> step_of(State& state, const std::vector<Edge>& loss_edges) {
  std::vector<std::shared_ptr<Step>> steps;
  std::vector<std::weak_ptr<Step>> alive;
  for (const auto& open : state.open_steps) {
    if (auto step = open.lock()) {
      steps.push_back(std::move(step));
      alive.push_back(open);
    }
  }
  state.open_steps = std::move(alive);
  std::shared_ptr<Step> found;
  NodeSet seen;
  for (const Edge& loss : loss_edges) {
    walk(loss, seen, [&](const Edge& edge) {
      for (const auto& step : steps) {
        if (step->fork == edge.function.get()) {
          found = step;
        }
      }
      return !found;
    });
    if (found) {
      break;
    }
  }
  return found;
}

/// The forks of this calibration's other open steps.
inline std::vector<const Node*> other_forks(const State& state, const Step& step) {
  std::vector<const Node*> forks;
  for (const auto& open : state.open_steps) {
    const auto other = open.lock();
    if (other && other.get() != &step) {
      forks.push_back(other->fork);
    }
  }
  return forks;
}

/// Finds what each loss reaches on its way back to the fork: its head's nodes and parameters.
///
/// @return what forbids weights at the fork, in words, with the way out; empty if nothing does: each loss reaches the fork's
/// output for its own task, the trunk through the fork alone, and no parameter of another head.
/// @throws Error for a loss behind two forks.
inline std::string explore_heads(const State& state, Step& step, const std::vector<Edge>& loss_edges) {
  NodeSet trunk;
  const std::vector<Node*>& way = step.linear_way;
  std::size_t entries = 0;
  for (const Edge& root : step.roots) {
    walk(root, trunk, [&](const Edge& edge) {
      entries += static_cast<std::size_t>(std::count(way.begin(), way.end(), edge.function.get()));
      return true;
    });
  }
  if (entries > way.size()) {
    step.linear = {};  // the weight is used again further back, so its gradient is not that of this product alone
  }
  const std::vector<const Node*> elsewhere = other_forks(state, step);
  std::unordered_map<const void*, std::size_t> owners;
  const char* or_all_shared =
      ", or, for losses that share more than the trunk (several of one head, a skip connection), set options.surface = "
      "fuller::Surface::all_shared";
  std::ostringstream problem;
  for (std::size_t k = 0; k < loss_edges.size() && problem.tellp() == 0; ++k) {
    const std::size_t task = step.given[k];
    bool reached = false;
    walk(loss_edges[k], [&](const Edge& edge) {
      if (problem.tellp() != 0) {
        return false;
      }
      const Node* node = edge.function.get();
      if (node == step.fork) {
        const std::size_t slot = edge.input_nr / step.roots.size();
        if (slot != task) {
          problem << "the loss of '" << state.tasks[task] << "' is computed from the fork's output for '" << state.tasks[slot]
                  << "'";
        }
        reached = true;
        return false;
      }
      if (std::find(elsewhere.begin(), elsewhere.end(), node) != elsewhere.end()) {
        fail("the loss of '", state.tasks[task], "' depends on two calls of fork(); go backward from a sum() for each of them, ",
             "or join the inputs of both along the batch");
      }
      if (trunk.contains(node)) {
        problem << "the loss of '" << state.tasks[task] << "' reaches the shared trunk past the fork, at " << node->name()
                << "; feed its head from fork() alone" << or_all_shared;
        return false;
      }
      if (const at::Tensor* leaf = leaf_of(node)) {
        const auto [owner, is_new] = owners.emplace(leaf->unsafeGetTensorImpl(), task);
        if (state.shared.contains(*leaf)) {
          problem << "a parameter of shape " << leaf->sizes() << " was shared in an earlier step";
        } else if (is_new) {
          step.heads[task].push_back(*leaf);
        } else if (owner->second != task) {
          problem << "a head parameter of shape " << leaf->sizes() << " is shared by '" << state.tasks[owner->second] << "' and '"
                  << state.tasks[task] << "'; give each head its own" << or_all_shared;
        }
        return false;
      }
      step.inside.insert(node);
      step.custom[task] = step.custom[task] || is_custom(*node);
      return true;
    });
    if (!reached && problem.tellp() == 0) {
      problem << "the loss of '" << state.tasks[task] << "' does not depend on the fork's output for it; feed its head from that";
    }
    for (const at::Tensor& named : state.named_heads[task]) {
      const auto [owner, is_new] = owners.emplace(named.unsafeGetTensorImpl(), task);
      if (is_new) {
        step.heads[task].push_back(named);
      } else if (owner->second != task && problem.tellp() == 0) {
        problem << "a head parameter of shape " << named.sizes() << " named for '" << state.tasks[task] << "' is also one of '"
                << state.tasks[owner->second] << "'; give each head its own" << or_all_shared;
      }
    }
  }
  return problem.str();
}

/// Makes every parameter that two or more losses reach, or that lies behind the fork, the step's surface, unless that was named,
/// and the rest the heads of the one task that reaches them. A parameter that was shared in one step is so in all: tasks may be
/// absent. Where nothing is shared, each task is measured by all it reaches.
inline void explore_all(State& state, Step& step, const std::vector<Edge>& loss_edges) {
  struct Reached {
    at::Tensor parameter;
    std::vector<std::size_t> tasks;
    bool shared = false;
  };
  std::unordered_map<const void*, std::size_t> places;
  std::vector<Reached> leaves;
  for (std::size_t k = 0; k < loss_edges.size(); ++k) {
    walk(loss_edges[k], [&](const Edge& edge) {
      const Node* node = edge.function.get();
      step.inside.insert(node);
      if (const at::Tensor* leaf = leaf_of(node)) {
        const auto [place, is_new] = places.emplace(leaf->unsafeGetTensorImpl(), leaves.size());
        if (is_new) {
          leaves.push_back({*leaf, {}});
        }
        Reached& reached = leaves[place->second];
        if (reached.tasks.empty() || reached.tasks.back() != step.given[k]) {
          reached.tasks.push_back(step.given[k]);
        }
        reached.shared = reached.tasks.size() > 1 || state.shared.contains(*leaf);
        return false;
      }
      return true;
    });
  }
  for (const Edge& root : step.roots) {
    walk(root, [&](const Edge& edge) {
      const at::Tensor* leaf = leaf_of(edge.function.get());
      const auto place = leaf == nullptr ? places.end() : places.find(leaf->unsafeGetTensorImpl());
      if (place != places.end()) {
        leaves[place->second].shared = true;
      }
      return true;
    });
  }
  step.heads.assign(state.tasks.size(), {});
  std::vector<at::Tensor> shared;
  for (const Reached& reached : leaves) {
    if (reached.shared) {
      shared.push_back(reached.parameter);
      state.shared.insert(reached.parameter);
    } else {
      step.heads[reached.tasks.front()].push_back(reached.parameter);
    }
  }
  if (step.named) {
    return;
  }
  if (state.options.ranks.average) {
    shared = state.shared.trained();  // the same list on every rank, whichever tasks it has in this step
  }
  step.surface = std::move(shared);
  if (step.surface.empty()) {
    for (const Reached& reached : leaves) {
      step.surface.push_back(reached.parameter);
    }
  }
  step.surface_edges.clear();
  for (const at::Tensor& parameter : step.surface) {
    step.surface_edges.push_back(gradient_edge(parameter));
  }
}

/// Refuses what ranks could not agree on: which parameters are shared shows in a step with every task.
inline void expect_all_tasks_once(State& state, const Step& step) {
  state.saw_all_tasks = state.saw_all_tasks || step.given.size() == state.tasks.size();
  const bool depends =
      state.surface == Surface::all_shared && !step.named && (always_measured(state) || state.options.measure_every > 0);
  if (state.options.ranks.average && depends && !state.saw_all_tasks) {
    fail("on several ranks the first step of Surface::all_shared needs the loss of every task on every rank: it tells which ",
         "parameters are shared");
  }
}

/// Decides where this step's weights are chosen, and refuses in words what neither way can do exactly.
inline void choose_route(State& state, Step& step, const std::vector<Edge>& loss_edges) {
  expect_all_tasks_once(state, step);
  step.heads.assign(state.tasks.size(), {});
  step.custom.assign(state.tasks.size(), false);
  step.inside.clear();
  std::string problem = step.fork == nullptr
                            ? "no loss depends on an output of fork(); feed the heads from z = calibration.fork(trunk(x)), or, "
                              "where that trunk is frozen and nothing shared is trained, add the losses yourself"
                            : explore_heads(state, step, loss_edges);
  if (problem.empty()) {
    step.route = Step::Route::fork;
    return;
  }
  if (state.surface != Surface::all_shared) {
    fail(problem);
  }
  step.inside.clear();
  explore_all(state, step, loss_edges);
  step.route = Step::Route::sum;
}

}  // namespace fuller::detail

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/state.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The open step whose fork one of the losses reaches, or null.
inline std::shared_ptr<Step> step_of(const State& state, const std::vector<Edge>& loss_edges) {
  const std::vector<std::shared_ptr<Step>> steps = state.open_steps.alive();
  std::shared_ptr<Step> found;
  NodeSet seen;
  for (const Edge& loss : loss_edges) {
    walk(loss, seen, [&](const Edge& edge) {
      for (const auto& step : steps) {
        if (step->fork_node() == edge.function.get()) {
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
  for (const auto& other : state.open_steps.alive()) {
    if (other.get() != &step) {
      forks.push_back(other->fork_node());
    }
  }
  return forks;
}

/// Finds what each loss reaches on its way back to the fork: its head's nodes and parameters.
///
/// @return what forbids weights at the fork, in words, with the way out; empty if nothing does: each loss reaches the fork's
/// output for its own task, the trunk through the fork alone, and no parameter of another head.
/// @throws Error for a loss of two forks.
inline std::string explore_heads(const State& state, const Step& step, Summed& summed, Seen& seen,
                                 const std::vector<Edge>& loss_edges) {
  NodeSet trunk;
  const std::vector<Edge>& roots = step.forked->roots;
  const std::vector<Node*>& way = summed.compared.product_to_weight;
  std::size_t entries = 0;
  std::vector<WeakTensor>& shared = seen.shared;
  for (const Edge& root : roots) {
    walk(root, trunk, [&](const Edge& edge) {
      entries += static_cast<std::size_t>(std::count(way.begin(), way.end(), edge.function.get()));
      const at::Tensor* leaf = leaf_of(edge.function.get());
      if (leaf != nullptr && !trunk.contains(edge.function.get())) {
        shared.push_back(weak(*leaf));
      }
      return true;
    });
  }
  for (std::size_t k = 0;
       summed.compared.named && state.plan->surface != Surface::all_shared && k < summed.compared.parameters.size(); ++k) {
    const at::Tensor& parameter = summed.compared.parameters[k];
    const auto is_it = [&](const WeakTensor& one) { return locked(one).is_same(parameter); };
    if (std::none_of(shared.begin(), shared.end(), is_it)) {
      fail(called(*state.names, parameter, "shared parameter"),
           " given to fork() is not upstream of the tensors given with it: it belongs ",
           "to a head or to another network, or lies inside a checkpoint, where the graph does not show it; name parameters on "
           "the ",
           "way to z, or choose Surface::representation");
    }
  }
  if (entries > way.size()) {
    summed.compared.product = {};  // the weight is used again further back, so its gradient is not that of this product alone
  }
  const std::vector<const Node*> elsewhere = other_forks(state, step);
  std::unordered_map<const void*, std::size_t> owners;
  const char* or_all_shared =
      ", or, for losses that share more than the trunk (several of one head, a skip connection, a consistency of two heads), set "
      "options.surface = fuller::Surface::all_shared";
  const ParameterNames& names = *state.names;
  std::ostringstream problem;
  for (std::size_t k = 0; k < loss_edges.size() && problem.tellp() == 0; ++k) {
    const std::size_t task = summed.given[k];
    bool reached = false;
    walk(loss_edges[k], [&](const Edge& edge) {
      if (problem.tellp() != 0) {
        return false;
      }
      const Node* node = edge.function.get();
      if (node == step.fork_node()) {
        const std::size_t slot = edge.input_nr / roots.size();
        if (slot != task) {
          problem << "the loss of '" << state.tasks()[task] << "' is computed from the fork's output for '" << state.tasks()[slot]
                  << "'; feed each head from its own" << or_all_shared;
        }
        reached = true;
        return false;
      }
      if (std::find(elsewhere.begin(), elsewhere.end(), node) != elsewhere.end()) {
        fail("the loss of '", state.tasks()[task],
             "' depends on two calls of fork(), or on another than the losses before it; go ",
             "backward from a sum() for each of them, or join the inputs of both along the batch, or set options.surface = ",
             "fuller::Surface::all_shared and call no fork() at all");
      }
      if (trunk.contains(node)) {
        problem << "the loss of '" << state.tasks()[task] << "' reaches the shared trunk past the fork, at ";
        if (const at::Tensor* leaf = leaf_of(node)) {
          problem << called(names, *leaf)
                  << "; a regulariser of the trunk's parameters goes into the optimiser's weight decay, or "
                  << "outside the sum, calibration.sum({...}) + term; a head is fed from fork() alone";
        } else {
          problem << node->name()
                  << "; feed its head from fork() alone, a skip connection too: calibration.fork_levels({z, skip}), "
                  << "which gives each task both";
        }
        problem << or_all_shared;
        return false;
      }
      if (const at::Tensor* leaf = leaf_of(node)) {
        const auto [owner, is_new] = owners.emplace(leaf->unsafeGetTensorImpl(), task);
        if (state.shared.contains(*leaf)) {
          problem << called(names, *leaf) << " was shared in an earlier step";
        } else if (is_new) {
          summed.heads[task].push_back(*leaf);
        } else if (owner->second != task) {
          problem << called(names, *leaf, "head parameter") << " is shared by '" << state.tasks()[owner->second] << "' and '"
                  << state.tasks()[task] << "'; give each head its own" << or_all_shared;
        }
        return false;
      }
      summed.inside.insert(node);
      summed.custom[task] = summed.custom[task] || is_custom(*node);
      return true;
    });
    if (!reached && problem.tellp() == 0) {
      problem << "the loss of '" << state.tasks()[task]
              << "' does not depend on the fork's output for it; feed its head from that, "
              << "or, where that is meant (detached features, a network of its own), add the loss outside the sum: "
              << "calibration.sum({..., torch::Tensor(), ...}) + loss";
    }
    for (const at::Tensor& named : state.named_heads[task]) {
      if (trunk.contains(gradient_edge(named).function.get())) {
        fail("head() of '", state.tasks()[task], "' was given ", called(names, named),
             ", which lies upstream of fork() and so is shared; give it the parameters of that head alone");
      }
      const auto [owner, is_new] = owners.emplace(named.unsafeGetTensorImpl(), task);
      if (is_new) {
        summed.heads[task].push_back(named);
      } else if (owner->second != task && problem.tellp() == 0) {
        problem << called(names, named, "head parameter") << " named for '" << state.tasks()[task] << "' is also one of '"
                << state.tasks()[owner->second] << "'; give each head its own" << or_all_shared;
      }
    }
  }
  return problem.str();
}

/// A parameter, and the tasks whose losses reach it.
struct Reached {
  at::Tensor parameter;
  std::vector<std::size_t> tasks;
  bool shared = false;  ///< by two of them, in this step or an earlier one, or because it lies upstream of the fork
};

/// Finds what each loss reaches, all the way back.
inline std::vector<Reached> explore_leaves(const State& state, const Forked* forked, Summed& summed,
                                           const std::vector<Edge>& loss_edges) {
  std::unordered_map<const void*, std::size_t> places;
  std::vector<Reached> leaves;
  for (std::size_t k = 0; k < loss_edges.size(); ++k) {
    walk(loss_edges[k], [&](const Edge& edge) {
      const Node* node = edge.function.get();
      summed.inside.insert(node);
      if (const at::Tensor* leaf = leaf_of(node)) {
        const auto [place, is_new] = places.emplace(leaf->unsafeGetTensorImpl(), leaves.size());
        if (is_new) {
          leaves.push_back({*leaf, {}});
        }
        Reached& reached = leaves[place->second];
        if (reached.tasks.empty() || reached.tasks.back() != summed.given[k]) {
          reached.tasks.push_back(summed.given[k]);
        }
        reached.shared = reached.tasks.size() > 1 || state.shared.contains(*leaf);
        return false;
      }
      return true;
    });
  }
  for (const Edge& root : forked == nullptr ? std::vector<Edge>() : forked->roots) {
    walk(root, [&](const Edge& edge) {
      const at::Tensor* leaf = leaf_of(edge.function.get());
      const auto place = leaf == nullptr ? places.end() : places.find(leaf->unsafeGetTensorImpl());
      if (place != places.end()) {
        leaves[place->second].shared = true;
      }
      return true;
    });
  }
  return leaves;
}

/// Refuses what ranks could not agree on: which parameters are shared shows in a step with every task.
inline void expect_all_tasks_once(State& state, const Summed& summed, const std::vector<at::Tensor>& leaves) {
  const bool depends = !summed.compared.named && state.plan->ever_measures();
  if (!state.options().ranks.average || !depends) {
    return;
  }
  const bool all = summed.given.size() == state.tasks().size();
  for (const at::Tensor& parameter : leaves) {
    if (all) {
      state.reached_by_all.insert(parameter);
    } else if (!state.reached_by_all.contains(parameter)) {
      fail(
          "on several ranks the first step of Surface::all_shared, and the first after parameters were unfrozen, needs the loss "
          "of ",
          "every task on every rank: it tells which parameters are shared; ", called(*state.names, parameter),
          " has been in no such step yet");
    }
  }
}

/// The same where the fork was found in order: what lies upstream of it, and the heads.
inline void expect_all_tasks_once(State& state, const Summed& summed, const Seen& seen) {
  std::vector<at::Tensor> leaves;
  for (const WeakTensor& parameter : seen.shared) {
    leaves.push_back(locked(parameter));
  }
  for (const auto& head : summed.heads) {
    leaves.insert(leaves.end(), head.begin(), head.end());
  }
  expect_all_tasks_once(state, summed, leaves);
}

/// Has every parameter compared that two or more losses reach, or that lies upstream of the fork, unless some were named;
/// the rest are the heads of the one task that reaches them. A parameter that was shared in one step is so in all: tasks may be
/// absent. Where one loss alone is there and nothing is known to be shared, its task is measured by all it reaches.
/// @return whether there is nothing to compare: two losses or more share nothing that is trained
inline bool explore_all(State& state, Summed& summed, Seen& seen, const std::vector<Reached>& leaves) {
  summed.heads.assign(state.tasks().size(), {});
  std::vector<at::Tensor> shared;
  for (const Reached& reached : leaves) {
    if (reached.shared) {
      shared.push_back(reached.parameter);
      state.shared.insert(reached.parameter);
    } else {
      summed.heads[reached.tasks.front()].push_back(reached.parameter);
    }
  }
  seen.shared.clear();
  for (const at::Tensor& parameter : shared) {
    seen.shared.push_back(weak(parameter));
  }
  Compared& compared = summed.compared;
  if (compared.named) {
    return false;
  }
  const bool on_ranks = static_cast<bool>(state.options().ranks.average);
  if (on_ranks) {
    shared = state.shared.trained();  // the same list on every rank, whichever tasks it has in this step
  }
  compared.parameters = std::move(shared);
  const bool nothing = compared.parameters.empty() && (summed.given.size() > 1 || (on_ranks && state.tasks().size() > 1));
  if (compared.parameters.empty() && on_ranks) {
    compared.parameters = state.reached_by_all.trained();
  } else if (compared.parameters.empty()) {
    for (const Reached& reached : leaves) {
      compared.parameters.push_back(reached.parameter);
    }
  }
  compared.edges.clear();
  for (const at::Tensor& parameter : compared.parameters) {
    compared.edges.push_back(gradient_edge(parameter));
  }
  return nothing;
}

/// The route of a step in which nothing that is shared is trained. A rule that compares no gradients has its say as ever.
inline Route route_without_shared(const State& state, Compared& compared) {
  if (state.plan->rule.needs().gram) {
    compared.parameters.clear();
    compared.edges.clear();
    return Route::plain;
  }
  return Route::sum;
}

/// Has all ranks compare the same list: what was ever shared, also where a modality is absent in this step and part of it is not
/// reached.
inline void compare_all_ever_shared(State& state, Compared& compared) {
  if (!state.options().ranks.average || compared.named) {
    return;
  }
  for (const at::Tensor& parameter : compared.parameters) {
    state.shared.insert(parameter);
  }
  compared.parameters = state.shared.trained();
  compared.edges.clear();
  for (const at::Tensor& parameter : compared.parameters) {
    compared.edges.push_back(gradient_edge(parameter));
  }
}

/// Decides where the weights of a sum of the losses in `summed` are chosen, and refuses in words what neither way can do exactly.
inline void choose_route(State& state, const Step& step, Summed& summed, const std::vector<Edge>& loss_edges) {
  const Forked* forked = step.forked.get();
  auto seen = std::make_shared<Seen>();
  if (forked != nullptr) {
    summed.compared = forked->compared;
    seen->representation = forked->representation;
    seen->untrained = forked->untrained;
  }
  summed.heads.assign(state.tasks().size(), {});
  summed.custom.assign(state.tasks().size(), false);
  std::string problem = forked == nullptr
                            ? "no loss depends on an output of fork(); feed the heads from z = calibration.fork(trunk(x)), or, "
                              "without fork() and for every parameter that two losses share, set options.surface = "
                              "fuller::Surface::all_shared"
                            : explore_heads(state, step, summed, *seen, loss_edges);
  const bool may_be_apart = forked == nullptr && state.frozen_fork;
  if (!problem.empty() && state.plan->surface != Surface::all_shared && !may_be_apart) {
    fail(problem);
  }
  if (problem.empty()) {
    summed.route = Route::fork;
    if (state.plan->surface == Surface::all_shared) {
      expect_all_tasks_once(state, summed, *seen);
      compare_all_ever_shared(state, summed.compared);
    }
  } else {
    summed.inside.clear();
    const std::vector<Reached> leaves = explore_leaves(state, forked, summed, loss_edges);
    std::vector<at::Tensor> parameters;
    for (const Reached& reached : leaves) {
      parameters.push_back(reached.parameter);
    }
    expect_all_tasks_once(state, summed, parameters);
    if (state.plan->surface != Surface::all_shared) {
      for (const Reached& reached : leaves) {
        if (reached.tasks.size() > 1) {
          fail("nothing upstream of the tensors given to fork() is trained, but ", called(*state.names, reached.parameter),
               " is shared by '", state.tasks()[reached.tasks[0]], "' and '", state.tasks()[reached.tasks[1]],
               "'; give fork() the output of the last layer that is shared and trained, or set options.surface = "
               "fuller::Surface::all_shared");
        }
      }
    }
    const bool nothing = explore_all(state, summed, *seen, leaves) || state.plan->surface != Surface::all_shared;
    summed.route = nothing ? route_without_shared(state, summed.compared) : Route::sum;
  }
  for (const at::Tensor& parameter : summed.compared.parameters) {
    seen->surface.push_back(weak(parameter));
  }
  summed.seen = std::move(seen);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

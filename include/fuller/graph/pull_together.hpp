// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/libtorch_nodes.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/graph/walk.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What T tasks send into one place of a graph; undefined where a task sends nothing.
struct SentTogether {
  Edge into;
  std::vector<at::Tensor> cotangents;
};

/// What forbids to walk what lies upstream of `roots` node by node beside the engine, in words; empty where nothing does.
/// @param passable  a node of fuller's that sends on what it is given
inline std::string why_not_together(const std::vector<Edge>& roots, const Node* passable = nullptr) {
  if (is_restricted_backward()) {  // whoever calls a node in it gets the gradients that lead to those inputs alone
    return "a backward to some inputs alone";
  }
  NodeSet seen;
  std::string why;
  for (const Edge& root : roots) {
    walk(root, seen, [&](const Edge& edge) {
      Node& node = *edge.function;
      if (!why.empty() || seen.contains(&node)) {
        return false;
      }
      if (&node != passable && !is_branch_gate(node) && is_fullers(node)) {
        why = "another calibration's fork() or sum(), at " + node.name();
      } else if (!runs_where_this_does(node)) {
        why = "a part of the model on another device or stream, at " + node.name();
      }
      return why.empty();
    });
  }
  return why;
}

/// Cotangents of several tasks on their way through one graph together: each node is called once for each task before the next
/// node is, so of the gradients of `targets` only one target's T are held at a time. The engine would hold those of all targets.
///
/// Of a matrix that is read by one product alone, not even its own T gradients are formed where whoever compares them can do so
/// by what arrives at the product.
///
/// Hooks between are called as the engine calls them; those of leaves are not, nor is anything added to `.grad`, and the graph is
/// kept. A node runs when all that lies downstream of it has run, the latest of the forward first.
class PulledTogether {
  struct Place {
    int missing = 0;                                           ///< edges from nodes that have not run yet
    bool leads_on = false;                                     ///< whether a target lies upstream
    std::vector<Gradients> arrived;                            ///< by task; a list is empty as long as nothing has come
    std::vector<std::pair<std::size_t, std::size_t>> targets;  ///< an input of the node, and the target that it is
  };

 public:
  PulledTogether(const std::vector<SentTogether>& sent, const std::vector<Edge>& targets, std::size_t tasks) : tasks_(tasks) {
    for (std::size_t k = 0; k < targets.size(); ++k) {
      places_[targets[k].function.get()].targets.emplace_back(targets[k].input_nr, k);
    }
    for (const SentTogether& one : sent) {
      find_way(one.into.function.get());
    }
    for (const SentTogether& one : sent) {
      Node* const node = one.into.function.get();
      for (std::size_t i = 0; i < tasks_ && concerns(node); ++i) {
        if (one.cotangents[i].defined()) {
          arrive(one.into, i, fitted(one.cotangents[i], one.into));
        }
      }
      if (concerns(node) && places_.at(node).missing == 0) {
        ready_.push(node);
      }
    }
  }

  /// Calls f(target, x) for each target that is the matrix of a product x W which alone reads it. To be called before run().
  template <class F>
  void for_each_matrix(const F& f) const {
    for (const auto& [node, place] : places_) {
      const std::optional<MatrixProduct> product = place.leads_on ? product_with_rows(*node) : std::nullopt;
      std::vector<Node*> between;
      if (const auto target = product ? matrix_at(node->next_edge(product->of_weight), between) : std::nullopt) {
        f(*target, product->x);
      }
    }
  }

  /// @param depth      of nested passes, which one more is meanwhile
  /// @param take       called for each target but those below: its number, and T gradients, undefined where a task's came not
  /// @param take_rows  asked for each target that is the matrix W of a product x W which alone reads it: its number, x, and T
  ///                   cotangents of the product, undefined where a task's came not; false where it would rather take gradients
  template <class Take, class TakeRows>
  void run(int& depth, const Take& take, const TakeRows& take_rows) {
    const NestedPass nested(depth);
    const at::NoGradGuard no_grad;
    while (!ready_.empty()) {
      Node* const node = ready_.top();
      ready_.pop();
      const auto found = places_.find(node);
      if (found == places_.end()) {
        continue;  // two roots are one
      }
      Place place = std::move(found->second);
      places_.erase(found);
      place.arrived.resize(tasks_);
      run_hooks(*node, place);
      for (const auto& [input, target] : place.targets) {
        std::vector<at::Tensor> gradients(tasks_);
        for (std::size_t i = 0; i < tasks_; ++i) {
          if (!place.arrived[i].empty()) {
            gradients[i] = place.arrived[i][input];
          }
        }
        take(target, std::move(gradients));
      }
      if (place.leads_on && !pass_product(*node, place, take_rows)) {
        pass(*node, place);
      }
    }
  }

 private:
  struct LatestFirst {
    bool operator()(const Node* a, const Node* b) const { return a->sequence_nr() < b->sequence_nr(); }
  };

  bool concerns(Node* node) const { return places_.count(node) != 0; }
  /// Whether there is a target at the end of the edge, or upstream of it.
  bool leads_to(const Edge& edge) const { return edge.function && concerns(edge.function.get()); }

  /// Notes for all nodes from here to the targets how many edges lead to them.
  /// @return whether there is a target at the node, or upstream of it
  bool find_way(Node* start) {
    struct Open {
      Node* node;
      std::size_t next;
      bool leads_on;
    };
    std::vector<Open> open{{start, 0, false}};
    const auto known = [&](Node* node) { return ways_.find(node); };
    if (known(start) != ways_.end()) {
      return ways_.at(start);
    }
    while (true) {
      Open& top = open.back();
      const auto& edges = top.node->next_edges();
      if (top.next == edges.size()) {
        const Open done = top;
        const bool concerned = done.leads_on || concerns(done.node);
        ways_[done.node] = concerned;
        if (done.leads_on) {
          places_[done.node].leads_on = true;
        }
        open.pop_back();
        if (open.empty()) {
          return concerned;
        }
        continue;
      }
      Node* const next = edges[top.next].function.get();
      if (next == nullptr) {
        ++top.next;
        continue;
      }
      const auto way = known(next);
      if (way == ways_.end()) {
        open.push_back({next, 0, false});
        continue;
      }
      if (way->second) {
        top.leads_on = true;
        ++places_[next].missing;
      }
      ++top.next;
    }
  }

  void arrive(const Edge& at, std::size_t task, const at::Tensor& gradient) {
    Place& place = places_.at(at.function.get());
    place.arrived.resize(tasks_);
    Gradients& inputs = place.arrived[task];
    if (inputs.empty()) {
      inputs.resize(at.function->num_inputs());
    }
    at::Tensor& input = inputs[at.input_nr];
    input = input.defined() ? sum_of(input, gradient) : gradient;
  }

  /// Whether it is real numbers in memory, all of them.
  static bool is_array(const at::Tensor& tensor) {
    return tensor.layout() == at::kStrided && at::isFloatingType(tensor.scalar_type());
  }

  static bool is_leaf(const Node& node) { return leaf_of(&node) != nullptr; }

  static void run_hooks(Node& node, Place& place) {
    if (is_leaf(node)) {
      return;
    }
    for (Gradients& inputs : place.arrived) {
      if (!inputs.empty()) {
        inputs = past_hooks(node, std::move(inputs));
      }
    }
  }

  /// The product x W at this node, if the rows of x are known, and nobody looks at what the node sends on.
  static std::optional<MatrixProduct> product_with_rows(Node& node) {
    std::optional<MatrixProduct> product = matrix_product(node);
    if (product && (!product->x.defined() || !is_array(product->x) || !node.post_hooks().empty())) {
      product.reset();
    }
    return product;
  }

  /// The target that is the matrix at this edge of a product, if nothing else reads or watches it; the nodes between are noted.
  std::optional<std::size_t> matrix_at(const Edge& edge, std::vector<Node*>& between) const {
    for (Node* node = edge.function.get(); node != nullptr; node = node->next_edge(0).function.get()) {
      const auto found = places_.find(node);
      if (found == places_.end() || found->second.missing != 1 || !found->second.arrived.empty()) {
        return std::nullopt;
      }
      between.push_back(node);
      if (is_leaf(*node)) {
        return found->second.targets.size() == 1 ? std::optional(found->second.targets.front().second) : std::nullopt;
      }
      if (!found->second.targets.empty() || is_watched(*node) || !is_transposition(node->name())) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  /// pass() without the gradients of the matrix, where these are not wanted.
  template <class TakeRows>
  bool pass_product(Node& node, Place& place, const TakeRows& take_rows) {
    const std::optional<MatrixProduct> product = product_with_rows(node);
    if (!product) {
      return false;
    }
    std::vector<Node*> between;
    const std::optional<std::size_t> target = matrix_at(node.next_edge(product->of_weight), between);
    std::vector<at::Tensor> cotangents(tasks_);
    for (std::size_t i = 0; i < tasks_; ++i) {
      if (!place.arrived[i].empty()) {
        cotangents[i] = place.arrived[i].front();
      }
    }
    const bool are_rows = std::all_of(cotangents.begin(), cotangents.end(),
                                      [](const at::Tensor& cotangent) { return !cotangent.defined() || is_array(cotangent); });
    if (!target || !are_rows || !take_rows(*target, product->x, cotangents)) {
      return false;
    }
    for (Node* one : between) {
      places_.erase(one);
    }
    const Edge to_x = node.next_edge(product->of_x);
    const Edge to_bias = product->has_bias ? node.next_edge(product->of_bias) : Edge();
    for (std::size_t i = 0; i < tasks_; ++i) {
      if (!cotangents[i].defined()) {
        continue;
      }
      if (leads_to(to_x)) {
        arrive(to_x, i, fitted(cotangents[i].mm(product->weight.t()), to_x));
      }
      if (leads_to(to_bias)) {
        arrive(to_bias, i, fitted(cotangents[i], to_bias));
      }
    }
    for (const Edge& edge : {to_x, to_bias}) {
      has_run(edge);
    }
    return true;
  }

  void pass(Node& node, Place& place) {
    for (std::size_t i = 0; i < tasks_; ++i) {
      if (place.arrived[i].empty()) {
        continue;
      }
      const Gradients outputs = run_alone(node, std::move(place.arrived[i]));
      for (std::size_t e = 0; e < outputs.size(); ++e) {
        const Edge& edge = node.next_edge(e);
        if (leads_to(edge) && outputs[e].defined()) {
          arrive(edge, i, fitted(outputs[e], edge));
        }
      }
    }
    for (const Edge& edge : node.next_edges()) {
      has_run(edge);
    }
  }

  /// Notes that what this edge comes from has run.
  void has_run(const Edge& edge) {
    if (leads_to(edge) && --places_.at(edge.function.get()).missing == 0) {
      ready_.push(edge.function.get());
    }
  }

  std::size_t tasks_;
  std::unordered_map<Node*, Place> places_;
  std::unordered_map<Node*, bool> ways_;
  std::priority_queue<Node*, std::vector<Node*>, LatestFirst> ready_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

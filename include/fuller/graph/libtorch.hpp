// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/SequenceNumber.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/real.h>
#include <c10/core/ScalarType.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/version.h>

// The door to LibTorch's autograd: what no version of it promises is named here and in libtorch_nodes.hpp, and nowhere else. For
// each assumption tests/integration/libtorch_assumptions_test.cpp has a case.

namespace fuller {
inline namespace v0_1 {
namespace detail {

using torch::autograd::Edge;
using torch::autograd::FunctionPreHook;
using torch::autograd::Node;
using Gradients = torch::autograd::variable_list;

/// The leaf tensor whose gradient `node` accumulates, or null for any other node.
inline const at::Tensor* leaf_of(const Node* node) {
  if (!node->next_edges().empty()) {  // a leaf ends the graph; asking this first spares most casts
    return nullptr;
  }
  const auto* accumulate = dynamic_cast<const torch::autograd::AccumulateGrad*>(node);
  return accumulate == nullptr ? nullptr : &accumulate->variable;
}

/// Where the engine delivers the gradient of `tensor`: its producer's output, or the accumulation node of a leaf.
inline Edge gradient_edge(const at::Tensor& tensor) { return torch::autograd::impl::gradient_edge(tensor); }

/// Whether `node` is one that the autograd function F made.
template <class F>
bool is_node_of(const Node& node) {
  return dynamic_cast<const torch::autograd::CppNode<F>*>(&node) != nullptr;
}

/// Whether a tensor hook may change the gradient that arrives at a node.
inline bool has_hooks(Node& node) {
#if TORCH_VERSION_MAJOR >= 2
  if (!node.tensor_pre_hooks().empty()) {
    return true;
  }
#endif
  return !node.pre_hooks().empty();
}

/// Whether anything is called with what arrives at a node or with what it sends on: tensor hooks, retain_grad(), hooks of the
/// node's own.
inline bool is_watched(Node& node) {
#if TORCH_VERSION_MAJOR >= 2
  if (!node.retains_grad_hooks().empty()) {
    return true;
  }
#endif
  return has_hooks(node) || !node.post_hooks().empty();
}

// The backward that runs in this thread.

/// Its nodes, but for its roots; null outside of a backward. The set is the engine's, and its address is this backward's as long
/// as that runs.
inline const std::unordered_set<Node*>* nodes_of_backward() { return torch::autograd::get_current_graph_task_nodes_in_graph(); }

inline bool is_in_backward(const Node* node) {
  const auto* nodes = nodes_of_backward();
  return nodes != nullptr && nodes->count(const_cast<Node*>(node)) != 0;
}

/// Calls f in this thread when the backward is through, in the order of these calls. Where the backward throws, f is destroyed
/// without a call.
inline void at_end_of_backward(std::function<void()> f) {
  torch::autograd::Engine::get_default_engine().queue_callback(std::move(f));
}

/// The same after everything that was queued so by then: a data-parallel reducer queues its callback in the backward, and copies
/// its buckets over `.grad` there.
inline void at_very_end_of_backward(std::function<void()> f) {
  at_end_of_backward([last = std::move(f)] { at_end_of_backward(last); });
}

/// The engine's record of the running backward, of which `nodes` is a member: it gives that out, never itself.
inline torch::autograd::GraphTask& task_of(const std::unordered_set<Node*>& nodes) {
  using torch::autograd::GraphTask;
  alignas(GraphTask) static const unsigned char space[sizeof(GraphTask)]{};
  const auto* nowhere = reinterpret_cast<const GraphTask*>(space);
  const auto offset = reinterpret_cast<const unsigned char*>(&nowhere->nodes_in_graph_) - space;
  auto* member = reinterpret_cast<unsigned char*>(const_cast<std::unordered_set<Node*>*>(&nodes));
  return *reinterpret_cast<GraphTask*>(member - offset);
}

/// The nodes that have been sent something and wait for more. To be called in a backward, until whose end they live. A list,
/// since the engine's lock may be held while none but the engine's own code runs.
inline std::vector<const Node*> waiting_nodes() {
  torch::autograd::GraphTask& task = task_of(*nodes_of_backward());
  std::vector<const Node*> nodes;
  const std::lock_guard<std::mutex> lock(task.mutex_);
  nodes.reserve(task.not_ready_.size());
  for (const auto& waiting : task.not_ready_) {
    nodes.push_back(&*waiting.first);
  }
  return nodes;
}

/// Whether all that the running backward sends into a leaf's node has arrived there, and passed its hooks.
inline bool has_arrived(const Node* leaf) {
  if (!is_in_backward(leaf)) {
    return false;
  }
  torch::autograd::GraphTask& task = task_of(*nodes_of_backward());
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

/// Whether the running backward is one to some inputs alone: `autograd::grad`, or backward() with `inputs`.
inline bool is_restricted_backward() {
  const auto* nodes = nodes_of_backward();
  return nodes != nullptr && !task_of(*nodes).exec_info_.empty();
}

/// Whether the running backward leaves in the graph what it has read there, for another.
inline bool keeps_graph() { return task_of(*nodes_of_backward()).keep_graph_; }

/// Whether the node that runs is the only one left to send into this leaf's node, and none has sent before it.
inline bool is_fed_by_this_alone(const Node* leaf) {
  torch::autograd::GraphTask& task = task_of(*nodes_of_backward());
  const std::lock_guard<std::mutex> lock(task.mutex_);
  const auto senders = task.dependencies_.find(const_cast<Node*>(leaf));
  return senders != task.dependencies_.end() && senders->second == 1 && task.not_ready_.count(const_cast<Node*>(leaf)) == 0;
}

/// How many autograd nodes this thread has made. A backward makes none, unless a checkpoint in it runs its forward again: so a
/// difference betrays a checkpoint.
inline std::uint64_t nodes_made() { return at::sequence_number::peek(); }

/// How many nodes the engine itself makes for run_between() of these cotangents: a common root where there are several.
inline std::uint64_t engine_nodes(const std::vector<at::Tensor>& cotangents) {
  std::uint64_t roots = 0;
  for (const at::Tensor& cotangent : cotangents) {
    roots += cotangent.defined() ? 1 : 0;
  }
  return roots > 1 ? 1 : 0;
}

/// What arrives at `targets` when `seeds` are sent into `roots`: the engine runs only the nodes between them, keeps the graph,
/// and accumulates into no `.grad`. A target that is not reached comes back undefined.
inline std::vector<at::Tensor> run_between(const std::vector<Edge>& roots, const std::vector<at::Tensor>& seeds,
                                           const std::vector<Edge>& targets) {
  return torch::autograd::Engine::get_default_engine().execute(roots, seeds, /*keep_graph=*/true, /*create_graph=*/false,
                                                               /*accumulate_grad=*/false, targets);
}

/// Whether a node's operation belongs to the device and the stream that this thread is at. Where it has none, on the CPU, it
/// does.
inline bool runs_where_this_does(const Node& node) {
  for (std::uint32_t k = 0; k < node.num_inputs(); ++k) {
    const auto& input = node.input_metadata(k);
    if (input.device().is_cpu()) {
      continue;
    }
    const c10::impl::VirtualGuardImpl here(input.device().type());
    if (input.stream() != here.getStream(here.getDevice())) {
      return false;
    }
  }
  return true;
}

/// What hooks make of what arrives at a node; retain_grad() is left to the pass that trains.
inline Gradients past_hooks(Node& node, Gradients inputs) {
#if TORCH_VERSION_MAJOR >= 2
  for (const auto& hook : node.tensor_pre_hooks()) {
    inputs = (*hook)(inputs);
  }
#endif
  for (const auto& hook : node.pre_hooks()) {
    inputs = (*hook)(inputs);
  }
  return inputs;
}

/// What a node makes of what has passed its hooks, outside of the engine. It keeps what it has saved.
inline Gradients run_alone(Node& node, Gradients inputs) {
  if (node.post_hooks().empty()) {
    return node(std::move(inputs));
  }
  Gradients outputs = node(Gradients(inputs));
  for (const auto& hook : node.post_hooks()) {
    outputs = (*hook)(outputs, inputs);
  }
  return outputs;
}

/// What a node sends along an edge, in the shape and type of the tensor that it is the gradient of: a broadcast is undone here,
/// as the engine does between nodes.
inline at::Tensor fitted(at::Tensor gradient, const Edge& edge) {
  const auto& wanted = edge.function->input_metadata(edge.input_nr);
  if (!wanted.is_same_shape(gradient)) {
    gradient = wanted.reduce_grad(gradient);
  }
  const at::ScalarType type = wanted.options().dtype().toScalarType();
  if (gradient.is_complex() && !at::isComplexType(type)) {
    gradient = at::real(gradient);
  }
  return gradient.to(type);
}

/// The sum of two gradients that arrive at one place, of which one may be sparse, as the engine forms it.
inline at::Tensor sum_of(const at::Tensor& first, const at::Tensor& second) {
  return first.layout() != at::kStrided && second.layout() == at::kStrided ? second + first : first + second;
}

/// Has leaves get these gradients as from a backward, past all hooks of theirs, inside a running one.
inline void run_into_leaves(const std::vector<Edge>& leaves, const std::vector<at::Tensor>& gradients) {
  torch::autograd::Engine::get_default_engine().execute(leaves, gradients, /*keep_graph=*/false, /*create_graph=*/false,
                                                        /*accumulate_grad=*/true, {});
}

// Hooks of parameters.

/// The hooks of a parameter that run first: its own from LibTorch 2.0 on; before that, those run in the node, and even that only
/// where a gradient comes.
inline auto& first_hooks_of([[maybe_unused]] const at::Tensor& parameter, [[maybe_unused]] const Edge& leaf) {
#if TORCH_VERSION_MAJOR >= 2
  return torch::autograd::impl::hooks(parameter);
#else
  return leaf.function->pre_hooks();
#endif
}

/// Has `hook` run on what the running backward captures at a leaf, `autograd::grad`'s result: from LibTorch 2.0 on that passes
/// the parameter's hooks anyway, and this does nothing.
/// @param make  called for each such capture, gives a hook
template <class Make>
void hook_captures([[maybe_unused]] const Edge& leaf, [[maybe_unused]] const Make& make) {
#if TORCH_VERSION_MAJOR < 2
  struct CaptureHook : torch::autograd::GraphTask::ExecInfo::Capture::GradCaptureHook {
    explicit CaptureHook(std::unique_ptr<FunctionPreHook> hook) : hook_(std::move(hook)) {}
    at::Tensor operator()(const at::Tensor& gradient) override { return (*hook_)({gradient})[0]; }
    std::unique_ptr<FunctionPreHook> hook_;
  };
  auto& infos = task_of(*nodes_of_backward()).exec_info_;
  const auto info = infos.find(leaf.function.get());
  if (info != infos.end() && info->second.captures_) {
    for (auto& capture : *info->second.captures_) {
      capture.hooks_.push_back(std::make_unique<CaptureHook>(make()));
    }
  }
#endif
}

/// Keeps the hooks of parameters from running while gradients of them are captured, which they do from LibTorch 2.0 on: they are
/// to see the one gradient that trains.
class HooksAside {
 public:
  explicit HooksAside([[maybe_unused]] const std::vector<at::Tensor>& parameters) {
#if TORCH_VERSION_MAJOR >= 2
    for (const at::Tensor& parameter : parameters) {
      auto& hooks = torch::autograd::impl::hooks(parameter);
      if (!hooks.empty()) {
        parameters_.push_back(parameter);
        aside_.push_back(std::move(hooks));
        hooks.clear();
      }
    }
#endif
  }
  ~HooksAside() {  // NOLINT(modernize-use-equals-default): it is empty before LibTorch 2 alone
#if TORCH_VERSION_MAJOR >= 2
    for (std::size_t k = 0; k < parameters_.size(); ++k) {
      torch::autograd::impl::hooks(parameters_[k]) = std::move(aside_[k]);
    }
#endif
  }
  HooksAside(const HooksAside&) = delete;
  HooksAside& operator=(const HooksAside&) = delete;

 private:
#if TORCH_VERSION_MAJOR >= 2
  std::vector<at::Tensor> parameters_;
  std::vector<std::vector<std::unique_ptr<FunctionPreHook>>> aside_;
#endif
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

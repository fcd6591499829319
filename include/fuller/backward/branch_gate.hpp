// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/graph_task.h>

#include <fuller/backward/capsule.hpp>
#include <fuller/backward/pending_updates.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/gates/modality_gate.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/graph/running.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller::detail {

struct GatedPass;

/// What the modality level keeps from step to step.
struct Modalities {
  struct Hook {
    at::Tensor weight;
    unsigned id = 0;
  };

  Modalities(ModalityGate modality_gate, std::vector<std::string> branch_names)
      : gate(std::move(modality_gate)), names(std::move(branch_names)) {
    const auto branches = static_cast<int>(names.size());
    state.assign(static_cast<std::size_t>(gate.state_size(branches)), 0.0);
    scratch.assign(static_cast<std::size_t>(gate.scratch_size(branches)), 0.0);
    gate.initialise(branches, state.data());
    scales.assign(names.size(), 1.0);
    squared_norms.assign(names.size(), 0.0);
    sizes.assign(names.size(), 0.0);
    present.assign(names.size(), 0);
    widths.assign(names.size(), 0);
  }
  ~Modalities() {
    for (auto& entry : hooks) {
      try {
        entry.second.weight.remove_hook(entry.second.id);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the user has cleared the weight's hooks, ours too
      }
    }
  }
  Modalities(const Modalities&) = delete;
  Modalities& operator=(const Modalities&) = delete;

  ModalityGate gate;
  std::vector<std::string> names;
  std::vector<double> state;
  std::vector<double> scratch;
  std::vector<double> scales;         ///< w_m of the last step
  std::vector<double> squared_norms;  ///< of the last step
  std::vector<double> sizes;
  std::vector<std::uint8_t> present;
  std::vector<std::int64_t> widths;                  ///< channels of each branch, as last seen
  std::unordered_map<const void*, Hook> hooks;       ///< one for each fusion weight
  std::vector<std::weak_ptr<GatedPass>> open_steps;  ///< steps whose graph is alive
  std::int64_t moved_in = -1;                        ///< State::backwards when the gates moved last
  PendingUpdates pending;                            ///< gates on updates that no step() has applied yet
  std::shared_ptr<GatesOnDevice> device;             ///< does the arithmetic where given, as State::device does

  /// Takes what GatesOnDevice::packed() gave apart, from a copy on the host.
  void unpack(const at::Tensor& numbers) {
    const double* next = numbers.data_ptr<double>();
    for (std::vector<double>* list : {&state, &scales, &squared_norms}) {
      std::copy_n(next, list->size(), list->begin());
      next += list->size();
    }
  }
  void read() {
    if (device) {
      unpack(device->packed().to(at::kCPU));
    }
  }
};

/// Cotangents of one unweighted loss at a gate in the backward that runs, and the parameters beyond that are to get them, gated.
struct PlainCotangents {
  std::weak_ptr<const Running> run;
  std::weak_ptr<HeadSubstitutes> into;  ///< which the backward keeps
  std::vector<at::Tensor> parameters;
  std::vector<at::Tensor> cotangents;  ///< one for each branch that passes through
};

/// One forward pass through a gate, until its backward has run.
struct GatedPass {
  std::shared_ptr<State> state;
  std::shared_ptr<Modalities> modalities;
  const Node* node = nullptr;        ///< the gate's node
  std::vector<const void*> weights;  ///< one for all branches, or one for each
  std::vector<std::int64_t> widths;  ///< channels each branch has in the one weight; 0 where it is absent
  std::vector<std::uint8_t> present;
  std::vector<std::size_t> through;  ///< the branches that pass through the node, in its order
  std::vector<double> squared_norms;
  std::vector<double> sizes;
  at::Tensor device_norms;            ///< the squared norms where the step runs on a device
  std::vector<at::Tensor> fusion;     ///< the weights, in the order of `weights`
  std::vector<at::Tensor> gradients;  ///< and theirs, where ranks have to average them first
  std::vector<bool> weights_seen;     ///< whose gradients the backward that runs has shown
  std::weak_ptr<const Running> run;   ///< and which that is
  std::vector<PlainCotangents> plain;
  JoinedBranches joined;  ///< while this lives, walks tell its branches apart
  bool shut = false;      ///< lets nothing through in passes of our own

  /// Forgets what another backward has shown.
  void begin() {
    if (Running::is(run)) {
      return;
    }
    run = Running::now();
    weights_seen.assign(weights.size(), false);
    squared_norms.assign(squared_norms.size(), 0.0);
    device_norms = at::Tensor();
    gradients.assign(gradients.size(), at::Tensor());
  }
};

/// Takes the norms of the gradient of fusion weight k: of its slices where it is the one of all branches, else of the whole.
inline void take_norms(GatedPass& step, std::size_t k, const at::Tensor& gradient) {
  const bool of_all_branches = step.fusion.size() == 1;
  const std::int64_t channels = gradient.size(1);
  const at::IntArrayRef widths = of_all_branches ? at::IntArrayRef(step.widths) : at::IntArrayRef(&channels, 1);
  const std::size_t first = of_all_branches ? 0 : k;
  if (GatesOnDevice* const device = step.modalities->device.get()) {
    if (!step.device_norms.defined()) {
      step.device_norms = device->no_norms();
    }
    device->take_norms(gradient, widths, step.device_norms, static_cast<std::int64_t>(first));
  } else {
    slice_squared_norms(gradient, widths, /*dim=*/1, step.squared_norms.data() + first);
  }
  for (std::size_t m = 0; m < widths.size(); ++m) {
    step.sizes[first + m] =
        static_cast<double>(gradient.numel()) * static_cast<double>(widths[m]) / static_cast<double>(channels);
  }
}

/// Takes the norms of a fusion weight's gradient for the gate step that runs in the current backward.
inline void receive_fusion_gradient(Modalities& modalities, const void* weight, const at::Tensor& gradient) {
  const auto* running = torch::autograd::get_current_graph_task_nodes_in_graph();
  if (running == nullptr || !gradient.defined()) {
    return;
  }
  const at::NoGradGuard no_grad;
  for (const auto& open : modalities.open_steps) {
    const auto step = open.lock();
    if (!step || step->state->nested > 0 || running->count(const_cast<Node*>(step->node)) == 0) {
      continue;
    }
    step->begin();
    for (std::size_t k = 0; k < step->weights.size(); ++k) {
      if (step->weights[k] != weight) {
        continue;
      }
      if (step->state->options().ranks.average) {
        step->gradients[k] = gradient.clone();
      } else {
        take_norms(*step, k, gradient);
      }
      step->weights_seen[k] = true;
    }
  }
}

/// Makes the step's gradients, and which branches are present, those of all ranks together, and takes the norms.
/// @return false, with no norms taken, where no rank has anything to gate.
inline bool take_norms_of_all_ranks(GatedPass& step, bool anything_here) {
  const at::NoGradGuard no_grad;
  const Ranks& ranks = step.state->options().ranks;
  step.present.push_back(anything_here ? 1 : 0);
  agree_on_presence(ranks, step.present);
  const bool anything = step.present.back() != 0;
  step.present.pop_back();
  if (!anything) {
    return false;
  }
  std::vector<std::vector<at::Tensor>> lists{std::exchange(step.gradients, std::vector<at::Tensor>(step.fusion.size()))};
  average_lists(ranks, step.fusion, lists);
  for (std::size_t k = 0; k < step.fusion.size(); ++k) {
    take_norms(step, k, lists.front()[k]);
  }
  return true;
}

/// The joint node on the branch features before the first fusion layer: the same features out.
///
/// Its backward runs after the fusion weight's own gradient is complete (leaves come first on a device's queue), whose slices'
/// norms set the gates; each branch's cotangent is multiplied by its gate, and so is every gradient behind it.
struct BranchGate : torch::autograd::Function<BranchGate> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, at::TensorList branches,
                                                std::shared_ptr<GatedPass> step) {
    context->set_materialize_grads(false);
    context->saved_data["step"] = capsule(std::move(step));
    return branches.vec();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list cotangents) {
    const auto step = open_capsule<GatedPass>(context->saved_data["step"]);
    if (at::GradMode::is_enabled()) {
      fail("a backward with create_graph through gate() is refused: the gates would be applied twice; leave gate() out where ",
           "losses hold derivatives of outputs (a PINN, a gradient penalty)");
    }
    if (step->state->nested > 0) {
      if (step->shut) {
        cotangents.assign(cotangents.size(), at::Tensor());
      }
      cotangents.emplace_back();  // nothing for the step
      return cotangents;
    }
    if (NestedPass::on_this_thread() > 0) {
      fail("the task gradients of another calibration are formed through the gates; give rule and gates to one Calibration");
    }
    Modalities& modalities = *step->modalities;
    step->begin();
    const std::vector<PlainCotangents> plain = take_plain(*step);
    expect_one_call(*step);
    const std::vector<bool> here = branches_here(cotangents, plain);
    // Where every loss behind them has weight 0, nothing comes, and there is nothing to compare.
    bool anything = std::find(here.begin(), here.end(), true) != here.end();
    if (anything) {
      expect_all_branches(*step, here);
      expect_all_weights(*step, here);
      expect_order(*step, cotangents);
    }
    if (step->state->options().ranks.average) {
      anything = take_norms_of_all_ranks(*step, anything);
    }
    if (anything) {
      open_gates(*step);
      modalities.moved_in = step->state->backwards;
      if (modalities.gate.options.target == GateTarget::gradient) {
        for (const PlainCotangents& of_loss : plain) {
          send_plain(*step, of_loss);
        }
        gate_all(*step, cotangents);
      } else {
        note_pending(*step);
      }
    }
    step->run.reset();          // what another backward of a retained graph shows is its own
    cotangents.emplace_back();  // nothing for the step
    return cotangents;
  }

 private:
  /// The gates have one state, which moves once in a step.
  static void expect_one_call(const GatedPass& step) {
    const auto* running = torch::autograd::get_current_graph_task_nodes_in_graph();
    for (const auto& open : step.modalities->open_steps) {
      const auto other = open.lock();
      if (running != nullptr && other && other.get() != &step && running->count(const_cast<Node*>(other->node)) != 0) {
        fail("gate() was called more than once in the step of one backward; join the inputs of both calls along the batch, ",
             "or gate a second fusion layer by a second Calibration (whose gates the rule's passes then must not run through)");
      }
    }
  }

  /// The plain cotangents of the backward that runs.
  static std::vector<PlainCotangents> take_plain(GatedPass& step) {
    std::vector<PlainCotangents> ours;
    for (PlainCotangents& of_loss : std::exchange(step.plain, {})) {
      if (Running::is(of_loss.run)) {
        ours.push_back(std::move(of_loss));
      }
    }
    return ours;
  }

  /// Which branches a gradient has arrived at.
  static std::vector<bool> branches_here(const torch::autograd::variable_list& cotangents,
                                         const std::vector<PlainCotangents>& plain) {
    std::vector<bool> here;
    for (std::size_t k = 0; k < cotangents.size(); ++k) {
      const auto has = [&](const PlainCotangents& of_loss) {
        return k < of_loss.cotangents.size() && of_loss.cotangents[k].defined();
      };
      here.push_back(cotangents[k].defined() || std::any_of(plain.begin(), plain.end(), has));
    }
    return here;
  }

  static void gate_all(const GatedPass& step, torch::autograd::variable_list& cotangents) {
    for (std::size_t k = 0; k < step.through.size() && k < cotangents.size(); ++k) {
      if (!cotangents[k].defined()) {
        continue;
      }
      if (step.modalities->device) {
        cotangents[k] = step.modalities->device->gated(step.through[k], cotangents[k]);
        continue;
      }
      const double scale = step.modalities->scales[step.through[k]];
      if (scale != 1.0) {
        cotangents[k] = cotangents[k] * scale;
      }
    }
  }

  static void note_pending(const GatedPass& step) {
    Modalities& modalities = *step.modalities;
    modalities.pending.begin(modalities.names.size());
    const bool only_measures = modalities.gate.options.floor == 1;
    for (std::size_t k = 0; k < step.through.size() && !only_measures; ++k) {
      const std::size_t m = step.through[k];
      if (modalities.device || modalities.scales[m] != 1.0) {  // those on the device are not known here
        modalities.pending.note(m, step.node->next_edge(k), /*values=*/modalities.device == nullptr);
      }
    }
  }

  /// Sends the gradient of an unweighted loss through the open gates, to the parameters beyond that are to get it.
  static void send_plain(const GatedPass& step, const PlainCotangents& of_loss) {
    const at::NoGradGuard no_grad;
    torch::autograd::variable_list gated = of_loss.cotangents;
    gate_all(step, gated);
    std::vector<Edge> roots;
    for (std::size_t k = 0; k < gated.size(); ++k) {
      roots.push_back(step.node->next_edge(k));
    }
    std::vector<Edge> leaves;
    for (const at::Tensor& parameter : of_loss.parameters) {
      leaves.push_back(gradient_edge(parameter));
    }
    const std::uint64_t expected = nodes_made() + engine_nodes(gated);
    const HooksAside aside(of_loss.parameters);
    const std::vector<at::Tensor> formed = pull_back(roots, gated, leaves, step.state->nested);
    if (nodes_made() != expected) {
      fail("a checkpoint in a modality's branch ran its forward again while the gradient of one task alone was formed, and has ",
           "added to .grad; zero the gradients, and use no checkpoint in the branches with Surface::all_shared");
    }
    const auto into = of_loss.into.lock();
    for (std::size_t k = 0; into && k < of_loss.parameters.size(); ++k) {
      into->add(of_loss.parameters[k], formed[k]);
    }
  }

  /// The gradient of each weight is to be complete. One that did not come is zero only where its branch gets none either.
  static void expect_all_weights(const GatedPass& step, const std::vector<bool>& here) {
    for (std::size_t m = 0; m < step.weights.size(); ++m) {
      if (step.weights[m] == nullptr || step.weights_seen[m]) {
        continue;
      }
      const auto place = std::find(step.through.begin(), step.through.end(), m);
      const bool of_one = step.weights.size() > 1;
      const bool reached =
          !of_one || (place != step.through.end() && here[static_cast<std::size_t>(place - step.through.begin())]);
      if (reached || !has_arrived(gradient_edge(step.fusion[m]).function.get())) {
        fail("the gate of '", step.modalities->names.front(),
             "' and the other branches ran before the gradient of the fusion weight was ",
             "known: the weight is frozen, used a second time further back, inside a checkpoint that does not hold the branches "
             "too, or not among the inputs of this backward; gate with the weight that reads the branches and nothing else, and "
             "differentiate to it too (by backward() with inputs, since autograd::grad() captures it unseen)");
      }
    }
  }

  /// A branch whose gated features nothing reads, while others' are read, went past its gate.
  static void expect_all_branches(const GatedPass& step, const std::vector<bool>& here) {
    for (std::size_t k = 0; k < step.through.size(); ++k) {
      if (!here[k] && !is_read(step, k)) {
        fail("what gate() gave for '", step.modalities->names[step.through[k]],
             "' was not used: pass its outputs on to the fusion layer, in place of the features it was given, and give it an ",
             "undefined tensor for a modality that is absent");
      }
    }
  }

  /// Whether anything in the running backward reads the gate's output k: losses of weight 0 send it nothing.
  static bool is_read(const GatedPass& step, std::size_t k) {
    const auto* running = torch::autograd::get_current_graph_task_nodes_in_graph();
    return std::any_of(running->begin(), running->end(), [&](const Node* node) {
      const auto& edges = node->next_edges();
      return std::any_of(edges.begin(), edges.end(),
                         [&](const Edge& edge) { return edge.function.get() == step.node && edge.input_nr == k; });
    });
  }

  /// Where a concatenation along the channels reads the branches directly, their cotangents are slices of one tensor, in its
  /// order: that must be the order in which gate() got them, since the weight's slices are told apart by it.
  static void expect_order(const GatedPass& step, const torch::autograd::variable_list& cotangents) {
    for (std::size_t k = 1; k < step.through.size() && step.fusion.size() == 1; ++k) {
      if (!cotangents[k - 1].defined() || !cotangents[k].defined()) {
        continue;
      }
      const std::int64_t channels = step.fusion.front().dim() > 2 ? 1 : cotangents[k].dim() - 1;
      if (comes_later(cotangents[k - 1], cotangents[k], channels)) {
        fail("the fusion layer reads '", step.modalities->names[step.through[k]], "' before '",
             step.modalities->names[step.through[k - 1]], "', gate() got them the other way round; ",
             "concatenate the branches in the order of gate()");
      }
    }
  }

  /// Whether `one` lies behind `other` along a dimension of a tensor that both are slices of.
  static bool comes_later(const at::Tensor& one, const at::Tensor& other, std::int64_t dimension) {
    const bool slices = one.layout() == at::kStrided && other.layout() == at::kStrided && one.strides() == other.strides() &&
                        dimension > 0 && dimension < one.dim() && one.is_alias_of(other);
    if (!slices) {
      return false;
    }
    const std::int64_t distance = one.storage_offset() - other.storage_offset();
    return distance >= other.size(dimension) * other.stride(dimension) && distance < one.stride(0);
  }

  static void open_gates(const GatedPass& step) {
    Modalities& modalities = *step.modalities;
    modalities.squared_norms = step.squared_norms;
    modalities.sizes = step.sizes;
    modalities.present = step.present;
    if (modalities.device) {
      modalities.device->open(step.device_norms.defined() ? step.device_norms : modalities.device->no_norms(), step.sizes,
                              step.present);
      return;
    }
    BranchEvidence<> evidence;
    evidence.count = static_cast<int>(modalities.names.size());
    evidence.squared_norms = modalities.squared_norms.data();
    evidence.sizes = modalities.sizes.data();
    evidence.present = modalities.present.data();
    modalities.gate(Serial{}, evidence, modalities.state.data(), modalities.scales.data(), modalities.scratch.data());
  }
};

}  // namespace fuller::detail

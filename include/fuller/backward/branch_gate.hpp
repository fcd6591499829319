// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fuller/backward/capsule.hpp>
#include <fuller/backward/fusion_gradients.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/core/error.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/graph/running.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The joint node on the branch features before the first fusion layer: the same features out.
///
/// Its backward runs after the fusion weight's own gradient is complete (leaves come first on a device's queue), whose slices'
/// norms set the gates; each branch's cotangent is multiplied by its gate, and so is every gradient upstream.
struct BranchGate : torch::autograd::Function<BranchGate> {
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* context, at::TensorList branches,
                                                std::shared_ptr<GatedPass> pass) {
    context->set_materialize_grads(false);
    context->saved_data["pass"] = capsule(std::move(pass));
    return branches.vec();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list cotangents) {
    const auto pass = open_capsule<GatedPass>(context->saved_data["pass"]);
    if (at::GradMode::is_enabled()) {
      fail("a backward with create_graph through gate() is refused: the gates would be applied twice; leave gate() out where ",
           "losses hold derivatives of outputs (a PINN, a gradient penalty)");
    }
    if (pass->context.nested() > 0) {
      expect_order(*pass, cotangents);  // what trains may pass with nothing
      if (pass->shut) {
        cotangents.assign(cotangents.size(), at::Tensor());
      }
      cotangents.emplace_back();  // nothing for the pass
      return cotangents;
    }
    if (NestedPass::on_this_thread() > 0) {
      fail("the task gradients of another calibration are formed through the gates; give rule and gates to one Calibration");
    }
    return refusing_together(pass->context.of_all_levels(), [&] { return gate(*pass, std::move(cotangents)); });
  }

 private:
  /// Scores are those of one backward: also where nothing came to compare, and where it threw.
  struct SpentScores {
    Modalities& modalities;
    ~SpentScores() { modalities.scored.clear(); }
  };

  static torch::autograd::variable_list gate(GatedPass& gated_pass, torch::autograd::variable_list cotangents) {
    GatedPass* const pass = &gated_pass;
    Modalities& modalities = *pass->modalities;
    const SpentScores spent{modalities};
    pass->begin();
    const std::vector<PlainCotangents> plain = of_this_backward(pass->plain);
    const std::vector<WaitingSums> sums = of_this_backward(pass->sums);
    expect_one_call(*pass);
    const std::vector<bool> here = branches_here(cotangents, plain, sums);
    // Where every loss downstream has weight 0, nothing comes, and there is nothing to compare.
    bool anything = std::find(here.begin(), here.end(), true) != here.end();
    if (anything) {
      expect_all_branches(*pass, here);
      expect_all_weights(*pass, here);
      expect_order(*pass, cotangents);
      expect_scores(modalities);
    }
    if (pass->context.ranks().average) {
      anything = take_norms_of_all_ranks(*pass, anything);
    }
    if (anything) {
      open_gates(*pass);
      modalities.moved_in = pass->context.backwards();
      if (modalities.target == GateTarget::gradient) {
        for (const PlainCotangents& of_loss : plain) {
          send_plain(*pass, of_loss);
        }
        for (const WaitingSums& waiting : sums) {
          scale_sums(*pass, waiting);
        }
        gate_all(*pass, cotangents);
      } else {
        note_pending(*pass);
      }
    }
    pass->run.reset();          // what another backward of a retained graph shows is its own
    cotangents.emplace_back();  // nothing for the pass
    return cotangents;
  }

  /// The gates have one state, which moves once in a step.
  static void expect_one_call(const GatedPass& pass) {
    for (const auto& other : pass.modalities->open_passes.alive()) {
      if (other.get() != &pass && is_in_backward(other->node)) {
        fail("gate() was called more than once in the step of one backward; join the inputs of both calls along the batch, ",
             "or gate a second fusion layer by a second Calibration (whose gates the rule's passes then must not run through)");
      }
    }
  }

  /// Takes what was noted; what is of the backward that runs is given back.
  template <class Noted>
  static std::vector<Noted> of_this_backward(std::vector<Noted>& noted) {
    std::vector<Noted> ours;
    for (Noted& one : std::exchange(noted, {})) {
      if (Running::is(one.run)) {
        ours.push_back(std::move(one));
      }
    }
    return ours;
  }

  /// Which branches a gradient has arrived at, or what has become of it waits upstream of.
  static std::vector<bool> branches_here(const torch::autograd::variable_list& cotangents,
                                         const std::vector<PlainCotangents>& plain, const std::vector<WaitingSums>& sums) {
    std::vector<bool> here;
    for (std::size_t k = 0; k < cotangents.size(); ++k) {
      const auto has = [&](const PlainCotangents& of_loss) {
        return k < of_loss.cotangents.size() && of_loss.cotangents[k].defined();
      };
      const auto waits = [&](const WaitingSums& waiting) {
        const auto at = waiting.at.lock();
        return at && std::any_of(waiting.of_branches[k].begin(), waiting.of_branches[k].end(),
                                 [&](const at::Tensor& leaf) { return at->has_on_top(leaf); });
      };
      here.push_back(cotangents[k].defined() || std::any_of(plain.begin(), plain.end(), has) ||
                     std::any_of(sums.begin(), sums.end(), waits));
    }
    return here;
  }

  static void gate_all(const GatedPass& pass, torch::autograd::variable_list& cotangents) {
    for (std::size_t k = 0; k < pass.through.size() && k < cotangents.size(); ++k) {
      if (cotangents[k].defined()) {
        cotangents[k] = pass.modalities->engine->gated(pass.through[k], cotangents[k]);
      }
    }
  }

  static void scale_sums(const GatedPass& pass, const WaitingSums& waiting) {
    const auto at = waiting.at.lock();
    for (std::size_t k = 0; at && k < waiting.of_branches.size(); ++k) {
      for (const at::Tensor& leaf : waiting.of_branches[k]) {
        at->change_on_top(leaf, [&](const at::Tensor& sum) { return pass.modalities->engine->gated(pass.through[k], sum); });
      }
    }
  }

  static void note_pending(const GatedPass& pass) {
    Modalities& modalities = *pass.modalities;
    modalities.pending.begin(modalities.names.size());
    if (modalities.law.only_measures()) {
      return;
    }
    for (std::size_t k = 0; k < pass.through.size(); ++k) {
      const std::size_t m = pass.through[k];
      if (!modalities.engine->is_open(m)) {
        modalities.pending.note(m, pass.node->next_edge(k), /*values=*/modalities.engine->may_wait());
      }
    }
  }

  /// Sends the gradient of an unweighted loss through the open gates, to the parameters beyond that are to get it.
  static void send_plain(const GatedPass& pass, const PlainCotangents& of_loss) {
    const at::NoGradGuard no_grad;
    torch::autograd::variable_list gated = of_loss.cotangents;
    gate_all(pass, gated);
    std::vector<Edge> roots;
    for (std::size_t k = 0; k < gated.size(); ++k) {
      roots.push_back(pass.node->next_edge(k));
    }
    std::vector<Edge> leaves;
    for (const at::Tensor& parameter : of_loss.parameters) {
      leaves.push_back(gradient_edge(parameter));
    }
    const std::uint64_t expected = nodes_made() + engine_nodes(gated);
    const HooksAside aside(of_loss.parameters);
    const std::vector<at::Tensor> formed = pull_back(roots, gated, leaves, pass.context.nested());
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
  static void expect_all_weights(const GatedPass& pass, const std::vector<bool>& here) {
    for (std::size_t k = 0; k < pass.hooked.size(); ++k) {
      if (pass.hooked[k] == nullptr || pass.weights_seen[k]) {
        continue;
      }
      const auto place = std::find(pass.through.begin(), pass.through.end(), k);
      const bool reached =
          pass.reads.is_joined() || (place != pass.through.end() && here[static_cast<std::size_t>(place - pass.through.begin())]);
      if (reached || !has_arrived(gradient_edge(pass.reads[k].weight()).function.get())) {
        fail("the gate of '", pass.modalities->names.front(),
             "' and the other branches ran before the gradient of the fusion weight was ",
             "known: the weight is frozen, used a second time further back, inside a checkpoint that does not hold the branches "
             "too, or not among the inputs of this backward; gate with the weight that reads the branches and nothing else, and "
             "differentiate to it too (by backward() with inputs, since autograd::grad() captures it unseen)");
      }
    }
  }

  /// A branch whose gated features nothing reads, while others' are read, went past its gate.
  static void expect_all_branches(const GatedPass& pass, const std::vector<bool>& here) {
    for (std::size_t k = 0; k < pass.through.size(); ++k) {
      if (!here[k] && !is_read(pass, k)) {
        fail("what gate() gave for '", pass.modalities->names[pass.through[k]],
             "' was not used: pass its outputs on to the fusion layer, in place of the features it was given, and give it an ",
             "undefined tensor for a modality that is absent");
      }
    }
  }

  /// Whether anything in the running backward reads the gate's output k: losses of weight 0 send it nothing.
  static bool is_read(const GatedPass& pass, std::size_t k) {
    const auto* running = nodes_of_backward();
    return std::any_of(running->begin(), running->end(), [&](const Node* node) {
      const auto& edges = node->next_edges();
      return std::any_of(edges.begin(), edges.end(),
                         [&](const Edge& edge) { return edge.function.get() == pass.node && edge.input_nr == k; });
    });
  }

  static void expect_scores(const Modalities& modalities) {
    if (modalities.law.reads_scores() && modalities.scored.empty()) {
      fail("the gate law '", modalities.law.name(), "' compares scores, and none were handed in for this step; call ",
           "calibration.scores({...}) with one for each branch, '", modalities.names.front(),
           "' first, before each backward(), or choose a law that compares norms: fuller::MLB() or fuller::ModalityGate()");
    }
  }

  /// Where a concatenation along the channels reads the branches directly, their cotangents are slices of one tensor, in its
  /// order: that must be the order in which gate() got them, since the weight's slices are told apart by it.
  static void expect_order(const GatedPass& pass, const torch::autograd::variable_list& cotangents) {
    for (std::size_t k = 1; k < pass.through.size() && pass.reads.is_joined(); ++k) {
      if (!cotangents[k - 1].defined() || !cotangents[k].defined()) {
        continue;
      }
      const std::int64_t channels = pass.reads[0].feature_dim(cotangents[k]);
      if (comes_later(cotangents[k - 1], cotangents[k], channels)) {
        fail("the fusion layer reads '", pass.modalities->names[pass.through[k]], "' before '",
             pass.modalities->names[pass.through[k - 1]], "', gate() got them the other way round; ",
             "concatenate the branches in the order of gate()");
      }
    }
  }

  /// Whether `one` comes after `other` along a dimension of a tensor that both are slices of.
  static bool comes_later(const at::Tensor& one, const at::Tensor& other, std::int64_t dimension) {
    const bool slices = one.layout() == at::kStrided && other.layout() == at::kStrided && one.strides() == other.strides() &&
                        dimension > 0 && dimension < one.dim() && one.is_alias_of(other);
    if (!slices) {
      return false;
    }
    const std::int64_t distance = one.storage_offset() - other.storage_offset();
    return distance >= other.size(dimension) * other.stride(dimension) && distance < one.stride(0);
  }

  static void open_gates(const GatedPass& pass) {
    Modalities& modalities = *pass.modalities;
    modalities.shown = pass.shown;
    modalities.engine->open(pass.norms.defined() ? pass.norms : modalities.engine->no_norms(), pass.shown);
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

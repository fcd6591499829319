// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/branch_scores.hpp>
#include <fuller/backward/forked_levels.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/saved_state.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/describe.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/engines.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/host_engines.hpp>
#include <fuller/engine/record.hpp>
#include <fuller/gates/gates.hpp>
#include <fuller/options.hpp>
#include <fuller/snapshot.hpp>
#include <fuller/tensor/fusion_weight.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {

/// Calibrates the gradients of several tasks, and of several modality branches, inside one ordinary `loss.backward()`.
///
///     fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
///     auto [z_det, z_seg] = calibration.fork<2>(trunk(x));
///     auto loss = calibration.sum({det_loss(z_det), seg_loss(z_seg)});
///     loss.backward();
///
/// The whole of FULLER's Algorithm 1: per-task gradients at the last shared layer give weights w_i (lines 2-3), the weighted
/// gradients train heads and trunk (lines 4-5), and the norms of the fusion layer's gradient gate the branches (lines 6-10).
/// Gradients are those of sum_i w_i L_i, exactly, with w_i constant.
///
/// What is not exact, because downstream of fork() a head's gradient is weighted when the backward is through (ApplyTo::all):
/// hooks on head parameters, optimisers fused into backward, and `autograd::grad` to them see the gradient of the unweighted
/// loss.
///
/// Two sums in one backward are two steps, each with weights of its own; that of the later forward comes first.
///
/// One thread at a time. On CPU tensors nothing is allocated that outlives the step. On CUDA tensors the evidence is brought to
/// the host, where the rule runs, for a few waits a step; after use() all of it stays on the device, and a step waits for
/// nothing.
class Calibration {
 public:
  using Tensor = at::Tensor;
  using Tensors = std::vector<at::Tensor>;

  /// A calibration of the named tasks by a rule (IMTL_G, GradNorm, DWA, PCGrad, WPCGrad, Uniform, Constant, or a custom one: see
  /// `calibrators/rule.hpp` and EigenRule).
  /// @throws Error for no tasks, a name given twice, or options that make no sense (ranks.count without ranks.average and the
  /// other way round, last_shared_bias at another surface, ...).
  template <class Rule>
  Calibration(Rule rule, std::vector<std::string> tasks, CalibrationOptions options = {});

  Calibration(Calibration&&) = default;
  Calibration& operator=(Calibration&&) = default;

  /// Adds the second level: gates on the branches of the named modalities (FULLER Eq. 5-8, or a custom law: see
  /// `gates/law.hpp`). Used by gate().
  /// @throws Error for fewer than two names, a name given twice, or options that make no sense.
  template <class Law>
  void modalities(Law law, std::vector<std::string> names) {
    const GateTarget target = detail::gate_target(law);
    modalities(std::move(law), std::move(names), target);
  }

  /// modalities() where the law's scales multiply `target`, whatever the law itself prefers.
  template <class Law>
  void modalities(Law law, std::vector<std::string> names, GateTarget target);

  /// From now on every step runs on a device: evidence, weights, gates and state stay there, no step waits for it, and a step can
  /// be captured in a CUDA graph. The rule runs there too, by kernels linked into the program, or, a custom one or without them,
  /// on the host when the stream comes to it. Same results, to rounding.
  ///
  ///     #include <fuller/engine/steps.hpp>
  ///     calibration.use(fuller::steps_on(at::kCUDA));
  ///     #include <fuller/engine/host_rules.hpp>
  ///     calibration.use(fuller::host_rules_on(at::kCUDA));
  ///
  /// What was done so far is taken along, and may be loaded or saved at any time. diagnostics(), steps(), save() and load() wait
  /// for the device. So does a step of Surface::all_shared whose losses share more than the trunk, once, for its weights. Under
  /// NonFinite::throw_error diagnostics() throws, once, for the first step since it was last called that would have ended with an
  /// exception; that step itself went as under NonFinite::skip, and tasks with a zero gradient as ever. A step of
  /// Surface::all_shared that waits throws itself. Null: back to the host.
  /// On several ranks average() is called in the stream's order, with tensors on the device. Ranks that tell each other what they
  /// are about to do wait for that, once at the fork or sum and once at a gate; not under options.ranks.alike.
  /// @throws Error, and changes nothing, for what the device cannot do: by kernels, custom rules and gate laws.
  void use(const std::shared_ptr<const Engines>& engines);

  /// The shared representation, once for each task: the one line around a shared backbone. Feed output i to the head of task i.
  ///
  /// The outputs alias `z` and each other; an in-place operation on one is refused. Where gradients are off, or z needs none,
  /// they are plain copies of the handle.
  /// @param z            the output of the last shared layer, any shape, floating point, any device
  /// @param last_shared  the parameters whose gradients are compared. Unless given they are found: the weight of the last trained
  ///                     layer upstream of z, or all that it is made of (A and B of W_0 + A B), where every way back from z leads
  ///                     through that layer (Surface::last_shared); or all parameters upstream of z (Surface::all_shared).
  ///                     diagnostics() lists them, and layers that were passed because they are frozen
  /// @throws Error where the last layer cannot be found (with the layers that were reached, and how to name one), or a given
  ///         parameter needs no gradient
  Tensors fork(const Tensor& z, Tensors last_shared = {});

  /// fork() for T tasks known when compiling, to be taken apart: `auto [z_a, z_b] = calibration.fork<2>(z);`
  template <std::size_t T>
  std::array<Tensor, T> fork(const Tensor& z, Tensors last_shared = {}) {
    expect_tasks(T);
    return to_array<T>(fork(z, std::move(last_shared)));
  }

  /// fork_levels() for T tasks known when compiling: `auto [of_a, of_b] = calibration.fork<2>({mean, log_variance});`, then
  /// of_a[0] is the mean and of_a[1] the logarithm of the variance for task a. Without T, a list of T lists.
  template <std::size_t T>
  std::array<Tensors, T> fork(const Tensors& levels, Tensors last_shared = {}) {
    expect_tasks(T);
    return to_array<T>(fork_levels(levels, std::move(last_shared)));
  }

  std::vector<Tensors> fork(const Tensors& levels, Tensors last_shared = {}) {
    return fork_levels(levels, std::move(last_shared));
  }

  /// fork() of a shared representation of several tensors: the levels of a pyramid, a mean and a variance, z and the skip
  /// connections of a U-Net. Unless named, the last shared layer of each level is compared, all of them as one surface.
  ///
  /// Levels may lie upstream of each other. A level that needs no gradient comes back as it is.
  /// @return for each task the K levels
  /// @throws Error as fork(), and for no levels at all
  std::vector<Tensors> fork_levels(const Tensors& levels, Tensors last_shared = {}) {
    expect_no_exception();
    return detail::forked_levels(state_, levels, std::move(last_shared));
  }

  /// Tells what the user's modules call their parameters, so that diagnostics, describe() and errors can. Changes nothing else.
  /// May be called once for each module; of a parameter's names (tied weights) the first counts. No parameter is kept alive.
  ///
  ///     calibration.name_parameters(model->named_parameters());
  /// `named` are names with tensors: torch::OrderedDict, std::map, a list of pairs; `prefix` ("trunk.") goes before each name.
  template <class Named>
  void name_parameters(const Named& named, const std::string& prefix = {});

  /// Names the parameters of a task's head that the graph does not show, because a reentrant checkpoint hides them. Once, not in
  /// each step; parameters that the graph does show may be among them.
  /// @throws Error for an unknown task, an undefined tensor, or one that is no leaf.
  void head(const std::string& task, Tensors parameters);

  /// The sum of the losses that one writes anyway: call backward() on it (or on a multiple of it, or on it plus terms that reach
  /// neither heads nor fork outputs).
  ///
  /// @param losses  T scalars in the order of the tasks. An undefined tensor, or one that needs no gradient, is a task that is
  ///                absent in this step: no zero gradient, and its state is left alone.
  /// Where nothing that the losses share is trained (the first epochs with a frozen backbone, networks of their own), there is
  /// nothing to calibrate: a rule that compares gradients is not asked, each loss counts with its static weights, no state moves
  /// and the step does not count. LibTorch's warnings say so once, diagnostics().route in each such step.
  ///
  /// @return a scalar, the plain sum of the losses without weights; a 0 that needs no gradient where every task is absent
  /// @throws Error for a wrong number of losses, one that is no scalar, heads fed past the fork or from another task's output,
  ///         (unless Surface::all_shared) a parameter that two heads share, and gates on updates that step() did not apply
  Tensor sum(const Tensors& losses);

  /// sum() of losses by name, in any order: `calibration.sum({{"box", box_loss}, {"class", class_loss}})`. A task that is not
  /// named is absent in this step.
  /// @throws Error as above, and for a name that no task has or that is given twice
  Tensor sum(std::initializer_list<std::pair<std::string, Tensor>> losses);

  /// The same from a container: std::map, std::unordered_map, torch::OrderedDict, a list of pairs, as detectors return.
  template <class Named, std::enable_if_t<detail::holds_named_tensors<Named>::value, int> = 0>
  Tensor sum(const Named& losses) {
    return sum_named(losses);
  }

  /// The branch features, gated: pass them on to the fusion layer, which reads them one after the other along the channels.
  ///
  /// @param branches  M features in the order of the modalities; undefined where a modality is absent in this step. Channels are
  ///                  dimension 1 for convolutions, the last dimension for linear layers
  /// @param fusion    the weight [out, channels of all branches, ...] of the layer that reads them
  /// @return the M features
  /// @throws Error before modalities(), for channels that do not add up, for a frozen fusion weight, and for gates on updates
  ///         that step() did not apply; in the backward, for features that went past the gate or were joined in another order,
  ///         for a backward that does not go to the fusion weight, and for a second call in the same step
  Tensors gate(const Tensors& branches, const Tensor& fusion) { return gate(branches, FusionWeight(fusion)); }

  /// The same of a weight that is laid out otherwise: a transposed convolution's, a custom operator's.
  /// @throws Error as above, and for dimensions that weight or features do not have
  Tensors gate(const Tensors& branches, const FusionWeight& fusion);

  /// gate() for a fusion that has one weight [out, channels, ...] for each branch and adds what they give.
  /// @throws Error as above, and for one weight given twice
  Tensors gate(const Tensors& branches, const Tensors& fusion);
  Tensors gate(const Tensors& branches, const std::vector<FusionWeight>& fusion);

  /// gate() for M branches known when compiling: `auto [lidar, camera] = calibration.gate<2>({a, b}, fuse->weight);`
  template <std::size_t M>
  std::array<Tensor, M> gate(const std::array<Tensor, M>& branches, const Tensor& fusion) {
    return to_array<M>(gate(Tensors(branches.begin(), branches.end()), fusion));
  }
  template <std::size_t M>
  std::array<Tensor, M> gate(const std::array<Tensor, M>& branches, const Tensors& fusion) {
    return to_array<M>(gate(Tensors(branches.begin(), branches.end()), fusion));
  }
  template <std::size_t M>
  std::array<Tensor, M> gate(const std::array<Tensor, M>& branches, const FusionWeight& fusion) {
    return to_array<M>(gate(Tensors(branches.begin(), branches.end()), fusion));
  }
  template <std::size_t M>
  std::array<Tensor, M> gate(const std::array<Tensor, M>& branches, const std::vector<FusionWeight>& fusion) {
    return to_array<M>(gate(Tensors(branches.begin(), branches.end()), fusion));
  }

  /// How well each branch does, for a gate law that compares scores (OGM, AGM, CGGM, MLB by choice): a number for each, the
  /// higher the better, mean over the batch, before the backward of each step in which gates are passed. What the number is to be
  /// (a probability, a metric, a log-likelihood) is said in the law's header. Tensors are read as constants; on a device whose
  /// steps run there nothing is waited for, and inside a capture they must be on it. On several ranks the gates see the mean over
  /// those that have one.
  ///
  ///     calibration.scores({lidar_head(lidar).accuracy(labels), camera_head(camera).accuracy(labels)});
  /// @param of_branches  M scalars in the order of the modalities; undefined for a branch that has none in this step, which its
  ///                     gate then lets through as it is
  /// @throws Error before modalities(), for a law that reads no scores, for a wrong number of them or one that is no scalar, and
  ///         for one below 0 that the host can see where the law divides them. A backward without scores throws
  void scores(const Tensors& of_branches) { detail::note_scores(expect_modalities(of_branches), of_branches); }
  /// The same of numbers the host has; NaN for a branch that has none.
  void scores(const std::vector<double>& of_branches) { detail::note_scores(expect_modalities(of_branches), of_branches); }
  /// The same of a tensor [M].
  void scores(const Tensor& of_branches) { scores(of_branches.unbind()); }

  /// optimizer.step(), and, where the gate acts on updates (GateTarget::update), each branch's parameters are moved the share w_m
  /// of the way only: p <- p + w_m (p' - p), which an adaptive optimiser cannot cancel (it does cancel a constant factor on
  /// gradients). Weight decay is part of the update. Waits for nothing; holds a copy of the branches' parameters meanwhile.
  /// optimizer.step() in its place is noticed by the next gate() or sum(): all parameters of a branch that are trained were then
  /// written since its gate moved. After a backward that passed no gate nothing is gated.
  ///
  /// @param branches  M lists of parameters in the order of the modalities
  /// @throws Error, before anything has moved: before modalities(), for a wrong number of lists, a parameter in two of them,
  ///         lists that are not those of the gates' branches, or parameters that an optimiser has moved since the gates did
  template <class Optimizer>
  void step(Optimizer& optimizer, const std::vector<Tensors>& branches);

  /// The step of a rank that has no batch where others have one, in place of sum() and backward(): adds zeros to all they reduce,
  /// counts among the ranks over which they average, and moves rule and gates as on every rank. Then average `.grad` as ever.
  /// @throws Error where options.ranks.rank is not given, and on every rank where they are not in the same step
  void idle_step();

  /// Ends an epoch, for rules that average losses over epochs or follow a schedule (DWA, WPCGrad).
  void end_epoch() { state_->engine->end_epoch(); }

  /// The number of steps taken. After use() it counts replays of a captured step too, and waits for the device.
  std::int64_t steps() const { return record().memory.steps; }

  /// What the last step showed and did. Allocates; waits for nothing that the step did not wait for; after use(), for the device.
  /// @throws NonFiniteError after use(), under NonFinite::throw_error.
  Diagnostics diagnostics() const;

  /// diagnostics() for a human: which parameters are compared and shared, what the step cost, a row for each task and modality.
  /// Waits where diagnostics() does.
  std::string describe() const { return "rule " + state_->plan->rule.name() + ", " + fuller::describe(diagnostics()); }

  /// The diagnostics of the last step without a wait: take one every so many steps, and look at it when it is there. Not inside a
  /// capture. Allocates.
  Snapshot snapshot() const { return Snapshot(*state_, modalities_.get()); }

  /// Writes everything a resumed run needs to equal the uninterrupted one bit for bit: the rule's state (weights, moments, epoch
  /// means), counters of steps and epochs (and so of random draws), gates. Not which parameters were ever shared: where losses
  /// share head parameters, that shows anew in the first step with all of them. `torch::save(calibration, path)` calls it.
  template <class Archive>
  void save(Archive& archive) const {
    const detail::Record known = record();
    detail::write_state(archive, *state_->plan, known.memory, modalities_.get(), gates());
  }

  /// Reads what save() wrote into a calibration made with the same rule, tasks, modalities and options.
  /// @throws Error, and changes nothing, where rule, tasks, modalities or the size of the state differ. Options are the caller's:
  /// a state of the same size made with others is taken over. `torch::load(calibration, path)` calls it.
  template <class Archive>
  void load(Archive& archive);

 private:
  /// What the engine knows; waits for a device.
  detail::Record record() const;

  /// What the engine of the gates knows, likewise; nothing where there is none.
  detail::GateMemory gates() const;

  /// Says what a rule or law has thrown in a stream's order since the last time; waits for nothing.
  void expect_no_exception() const;

  void expect_gates_applied();

  template <std::size_t N, class Item>
  static std::array<Item, N> to_array(std::vector<Item> items);

  void expect_tasks(std::size_t count) const;

  template <class Named>
  Tensor sum_named(const Named& losses);

  std::size_t index_of(const std::string& task) const;

  template <class List>
  detail::Modalities& expect_modalities(const List& branches);

  std::shared_ptr<detail::State> state_;
  std::shared_ptr<detail::Modalities> modalities_;
  std::shared_ptr<const Engines> engines_ = detail::host_engines();
};

/// Found by `torch::save(calibration, path)`.
template <class Archive>
auto operator<<(Archive& archive, const Calibration& calibration) -> decltype(archive.write("", at::Tensor()), archive) {
  calibration.save(archive);
  return archive;
}

/// Found by `torch::load(calibration, path)`.
template <class Archive>
auto operator>>(Archive& archive, Calibration& calibration) -> decltype(archive.read("", std::declval<at::Tensor&>()), archive) {
  calibration.load(archive);
  return archive;
}

}  // namespace v0_1
}  // namespace fuller

#include <fuller/calibration_members.hpp>

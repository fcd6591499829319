// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/names.hpp>
#include <fuller/core/error.hpp>
#include <fuller/core/member.hpp>
#include <fuller/describe.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/gate_law.hpp>
#include <fuller/engine/task_rule.hpp>
#include <fuller/gates/gates.hpp>
#include <fuller/options.hpp>
#include <fuller/snapshot.hpp>
#include <fuller/tensor/fusion_weight.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {

class Engines;

namespace detail {
struct GateMemory;
struct Modalities;
struct Record;
struct State;
}  // namespace detail

/// Calibrates the gradients of several tasks, and of several modality branches, inside one ordinary `loss.backward()`.
///
///     fuller::Calibration calibration(fuller::IMTL_G(), {"det", "seg"});
///     auto [z_det, z_seg] = calibration.fork<2>(trunk(x));
///     auto loss = calibration.sum({det_loss(z_det), seg_loss(z_seg)});
///     loss.backward();
///
/// This is the whole of FULLER's Algorithm 1: per-task gradients at the last shared layer give weights w_i (lines 2-3), the
/// weighted gradients train heads and trunk (lines 4-5), and the norms of the fusion layer's gradient gate the branches (lines
/// 6-10). Gradients are those of sum_i w_i L_i, exactly, with w_i constant. Results are deterministic where the network's are.
///
/// One thing is not exact. Downstream of fork() a head's gradient is weighted when the backward is through (ApplyTo::all), so
/// hooks on head parameters, optimisers fused into the backward, and `autograd::grad` to head parameters see the gradient of the
/// unweighted loss.
///
/// The backward throws Error for what cannot be exact (docs/limits.md lists it, with the way out), and NonFiniteError under
/// NonFinite::throw_error. Two sums in one backward are two steps with separate weights; the later forward's comes first.
///
/// Belongs to one thread at a time. On CPU tensors nothing is allocated that outlives the step. On CUDA tensors the evidence is
/// copied to the host, where the rule runs, and the host waits for the device a few times a step. After use() everything stays
/// on the device, and a step waits for nothing.
class Calibration {
 public:
  using Tensor = at::Tensor;
  using Tensors = std::vector<at::Tensor>;

  /// A calibration of the named tasks by a rule: IMTL_G, GradNorm, PCGrad and the others of `calibrators/`, or a custom one (see
  /// `calibrators/rule.hpp` and EigenRule).
  /// @throws Error for no tasks, more than 64, a name given twice, or options that make no sense (ranks.count without
  ///         ranks.average or the other way round, last_shared_bias at a surface other than last_shared, ...)
  template <class Rule>
  Calibration(Rule rule, std::vector<std::string> tasks, CalibrationOptions options = {});

  Calibration(Calibration&&) = default;
  Calibration& operator=(Calibration&&) = default;

  /// Adds gates on the branches of the named modalities, by a law: ModalityGate (FULLER Eq. 5-8), another of `gates/`, or a
  /// custom one (see `gates/law.hpp`). gate() applies them. A second call begins anew, with gates of 1.
  /// @throws Error for fewer than two names, a name given twice, options that make no sense, or, after use(), a law that the
  ///         device cannot run
  template <class Law>
  void modalities(Law law, std::vector<std::string> names) {
    const GateTarget target = detail::gate_target(law);
    modalities(std::move(law), std::move(names), target);
  }

  /// modalities() where the law's scales multiply `target`, whatever the law's options say.
  template <class Law>
  void modalities(Law law, std::vector<std::string> names, GateTarget target);

  /// From now on every step runs on a device: evidence, weights, gates and state stay there, no step waits for the device, and a
  /// step can be captured in a CUDA graph. Results are the same to rounding. The rule runs in one of two ways:
  ///
  ///     #include <fuller/engine/steps.hpp>       // by kernels that are linked into the program
  ///     calibration.use(fuller::steps_on(at::kCUDA));
  ///     #include <fuller/engine/host_rules.hpp>  // on the host, when the stream comes to it: without kernels, or a custom rule
  ///     calibration.use(fuller::host_rules_on(at::kCUDA));
  ///
  /// May be called at any time: the state so far is kept. Null: back to the host.
  ///
  /// Waits. use(), diagnostics(), steps(), save() and load() wait for the device. So does a step of Surface::all_shared whose
  /// losses share more than the trunk, once, for its weights. On several ranks average() is called in the stream's order, with
  /// tensors on the device; unless options.ranks.alike says that ranks need not tell each other what they are about to do, they
  /// wait for that once at the fork or sum and once at a gate.
  ///
  /// NonFinite::throw_error. A step that would end with an exception goes on as under NonFinite::skip instead, and diagnostics()
  /// throws, once, for the first such step since it was last called. A step of Surface::all_shared that waits does throw.
  /// @throws Error, and changes nothing, for what the device cannot do (kernels run no custom rule or gate law), and in the
  /// middle
  ///         of an accumulation
  void use(const std::shared_ptr<const Engines>& engines);

  /// The shared representation, once for each task: the one line around a shared backbone. Feed output i to the head of task i.
  ///
  /// The outputs alias `z` and each other, so no memory is allocated for them; an in-place operation on one is refused. Where
  /// gradients are off, or z needs none, they are z itself. Waits for nothing.
  /// @param z            the output of the last shared layer, any shape, floating point, any device
  /// @param last_shared  the parameters whose gradients are compared. If none are given they are found. Surface::last_shared: the
  ///                     weight of the last trained layer upstream of z, if every way back from z leads through that layer (or
  ///                     all parameters that the weight is made of, such as A and B of W_0 + A B). Surface::all_shared: all
  ///                     trained parameters upstream of z. diagnostics() lists them, and frozen layers that were passed over
  /// @return T tensors like z
  /// @throws Error where the last layer cannot be found (the message lists the layers that were reached, and how to name one), or
  ///         a given parameter needs no gradient; after use(), also what a custom rule or law has thrown since
  Tensors fork(const Tensor& z, Tensors last_shared = {});

  /// fork() for T tasks known when compiling, to be taken apart: `auto [z_a, z_b] = calibration.fork<2>(z);`
  template <std::size_t T>
  std::array<Tensor, T> fork(const Tensor& z, Tensors last_shared = {}) {
    expect_tasks(T);
    return to_array<T>(fork(z, std::move(last_shared)));
  }

  /// fork_levels() for T tasks known when compiling: `auto [of_a, of_b] = calibration.fork<2>({mean, log_variance});`. Then
  /// of_a[0] is the mean and of_a[1] the logarithm of the variance for task a.
  template <std::size_t T>
  std::array<Tensors, T> fork(const Tensors& levels, Tensors last_shared = {}) {
    expect_tasks(T);
    return to_array<T>(fork_levels(levels, std::move(last_shared)));
  }

  /// fork_levels() by a shorter name.
  std::vector<Tensors> fork(const Tensors& levels, Tensors last_shared = {}) {
    return fork_levels(levels, std::move(last_shared));
  }

  /// fork() of a shared representation that is several tensors: the levels of a pyramid, a mean and a variance, z and the skip
  /// connections of a U-Net. If no parameters are named, the last shared layers of all levels are compared together.
  ///
  /// One level may lie upstream of another. A level that needs no gradient comes back as it is.
  /// @param levels  K tensors, each as z of fork(); their shapes may differ
  /// @return for each task the K levels
  /// @throws Error as fork() does, and for an empty list
  std::vector<Tensors> fork_levels(const Tensors& levels, Tensors last_shared = {});

  /// Gives parameters the names that diagnostics, describe() and errors call them by. Changes nothing else.
  ///
  ///     calibration.name_parameters(model->named_parameters());
  ///
  /// May be called for several modules; of several names of one parameter (tied weights) the first counts. Keeps no parameter
  /// alive.
  /// @param named   names with tensors: torch::OrderedDict, std::map, a list of pairs
  /// @param prefix  put before each name, such as "trunk."
  template <class Named>
  void name_parameters(const Named& named, const std::string& prefix = {});

  /// Names the parameters of a task's head that the graph does not show, because a reentrant checkpoint hides them. Call it once,
  /// not in each step; parameters that the graph does show may be among them.
  /// @throws Error for an unknown task, an undefined tensor, or one that is no leaf
  void head(const std::string& task, Tensors parameters);

  /// The sum of the losses: call backward() on it, on a multiple of it, or on it plus terms that reach neither heads nor fork
  /// outputs. Waits for nothing.
  ///
  /// Where nothing that the losses share is trained (a frozen backbone in the first epochs, or separate networks), there is
  /// nothing to calibrate: a rule that compares gradients is not asked, each loss counts with its static weights, no state moves
  /// and the step does not count. LibTorch's warnings say so once, diagnostics().route says so in each such step.
  ///
  /// @param losses  T tensors of one element, in the order of the tasks. An undefined tensor, or one that needs no gradient, is a
  ///                task that is absent in this step: that is no zero gradient, and its state stays as it is
  /// @return a scalar: the plain sum of the losses, without weights. It needs no gradient where no loss does (unless accumulate()
  ///         counts it), and is 0 where none is given
  /// @throws Error for a wrong number of losses, a loss of more than one element, a head that reads a feature from before the
  ///         fork or another task's output, a parameter that two heads share (unless Surface::all_shared), and gates on updates
  ///         that step() did not apply; after use(), also what a custom rule or law has thrown since
  Tensor sum(const Tensors& losses);

  /// sum() of losses by name, in any order: `calibration.sum({{"box", box_loss}, {"class", class_loss}})`. A task that is not
  /// named is absent in this step.
  /// @throws Error as above, and for a name that no task has or that is given twice
  Tensor sum(std::initializer_list<std::pair<std::string, Tensor>> losses);

  /// The same from a container: std::map, std::unordered_map, torch::OrderedDict, a list of pairs, as detectors return.
  template <class Named, std::enable_if_t<detail::holds_named_tensors<Named>::value, int> = 0>
  Tensor sum(const Named& losses) {
    NamedTensors of_tasks;
    detail::for_each_named(losses, [&](const std::string& name, const Tensor& loss) { of_tasks.emplace_back(name, loss); });
    return sum_named(of_tasks);
  }

  /// The branches' features, to be passed on to the fusion layer, which reads them one after the other along the channels. Their
  /// values are unchanged; in the backward each branch's gradient is multiplied with its gate. Waits for nothing.
  ///
  /// @param branches  M features in the order of the modalities, floating point, any device; undefined where a modality is absent
  ///                  in this step. Channels are dimension 1 for convolutions, the last dimension for linear layers
  /// @param fusion    the weight [out, channels of all branches, ...] of the layer that reads them
  /// @return the M features, undefined where they were
  /// @throws Error before modalities(), for channels that do not add up, for a frozen fusion weight, and for gates on updates
  ///         that step() did not apply. The backward throws for features that bypassed the gate or were joined in another order,
  ///         for a backward that does not go to the fusion weight, and for a second call in the same step
  Tensors gate(const Tensors& branches, const Tensor& fusion) { return gate(branches, FusionWeight(fusion)); }

  /// The same for a weight with another layout: a transposed convolution's, a custom operator's.
  /// @throws Error as above, and for dimensions that weight or features do not have
  Tensors gate(const Tensors& branches, const FusionWeight& fusion);

  /// gate() for a fusion that has one weight [out, channels, ...] for each branch, and adds the results.
  /// @throws Error as above, for another number of weights than of branches, and for one weight given twice
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

  /// Hands in how well each branch does, for a gate law that compares scores (OGM, AGM, CGGM, and MLB if asked to): a number for
  /// each branch, the higher the better, the mean over the batch. Call it before the backward of each step that passes gates; a
  /// backward through gates without scores throws. The law's header says what the number should be (a probability, a metric, a
  /// log-likelihood).
  ///
  ///     calibration.scores({lidar_head(lidar).accuracy(labels), camera_head(camera).accuracy(labels)});
  ///
  /// Tensors are read as constants. After use() nothing is waited for, and inside a capture they must be on the device; else
  /// tensors on a device are waited for. On several ranks the gates see the mean over the ranks that have a score.
  /// @param of_branches  M tensors of one real number in the order of the modalities; undefined for a branch that has no score in
  ///                     this step, whose gradient the gate then leaves as it is
  /// @throws Error before modalities(), for a law that reads no scores, for a wrong number of them or one that is not one real
  ///         number, and for a score below 0, if the host can see it, where the law divides scores
  void scores(const Tensors& of_branches);
  /// The same from numbers on the host; NaN for a branch that has no score.
  void scores(const std::vector<double>& of_branches);
  /// The same from a tensor [M].
  void scores(const Tensor& of_branches);

  /// Takes the optimiser's step. Where gates act on updates (GateTarget::update), each branch's parameters move only the share
  /// w_m of the way: p <- p + w_m (p' - p). An adaptive optimiser cannot cancel that, as it cancels a constant factor on
  /// gradients. Weight decay is part of the update. After a backward that passed no gate nothing is gated.
  ///
  /// Waits for nothing; holds a copy of the branches' parameters meanwhile. If optimizer.step() is called in its place, the next
  /// gate() or sum() throws: it sees that all trained parameters of a branch were written since its gate moved.
  ///
  /// @param branches  M lists of parameters in the order of the modalities
  /// @throws Error, before anything has moved: before modalities(), for a wrong number of lists, a parameter in two of them,
  ///         lists that are not those of the gates' branches, or parameters that an optimiser has moved since the gates did
  template <class Optimizer>
  void step(Optimizer& optimizer, const std::vector<Tensors>& branches) {
    step_by([&optimizer] { optimizer.step(); }, branches);
  }

  /// Shows a rule that learns from it what the last step brought: the losses of the same batch, after optimizer.step(), by a
  /// second forward (FAMO's exact form, which without this takes the losses of the next step for them).
  ///
  ///     loss.backward();
  ///     optimizer.step();
  ///     torch::NoGradGuard no_grad;
  ///     auto z = trunk(x);
  ///     calibration.losses_after({det_loss(z), seg_loss(z)});
  /// Read at once: waits for a device, so not inside a capture. On several ranks all call it, and see their means. After a step
  /// whose weights were held (options.every) the rule learns nothing from it.
  /// @param losses  T scalars in the order of the tasks; undefined for one that was absent, or is to learn nothing
  /// @throws Error for another rule, under a loss stage, and for a wrong number of losses or one that is no scalar
  void losses_after(const Tensors& losses);

  /// From now on a step is made of so many micro-batches: sum() and backward() for each, then optimizer.step().
  ///
  ///     calibration.accumulate(k);
  ///     for (auto& [x, y] : micro_batches) {
  ///       const auto [z_det, z_seg] = calibration.fork<2>(trunk(x));
  ///       (calibration.sum({det_loss(z_det, y), seg_loss(z_seg, y)}) / k).backward();
  ///     }
  ///     optimizer.step();
  ///
  /// The rule is asked once, in the last of these backwards, for the gradients and losses of all; weights, `.grad` and the rule's
  /// state are then those of the one big batch, to rounding. Until then no parameter gets anything from sum(): each task's
  /// gradients are kept, T times those of the shared parameters and once those of the heads (at Surface::representation also each
  /// task's of z). Each micro-batch takes one pass for each task through its head and the trunk. Batch norm sees micro-batches.
  ///
  /// What each sum is multiplied with counts: 1 / k for equal micro-batches, n / N for one of n samples among N. The rule sees
  /// the mean losses by these factors; a task counts with zeros where it is absent. sum() without any loss counts as a
  /// micro-batch too. Call accumulate(rest) before a step that has fewer, as the last of an epoch. Ranks may have different
  /// numbers; they meet in their last micro-batch. Steps in which nothing shared is trained are plain sums as ever.
  ///
  /// A micro-batch that throws, and accumulate() itself, drop what was gathered of an unfinished step; LibTorch's warnings say
  /// so. Not saved. 1, the default: each backward is a step.
  /// @throws Error for a number below 1, and for GradDrop. The backward throws where gradients cannot be formed task by task:
  ///         with gates, hooks or retain_grad() on activations, checkpoints, sparse gradients, `inputs`; and for parameters that
  ///         were written between the micro-batches of a step
  void accumulate(std::int64_t micro_batches);

  /// The step of a rank that has no batch when others have one, in place of sum() and backward(). It adds zeros to all that the
  /// others reduce, counts among the ranks over which they average, and moves rule and gates as on every rank. Average `.grad`
  /// afterwards, as in any step. Waits for the other ranks. It stands for all micro-batches of a step.
  /// @throws Error in the middle of an accumulation, where options.ranks.rank is not given, and on every rank if they are not in
  /// the same step
  void idle_step();

  /// Ends an epoch, for rules that average losses over epochs or follow a schedule (DWA, WPCGrad). Waits for nothing.
  void end_epoch();

  /// The number of steps taken. After use() it counts replays of a captured step too, and waits for the device.
  std::int64_t steps() const;

  /// What the last step showed and did. Allocates. Waits for nothing; after use() it waits for the device.
  /// @throws NonFiniteError after use(), under NonFinite::throw_error: see use()
  Diagnostics diagnostics() const;

  /// diagnostics() as text: which parameters are compared and shared, what the step cost, a row for each task and modality. Waits
  /// and throws as diagnostics() does.
  std::string describe() const;

  /// The diagnostics of the last step without a wait: take one every so many steps, and read it when it is there. Not to be
  /// called inside a capture. Allocates.
  Snapshot snapshot() const;

  /// Writes everything a resumed run needs to equal the uninterrupted one bit for bit: the rule's state (weights, moments, epoch
  /// means), the gates, and the counts of steps and epochs, from which random draws follow. It does not write which parameters
  /// were ever shared: where losses share head parameters, the first step with all of them shows that again. After use() it waits
  /// for the device. `torch::save(calibration, path)` calls it.
  /// @throws Error in the middle of an accumulation, whose gradients would be lost
  template <class Archive>
  void save(Archive& archive) const {
    for (const auto& [name, tensor] : saved()) {
      archive.write(name, tensor);
    }
  }

  /// Reads what save() wrote into a calibration made with the same rule, tasks, modalities and options.
  /// What was gathered of an unfinished step is dropped. After use() it waits for the device. `torch::load(calibration, path)`
  /// calls it.
  /// @throws Error, and changes nothing, where rule, tasks, modalities or the size of the state differ, or a number is one that
  /// no
  ///         step leaves. Whether options are the same is not checked: a state of the same size made with others is taken over
  template <class Archive>
  void load(Archive& archive) {
    restore([&archive](const char* name) {
      Tensor tensor;
      archive.read(name, tensor);
      return tensor;
    });
  }

 private:
  using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

  // What public templates are made of, for any rule, law, optimiser and archive.
  void make(std::vector<std::string> tasks, detail::TaskRule rule, CalibrationOptions options, Surface surface, ApplyTo apply_to);
  void add_modalities(detail::GateLaw law, std::vector<std::string> names, GateTarget target);
  void name_parameter(const std::string& prefix, const std::string& name, const Tensor& parameter);
  void step_by(const std::function<void()>& take_step, const std::vector<Tensors>& branches);
  std::vector<std::pair<const char*, Tensor>> saved() const;
  void restore(const std::function<Tensor(const char*)>& read);
  Tensor sum_named(const NamedTensors& losses);

  /// What the engine knows; waits for a device.
  detail::Record record() const;

  /// What the engine of the gates knows; waits likewise. Nothing where there is none.
  detail::GateMemory gates() const;

  /// Throws what a rule or law has thrown in a stream's order since the last call; waits for nothing.
  void expect_no_exception() const;

  void expect_gates_applied();

  template <std::size_t N, class Item>
  static std::array<Item, N> to_array(std::vector<Item> items) {
    std::array<Item, N> array;
    std::move(items.begin(), items.end(), array.begin());
    return array;
  }

  void expect_tasks(std::size_t count) const;

  std::size_t index_of(const std::string& task) const;

  detail::Modalities& expect_modalities(std::size_t branches);

  std::shared_ptr<detail::State> state_;
  std::shared_ptr<detail::Modalities> modalities_;
  std::shared_ptr<const Engines> engines_;
};

template <class Rule>
Calibration::Calibration(Rule rule, std::vector<std::string> tasks, CalibrationOptions options) {
  static_assert(
      is_rule<Rule>::value,
      "not a rule: see fuller/calibrators/rule.hpp; a plain function of Eigen maps becomes one as fuller::EigenRule{f}");
  detail::expect_names(tasks, "task");
  const auto count = static_cast<int>(tasks.size());
  WeightingOptions policies;
  policies.missing = options.missing;
  policies.non_finite = options.non_finite;
  policies.stage = options.stage;
  policies.before = options.before;
  policies.after = options.after;
  policies.zero_below = options.zero_below;
  policies.every = options.every;
  policies.smoothing = options.smoothing;
  const Surface surface = options.surface.value_or(Rule::default_surface);
  const ApplyTo apply_to = options.apply_to.value_or(Rule::default_apply_to);
  detail::expect_sense<Rule>(options, surface);
  if (detail::rule_drops_signs<Rule>::value && surface != Surface::representation) {
    detail::fail(Rule::name,
                 " drops signs element by element where the gradients of the tasks meet, at Surface::representation; ",
                 "leave options.surface out, or choose a rule of weights for this one, as fuller::PCGrad() or fuller::IMTL_G()");
  }
  make(std::move(tasks), detail::TaskRule(std::move(rule), count, policies), std::move(options), surface, apply_to);
}

template <class Law>
void Calibration::modalities(Law law, std::vector<std::string> names, GateTarget target) {
  static_assert(is_gate<Law>::value,
                "not a gate law: see fuller/gates/law.hpp for what one has; FULLER's is fuller::ModalityGate(options)");
  if (names.size() < 2) {
    detail::fail("modalities() needs two names or more, got ", names.size(), ": gates compare branches; leave it out for one");
  }
  detail::expect_names(names, "modality");
  detail::GateLaw any(std::move(law), static_cast<int>(names.size()));
  add_modalities(std::move(any), std::move(names), target);
}

template <class Named>
void Calibration::name_parameters(const Named& named, const std::string& prefix) {
  static_assert(detail::holds_named_tensors<Named>::value, "names with tensors are needed: model->named_parameters()");
  detail::for_each_named(named,
                         [&](const std::string& name, const Tensor& parameter) { name_parameter(prefix, name, parameter); });
}

/// What `torch::save(calibration, path)` calls.
template <class Archive>
auto operator<<(Archive& archive, const Calibration& calibration) -> decltype(archive.write("", at::Tensor()), archive) {
  calibration.save(archive);
  return archive;
}

/// What `torch::load(calibration, path)` calls.
template <class Archive>
auto operator>>(Archive& archive, Calibration& calibration) -> decltype(archive.read("", std::declval<at::Tensor&>()), archive) {
  calibration.load(archive);
  return archive;
}

}  // namespace v0_1
}  // namespace fuller

#ifndef FULLER_SEPARATE_MEMBERS
#include <fuller/calibration_members.hpp>
#endif

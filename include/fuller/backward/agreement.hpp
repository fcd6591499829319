// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/modalities.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>

// What ranks tell each other before they reduce anything: what each is about to do. All read the same table, so that all of them
// go on, or all refuse, with the same words.

namespace fuller {
inline namespace v0_1 {
namespace detail {

enum class Doing {
  idle = 1,  ///< has no batch: adds zeros to whatever the others reduce
  fork,      ///< weighs its tasks where the cotangents of the shared representation arrive
  sum,       ///< weighs them at the losses
  plain,     ///< trains nothing that is shared
  gate,      ///< gates its branches
  no_gate,   ///< passes no gate in a backward in which another rank does: adds zeros there
  refused    ///< has thrown: no rank takes the step
};

/// What one rank is about to do, and how much of which type it will reduce.
struct Intent {
  Doing doing = Doing::idle;
  std::int64_t step = 0;
  std::uint64_t made = 0;             ///< a hash of what the calibration was made with
  std::int64_t measured = 0;          ///< whether task gradients are compared in the step
  std::int64_t floats = 0;            ///< elements of a task's gradient, or of all fusion weights', that travel as floats
  std::int64_t doubles = 0;           ///< and as doubles
  std::int64_t buffers = 0;           ///< in so many flat buffers
  std::uint64_t shapes = 0;           ///< a hash of the shapes of what is compared
  std::int64_t rows = 0;              ///< of a linear layer's input, by which its weight can be compared; 0: cannot
  std::int64_t inputs = 0;            ///< of that layer
  std::int64_t outputs = 0;           ///< and its outputs
  std::int64_t gates = 0;             ///< passes through gates in the same backward
  double scale = 0;                   ///< the loss scale of this rank's backward
  std::vector<std::uint8_t> present;  ///< T tasks; at a gate M branches, then whether a gradient has come to any of them

  bool at_gate() const { return doing == Doing::gate || doing == Doing::no_gate; }
  bool gives_zeros() const { return doing == Doing::idle || doing == Doing::no_gate; }
};

/// FNV-1a, of which 48 bits travel: doubles hold them exactly.
class Hash {
 public:
  Hash& add(std::string_view text) {
    for (const char letter : text) {
      value_ = (value_ ^ static_cast<unsigned char>(letter)) * 1099511628211ULL;
    }
    return add(static_cast<std::int64_t>(text.size()));
  }
  Hash& add(std::int64_t number) {
    for (int byte = 0; byte < 8; ++byte) {
      value_ = (value_ ^ (static_cast<std::uint64_t>(number) >> (8 * byte) & 0xFFU)) * 1099511628211ULL;
    }
    return *this;
  }
  std::uint64_t value() const { return (value_ ^ value_ >> 48U) & 0xFFFFFFFFFFFFULL; }

 private:
  std::uint64_t value_ = 14695981039346656037ULL;
};

inline const std::vector<std::string>& modality_names(const State& state) {
  static const std::vector<std::string> none;
  return state.modalities ? state.modalities->names : none;
}

inline std::uint64_t hash_of(const State& state) {
  Hash hash;
  for (const std::string& task : state.tasks()) {
    hash.add(task);
  }
  const Plan& plan = *state.plan;
  hash.add(plan.rule.name()).add(static_cast<std::int64_t>(plan.rule.state_size()));
  hash.add(static_cast<int>(plan.surface)).add(static_cast<int>(plan.apply_to));
  hash.add(static_cast<int>(plan.options.missing)).add(static_cast<int>(plan.options.non_finite)).add(plan.options.measure_every);
  hash.add(static_cast<int>(plan.options.stage)).add(plan.options.every);
  hash.add(static_cast<std::int64_t>(std::llround(std::ldexp(plan.options.smoothing, 52))));
  hash.add(plan.options.ranks.count);
  for (const std::string& modality : modality_names(state)) {
    hash.add(modality);
  }
  if (state.modalities) {
    hash.add(state.modalities->law.name()).add(state.modalities->law.reads_scores() ? 1 : 0);
  }
  return hash.value();
}

/// An intent as so many doubles, each exact when it has been divided by the number of ranks and multiplied with it again.
class IntentLayout {
 public:
  explicit IntentLayout(std::size_t present) : words_(std::max<std::size_t>(1, (present + bits - 1) / bits)) {}

  std::size_t size() const { return fixed + words_; }

  void encode(const Intent& intent, double* row) const {
    std::uint64_t scale = 0;
    std::memcpy(&scale, &intent.scale, sizeof scale);
    const double values[fixed] = {
        static_cast<double>(intent.doing),    static_cast<double>(intent.step),           static_cast<double>(intent.made),
        static_cast<double>(intent.measured), static_cast<double>(intent.floats),         static_cast<double>(intent.doubles),
        static_cast<double>(intent.buffers),  static_cast<double>(intent.shapes),         static_cast<double>(intent.gates),
        static_cast<double>(scale >> 32U),    static_cast<double>(scale & 0xFFFFFFFFULL), static_cast<double>(intent.rows),
        static_cast<double>(intent.inputs),   static_cast<double>(intent.outputs)};
    std::copy_n(values, fixed, row);
    for (std::size_t i = 0; i < intent.present.size(); ++i) {
      row[fixed + i / bits] += intent.present[i] != 0 ? std::ldexp(1.0, static_cast<int>(i % bits)) : 0.0;
    }
  }

  Intent decode(const double* row, std::size_t present) const {
    const auto number = [&](std::size_t place) { return static_cast<std::int64_t>(std::llround(row[place])); };
    Intent intent;
    intent.doing = static_cast<Doing>(number(0));
    intent.step = number(1);
    intent.made = static_cast<std::uint64_t>(number(2));
    intent.measured = number(3);
    intent.floats = number(4);
    intent.doubles = number(5);
    intent.buffers = number(6);
    intent.shapes = static_cast<std::uint64_t>(number(7));
    intent.gates = number(8);
    const std::uint64_t scale = static_cast<std::uint64_t>(number(9)) << 32U | static_cast<std::uint64_t>(number(10));
    std::memcpy(&intent.scale, &scale, sizeof scale);
    intent.rows = number(11);
    intent.inputs = number(12);
    intent.outputs = number(13);
    for (std::size_t i = 0; i < present; ++i) {
      intent.present.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(number(fixed + i / bits)) >> i % bits & 1U));
    }
    return intent;
  }

 private:
  static constexpr std::size_t fixed = 14;
  static constexpr std::size_t bits = 48;
  std::size_t words_;
};

/// "rank 1 (of 4) weighs 'a' and 'b' at fork() in step 7".
inline std::string words_of(const State& state, const Intent& intent, int rank) {
  const auto listed_names = [&](const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < names.size() && i < intent.present.size(); ++i) {
      text += intent.present[i] != 0 ? (text.empty() ? "'" : ", '") + names[i] + "'" : "";
    }
    return text.empty() ? "nothing" : text;
  };
  std::string text = "rank " + std::to_string(rank) + " ";
  switch (intent.doing) {
    case Doing::idle:
      text += "idles";
      break;
    case Doing::fork:
      text += "weighs " + listed_names(state.tasks()) + " at fork()";
      break;
    case Doing::sum:
      text += "weighs " + listed_names(state.tasks()) + " at sum()";
      break;
    case Doing::plain:
      text += "sums " + listed_names(state.tasks()) + ", which share nothing that is trained,";
      break;
    case Doing::gate:
      text += "is at its gate(), with " + listed_names(modality_names(state));
      break;
    case Doing::no_gate:
      text += "is through with its backward, which passed no gate(),";
      break;
    default:
      text += "has refused";
  }
  return text + " in step " + std::to_string(intent.step);
}

/// What all ranks are about to do, in their order.
class Agreement {
 public:
  explicit Agreement(std::vector<Intent> all) : all_(std::move(all)) {}

  const std::vector<Intent>& all() const { return all_; }
  /// The first rank that has something to reduce; null where all only add zeros.
  const Intent* first_busy() const {
    const auto busy = std::find_if(all_.begin(), all_.end(), [](const Intent& one) { return !one.gives_zeros(); });
    return busy == all_.end() ? nullptr : &*busy;
  }
  bool any_gives_zeros() const {
    return std::any_of(all_.begin(), all_.end(), [](const Intent& one) { return one.gives_zeros(); });
  }
  bool any_passes_gates() const {
    return std::any_of(all_.begin(), all_.end(), [](const Intent& one) { return one.gates > 0; });
  }
  /// What is present on any rank.
  std::vector<std::uint8_t> present() const {
    std::vector<std::uint8_t> any(all_.front().present.size(), 0);
    for (const Intent& one : all_) {
      for (std::size_t i = 0; i < any.size(); ++i) {
        any[i] = any[i] != 0 || one.present[i] != 0 ? 1 : 0;
      }
    }
    return any;
  }
  /// The loss scale of the mean over the ranks, of which an idle one has 0: they may weigh their losses by their samples.
  double scale() const {
    double sum = 0;
    bool same = true;
    for (const Intent& one : all_) {
      sum += one.scale;
      same = same && one.scale == all_.front().scale;
    }
    return same ? all_.front().scale : sum / static_cast<double>(all_.size());
  }

 private:
  std::vector<Intent> all_;
};

/// Why ranks that are about to do this cannot go on together; empty where they can.
inline std::string disagreement(const std::vector<Intent>& all) {
  const auto differs = [&](auto value, auto counts) {
    const Intent* first = nullptr;
    for (const Intent& one : all) {
      if (counts(one)) {
        first = first == nullptr ? &one : first;
        if (value(one) != value(*first)) {
          return true;
        }
      }
    }
    return false;
  };
  const auto every = [](const Intent&) { return true; };
  const auto busy = [](const Intent& one) { return !one.gives_zeros(); };
  const auto any = [&](auto is) { return std::any_of(all.begin(), all.end(), is); };
  if (any([](const Intent& one) { return one.doing == Doing::refused; })) {
    return "a rank that has refused says why";
  }
  if (differs([](const Intent& one) { return one.made; }, every)) {
    return "their calibrations differ in tasks, rule or options; make them alike, and give each calibration ranks of its own";
  }
  const bool at_gate = any([](const Intent& one) { return one.at_gate(); });
  const bool at_losses = any([](const Intent& one) { return !one.at_gate() && one.doing != Doing::idle; });
  const bool late = any([](const Intent& one) { return one.doing == Doing::no_gate; });
  if ((at_gate && at_losses) || (late && any([](const Intent& one) { return one.doing == Doing::idle; }))) {
    return "sum() and gate() come in another order, or one of them not at all; each rank is to go the same way";
  }
  if (differs([](const Intent& one) { return one.doing; }, busy)) {
    return "weights are chosen at fork() on one and at sum() on another; give each rank the same network, and name the "
           "parameters "
           "to compare";
  }
  if (differs([](const Intent& one) { return one.step; }, every)) {
    return "one has taken more steps than another; call sum() and backward(), or idle_step(), on every rank in each step, and "
           "load "
           "the same state";
  }
  if (differs([](const Intent& one) { return one.measured; }, busy)) {
    return "one compares task gradients and another does not";
  }
  if (differs([](const Intent& one) { return one.shapes; }, busy) ||
      differs([](const Intent& one) { return one.floats; }, busy) ||
      differs([](const Intent& one) { return one.doubles; }, busy)) {
    return "they compare other parameters, by number, shape or type; give each rank the same network";
  }
  const bool scattered =
      any([](const Intent& one) { return one.buffers > (one.floats > 0 ? 1 : 0) + (one.doubles > 0 ? 1 : 0); });
  if (scattered && any([](const Intent& one) { return one.gives_zeros(); })) {
    return "what is compared lies on several devices, of which a rank that idles knows nothing; give each rank a batch";
  }
  return "";
}

/// Has all ranks know what all are about to do.
/// @throws Error on every rank where that does not go together.
inline Agreement agree(State& state, Intent mine) {
  const Ranks& ranks = state.options().ranks;
  ++state.meetings;
  mine.made = hash_of(state);
  mine.present.resize(std::max(mine.present.size(), mine.at_gate() ? modality_names(state).size() + 1 : state.tasks().size()), 0);
  const std::size_t present = std::max(state.tasks().size(), modality_names(state).size() + 1);
  const IntentLayout layout(present);
  const auto count = static_cast<std::size_t>(ranks.count);
  std::vector<double> table(count * layout.size(), 0.0);
  layout.encode(mine, table.data() + static_cast<std::size_t>(ranks.rank) * layout.size());
  state.shown.bytes_averaged += static_cast<std::int64_t>(table.size() * sizeof(double));
  average(ranks, table, {"what the ranks are about to do", mine.step});
  std::vector<Intent> all;
  for (std::size_t r = 0; r < count; ++r) {
    double* const row = table.data() + r * layout.size();
    std::for_each(row, row + layout.size(), [&](double& value) { value *= ranks.count; });
    all.push_back(layout.decode(row, present));
  }
  const std::string why = disagreement(all);
  if (!why.empty()) {
    std::string doing;
    for (std::size_t r = 0; r < count; ++r) {
      doing += (r == 0 ? "" : "; ") + words_of(state, all[r], static_cast<int>(r));
    }
    fail("rank ", ranks.rank, " of ", ranks.count, ": the ranks cannot take step ", mine.step, " together: ", doing, ": ", why);
  }
  return Agreement(std::move(all));
}

/// Whether ranks tell each other what they are about to do.
inline bool ranks_meet(const Ranks& ranks) { return ranks.average && ranks.rank >= 0 && !ranks.alike; }

/// Calls f; where that throws before this rank has met the others, tells them, so that they refuse the step too and wait for
/// nobody.
template <class F>
auto refusing_together(State& state, const F& f) -> decltype(f()) {
  const std::int64_t met = state.meetings;
  try {
    return f();
  } catch (...) {
    if (ranks_meet(state.options().ranks) && state.meetings == met) {
      try {
        Intent refused;
        refused.doing = Doing::refused;
        refused.step = state.engine->steps_begun();
        agree(state, refused);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): what f threw says more
      }
    }
    throw;
  }
}

/// Notes in `intent` what lists of gradients like these will travel as.
inline void note_layout(const std::vector<at::Tensor>& like, Intent& intent) {
  const FlatLists layout(like, 1);
  intent.floats = layout.length(at::kFloat);
  intent.doubles = layout.length(at::kDouble);
  intent.buffers = static_cast<std::int64_t>(layout.buffers());
  Hash hash;
  for (const at::Tensor& tensor : like) {
    hash.add(tensor.defined() ? tensor.dim() : -1);
    for (const std::int64_t size : tensor.defined() ? tensor.sizes() : at::IntArrayRef()) {
      hash.add(size);
    }
  }
  intent.shapes = hash.value();
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

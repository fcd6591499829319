// SPDX-License-Identifier: Apache-2.0
// fuller for trainers in Python: one extension module, built against the LibTorch inside the installed torch. Tensors, graphs and
// optimisers are Python's own; the nodes that fuller adds to a graph are C++, so a backward runs without Python's lock.
#include <torch/extension.h>

#include <fuller/fuller.hpp>
#include <fuller/measure/host_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "rules.hpp"

namespace py = pybind11;

namespace {

using fuller_python::choice;

/// Where LibTorch's engine may run, Python's lock must not be held: nodes of Python's on other threads wait for it.
using Unlocked = py::call_guard<py::gil_scoped_release>;

using Tensor = at::Tensor;
using Tensors = std::vector<Tensor>;
using Optionals = std::vector<std::optional<Tensor>>;
using Named = std::vector<std::pair<std::string, Tensor>>;

/// A Python object that is kept by C++: its last owner may be a thread of the backward's, which does not hold Python's lock.
using Kept = std::shared_ptr<py::object>;

Kept kept(py::object object) {
  return {new py::object(std::move(object)), [](py::object* last) {
            const py::gil_scoped_acquire lock;
            delete last;
          }};
}

/// A function of Python as a rule: called as rule(gram, losses, present), lists of numbers, and gives T weights.
struct PythonRule {
  static constexpr const char* name = "custom rule";
  static constexpr fuller::Needs needs{true, true};
  static constexpr fuller::Surface default_surface = fuller::Surface::last_shared;
  static constexpr fuller::ApplyTo default_apply_to = fuller::ApplyTo::all;

  Kept function;

  int state_size(int) const { return 0; }
  int scratch_size(int) const { return 0; }
  void initialise(int tasks, double*) const { fuller::detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  void operator()(Lanes, const fuller::Evidence<Tasks>& evidence, double*, double* weights, double*) const {
    const auto count = static_cast<std::size_t>(evidence.tasks());
    std::vector<std::vector<double>> gram(count, std::vector<double>(count, 0));
    std::vector<double> losses(count, 0);
    std::vector<bool> present(count);
    for (std::size_t i = 0; i < count; ++i) {
      present[i] = evidence.present[i] != 0;
      for (std::size_t j = 0; present[i] && j < count; ++j) {
        gram[i][j] = evidence.present[j] != 0 ? evidence.dot(static_cast<int>(i), static_cast<int>(j)) : 0;
      }
      losses[i] = present[i] ? evidence.losses[i] : 0;
    }
    std::vector<double> given;
    {
      const py::gil_scoped_acquire lock;
      try {
        given = (*function)(gram, losses, present).template cast<std::vector<double>>();
      } catch (const std::exception& error) {  // its text must be read, and the exception be freed, under the lock
        fuller::detail::fail("the rule in Python failed: ", error.what());
      }
    }
    if (given.size() != count) {
      fuller::detail::fail("the rule in Python gave ", given.size(), " weights for ", count, " tasks; give one for each");
    }
    for (std::size_t i = 0; i < count; ++i) {
      weights[i] = present[i] ? given[i] : 0;
    }
  }
};

using Rule = fuller_python::Rules<PythonRule>;

/// What a calibration keeps, as a dictionary of tensors: save() and load() ask no more of an archive.
struct Dictionary {
  std::unordered_map<std::string, Tensor> entries;

  void write(const std::string& name, const Tensor& tensor) { entries[name] = tensor; }
  void read(const std::string& name, Tensor& tensor) const {
    const auto entry = entries.find(name);
    if (entry == entries.end()) {
      fuller::detail::fail("the dictionary has no '", name, "'");
    }
    tensor = entry->second;
  }
};

/// An optimiser of Python's, for step().
struct Optimizer {
  py::object object;
  void step() { object.attr("step")(); }
};

/// Ranks that average by a process group of torch.distributed's, whatever its transport.
fuller::Ranks ranks_of(const py::object& group) {
  const auto size = group.attr("size")().cast<int>();
  fuller::Ranks ranks;
  ranks.count = size;
  ranks.rank = size > 1 ? group.attr("rank")().cast<int>() : -1;
  if (size > 1) {
    ranks.average = [group = kept(group), size](Tensors& tensors) {
      const py::gil_scoped_acquire lock;
      const py::object all_reduce = py::module_::import("torch.distributed").attr("all_reduce");
      for (Tensor& tensor : tensors) {
        all_reduce(tensor, py::arg("group") = *group);
        tensor.div_(size);
      }
    };
  }
  return ranks;
}

Tensors undefined_where_none(const Optionals& given) {
  Tensors tensors;
  for (const auto& one : given) {
    tensors.push_back(one.value_or(Tensor()));
  }
  return tensors;
}

fuller::Calibration make(const Rule& rule, std::vector<std::string> tasks, const std::optional<std::string>& surface,
                         const std::optional<std::string>& apply_to, const std::string& missing, const std::string& non_finite,
                         const std::string& stage, const std::vector<double>& before, const std::vector<double>& after,
                         bool last_shared_bias, const std::string& memory, int every, double smoothing, int measure_every,
                         double zero_below, const py::object& ranks) {
  fuller::CalibrationOptions options;
  if (surface) {
    options.surface = choice<fuller::Surface>("surface", *surface,
                                              {{"last_shared", fuller::Surface::last_shared},
                                               {"representation", fuller::Surface::representation},
                                               {"all_shared", fuller::Surface::all_shared}});
  }
  if (apply_to) {
    options.apply_to = choice<fuller::ApplyTo>("apply_to", *apply_to,
                                               {{"all", fuller::ApplyTo::all}, {"shared_only", fuller::ApplyTo::shared_only}});
  }
  options.missing = choice<fuller::Missing>("missing", missing,
                                            {{"hold", fuller::Missing::hold}, {"renormalise", fuller::Missing::renormalise}});
  options.non_finite = choice<fuller::NonFinite>("non_finite", non_finite,
                                                 {{"propagate", fuller::NonFinite::propagate},
                                                  {"skip", fuller::NonFinite::skip},
                                                  {"throw_error", fuller::NonFinite::throw_error}});
  options.stage = choice<fuller::LossStage>("stage", stage,
                                            {{"none", fuller::LossStage::none},
                                             {"log", fuller::LossStage::log},
                                             {"initial", fuller::LossStage::initial},
                                             {"l2", fuller::LossStage::l2},
                                             {"loss", fuller::LossStage::loss},
                                             {"loss_plus", fuller::LossStage::loss_plus}});
  options.before = before;
  options.after = after;
  options.last_shared_bias = last_shared_bias;
  options.memory = choice<fuller::TaskMemory>(
      "memory", memory, {{"all_layers", fuller::TaskMemory::all_layers}, {"layer_by_layer", fuller::TaskMemory::layer_by_layer}});
  options.every = every;
  options.smoothing = smoothing;
  options.measure_every = measure_every;
  options.zero_below = zero_below;
  if (!ranks.is_none()) {
    options.ranks = ranks_of(ranks);
  }
  return std::visit([&](const auto& chosen) { return fuller::Calibration(chosen, std::move(tasks), std::move(options)); }, rule);
}

py::dict as_dict(const fuller::Diagnostics& d) {
  using py::literals::operator""_a;
  const auto names = [](const std::vector<fuller::NamedShape>& list) {
    std::vector<std::pair<std::string, std::vector<std::int64_t>>> out;
    for (const auto& one : list) {
      out.emplace_back(one.name, std::vector<std::int64_t>(one.shape.begin(), one.shape.end()));
    }
    return out;
  };
  std::vector<std::string> conditions;
  for (const fuller::Condition condition : d.conditions) {
    conditions.emplace_back(fuller::detail::name_of(condition));
  }
  return py::dict(
      "tasks"_a = d.tasks, "step"_a = d.step, "weights"_a = d.weights, "head_weights"_a = d.head_weights,
      "stage_factors"_a = d.stage_factors, "held_for"_a = d.held_for, "conditions"_a = conditions, "norms"_a = d.norms,
      "cosines"_a = d.cosines, "conflict_share"_a = d.conflict_share, "gamma_task"_a = d.gamma_task,
      "gamma_task_weighted"_a = d.gamma_task_weighted, "weight_ratio"_a = d.weight_ratio, "step_length"_a = d.step_length,
      "stalled"_a = d.stalled, "summed"_a = d.summed, "one_more"_a = d.one_more, "route"_a = fuller::detail::name_of(d.route),
      "compared"_a = fuller::detail::name_of(d.compared), "surface"_a = names(d.surface), "shared"_a = names(d.shared),
      "passes"_a = d.passes, "bytes_kept"_a = d.bytes_kept, "micro_batches"_a = d.micro_batches, "gathered"_a = d.gathered,
      "bytes_averaged"_a = d.bytes_averaged, "policy"_a = d.policy, "modalities"_a = d.modalities, "gates"_a = d.gates,
      "branch_norms"_a = d.branch_norms, "branch_scores"_a = d.branch_scores, "gamma_modal"_a = d.gamma_modal);
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  module.doc() = "Calibrates the gradients of several tasks, and of several modality branches, inside one loss.backward().";
  module.attr("__version__") = fuller::version;
  fuller_python::bind_first_rules(module);
  fuller_python::bind_more_rules(module);
  fuller_python::bind_gate_laws(module);
  py::class_<PythonRule>(module, "Rule", "A function of Python as a rule: weights = function(gram, losses, present).")
      .def(py::init([](py::function function) { return PythonRule{kept(std::move(function))}; }), py::arg("function"));

  module.def(
      "peak_memory",
      [](const py::function& step) {
        const fuller::HostMemory memory;
        return memory.peak_of([&] { step(); });
      },
      py::arg("step"),
      "Calls step(), and returns the most bytes that tensors on the CPU held while it ran, above those held when it began.");

  using fuller::Calibration;
  py::class_<Calibration>(module, "Calibration")
      .def(py::init(&make), py::arg("rule"), py::arg("tasks"), py::kw_only(), py::arg("surface") = py::none(),
           py::arg("apply_to") = py::none(), py::arg("missing") = "hold", py::arg("non_finite") = "propagate",
           py::arg("stage") = "none", py::arg("before") = std::vector<double>(), py::arg("after") = std::vector<double>(),
           py::arg("last_shared_bias") = false, py::arg("memory") = "all_layers", py::arg("every") = 1,
           py::arg("smoothing") = 0.0, py::arg("measure_every") = 0,
           py::arg("zero_below") = fuller::CalibrationOptions().zero_below, py::arg("ranks") = py::none())
      .def(
          "modalities",
          [](Calibration& self, const fuller_python::Laws& law, std::vector<std::string> names) {
            std::visit([&](const auto& chosen) { self.modalities(chosen, std::move(names)); }, law);
          },
          py::arg("law"), py::arg("names"))
      .def(
          "modalities",
          [](Calibration& self, std::vector<std::string> names, double alpha, double momentum, double floor, bool on_updates) {
            fuller::ModalityGateOptions options;
            options.alpha = alpha;
            options.momentum = momentum;
            options.floor = floor;
            options.target = on_updates ? fuller::GateTarget::update : fuller::GateTarget::gradient;
            self.modalities(fuller::ModalityGate(options), std::move(names));
          },
          py::arg("names"), py::kw_only(), py::arg("alpha") = fuller::ModalityGateOptions().alpha,
          py::arg("momentum") = fuller::ModalityGateOptions().momentum, py::arg("floor") = fuller::ModalityGateOptions().floor,
          py::arg("on_updates") = false)
      .def(
          "fork", [](Calibration& self, const Tensor& z, const Tensors& last_shared) { return self.fork(z, last_shared); },
          py::arg("z"), py::arg("last_shared") = Tensors(), Unlocked())
      .def(
          "fork",
          [](Calibration& self, const Tensors& levels, const Tensors& last_shared) {
            return self.fork_levels(levels, last_shared);
          },
          py::arg("levels"), py::arg("last_shared") = Tensors(), Unlocked())
      .def(
          "sum", [](Calibration& self, const Optionals& losses) { return self.sum(undefined_where_none(losses)); },
          py::arg("losses"), Unlocked())
      .def(
          "sum", [](Calibration& self, const std::unordered_map<std::string, Tensor>& losses) { return self.sum(losses); },
          py::arg("losses"), Unlocked())
      .def(
          "gate",
          [](Calibration& self, const Optionals& branches, const Tensor& fusion) {
            return self.gate(undefined_where_none(branches), fusion);
          },
          py::arg("branches"), py::arg("fusion"), Unlocked())
      .def(
          "gate",
          [](Calibration& self, const Optionals& branches, const Tensors& fusion) {
            return self.gate(undefined_where_none(branches), fusion);
          },
          py::arg("branches"), py::arg("fusion"), Unlocked())
      .def(
          "step",
          [](Calibration& self, py::object optimizer, const std::vector<Tensors>& branches) {
            Optimizer steps{std::move(optimizer)};
            self.step(steps, branches);
          },
          py::arg("optimizer"), py::arg("branches"))
      .def(
          "scores", [](Calibration& self, const std::vector<double>& of_branches) { self.scores(of_branches); },
          py::arg("of_branches"))
      .def(
          "scores", [](Calibration& self, const Optionals& of_branches) { self.scores(undefined_where_none(of_branches)); },
          py::arg("of_branches"))
      .def("accumulate", &Calibration::accumulate, py::arg("micro_batches"))
      .def("idle_step", &Calibration::idle_step, Unlocked())
      .def("end_epoch", &Calibration::end_epoch)
      .def("steps", &Calibration::steps)
      .def(
          "name_parameters",
          [](Calibration& self, const py::iterable& named, const std::string& prefix) {
            Named list;
            for (const py::handle item : named) {
              list.push_back(item.cast<std::pair<std::string, Tensor>>());
            }
            self.name_parameters(list, prefix);
          },
          py::arg("named"), py::arg("prefix") = "")
      .def("head", &Calibration::head, py::arg("task"), py::arg("parameters"))
      .def("diagnostics", [](const Calibration& self) { return as_dict(self.diagnostics()); })
      .def("describe", &Calibration::describe)
      .def("state_dict",
           [](const Calibration& self) {
             Dictionary written;
             self.save(written);
             return written.entries;
           })
      .def(
          "load_state_dict",
          [](Calibration& self, std::unordered_map<std::string, Tensor> saved) {
            Dictionary read{std::move(saved)};
            self.load(read);
          },
          py::arg("saved"))
      .def(
          "save", [](const Calibration& self, const std::string& path) { torch::save(self, path); }, py::arg("path"))
      .def(
          "load", [](Calibration& self, const std::string& path) { torch::load(self, path); }, py::arg("path"));
}

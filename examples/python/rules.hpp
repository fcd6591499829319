// SPDX-License-Identifier: Apache-2.0
#pragma once

// The library's rules and gate laws for Python: a class each, whose constructor takes the options of its header by their names.
// Choices are words, as they are spelled in C++.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <fuller/fuller.hpp>

namespace fuller_python {

namespace py = pybind11;

template <class Choice>
using Words = std::vector<std::pair<std::string, Choice>>;

template <class Choice>
Choice choice(const std::string& option, const std::string& given, const Words<Choice>& words) {
  std::string all;
  for (const auto& [word, value] : words) {
    if (word == given) {
      return value;
    }
    all += (all.empty() ? "'" : ", '") + word + "'";
  }
  throw py::value_error("fuller: option " + option + " is '" + given + "'; it is one of " + all);
}

inline Words<fuller::WeightSum> words_of(fuller::WeightSum) {
  return {{"one", fuller::WeightSum::one}, {"tasks", fuller::WeightSum::tasks}};
}
inline Words<fuller::IMTL_G_Options::Negative> words_of(fuller::IMTL_G_Options::Negative) {
  using Negative = fuller::IMTL_G_Options::Negative;
  return {{"signed_shared", Negative::signed_shared}, {"clamp", Negative::clamp}, {"paper", Negative::paper}};
}
inline Words<fuller::GradNormOptions::Optimizer> words_of(fuller::GradNormOptions::Optimizer) {
  return {{"sgd", fuller::GradNormOptions::Optimizer::sgd}, {"adam", fuller::GradNormOptions::Optimizer::adam}};
}
inline Words<fuller::GradNormOptions::Use> words_of(fuller::GradNormOptions::Use) {
  return {{"before_update", fuller::GradNormOptions::Use::before_update}, {"updated", fuller::GradNormOptions::Use::updated}};
}
inline Words<fuller::AlignedMTLOptions::Scale> words_of(fuller::AlignedMTLOptions::Scale) {
  using Scale = fuller::AlignedMTLOptions::Scale;
  return {{"min", Scale::min}, {"median", Scale::median}, {"mean", Scale::mean}};
}
inline Words<fuller::CAGradOptions::Rescale> words_of(fuller::CAGradOptions::Rescale) {
  using Rescale = fuller::CAGradOptions::Rescale;
  return {{"one", Rescale::one}, {"one_plus_c_squared", Rescale::one_plus_c_squared}};
}
inline Words<fuller::LDCOptions::Normalise> words_of(fuller::LDCOptions::Normalise) {
  using Normalise = fuller::LDCOptions::Normalise;
  return {{"none", Normalise::none}, {"initial", Normalise::initial}, {"log_initial", Normalise::log_initial}};
}
inline Words<fuller::GateNorm> words_of(fuller::GateNorm) {
  return {{"l2", fuller::GateNorm::l2}, {"rms", fuller::GateNorm::rms}};
}
inline Words<fuller::GateShape> words_of(fuller::GateShape) {
  return {{"paper", fuller::GateShape::paper}, {"continuous", fuller::GateShape::continuous}};
}
inline Words<fuller::GateEvidence> words_of(fuller::GateEvidence) {
  return {{"norms", fuller::GateEvidence::norms}, {"scores", fuller::GateEvidence::scores}};
}
inline Words<fuller::GateTarget> words_of(fuller::GateTarget) {
  return {{"gradient", fuller::GateTarget::gradient}, {"update", fuller::GateTarget::update}};
}

/// How an option's value is written in Python.
template <class Value, class = void>
struct InPython {
  using Type = Value;
  static Type from(const Value& value) { return value; }
  static Value to(const std::string&, Type given) { return given; }
};
template <class Value>
struct InPython<Value, std::enable_if_t<std::is_enum_v<Value>>> {
  using Type = std::string;
  static Type from(Value value) {
    for (const auto& [word, known] : words_of(value)) {
      if (known == value) {
        return word;
      }
    }
    return "";
  }
  static Value to(const std::string& option, const Type& given) { return choice(option, given, words_of(Value())); }
};
template <>
struct InPython<fuller::TaskVector> {
  using Type = std::vector<double>;
  static Type from(const fuller::TaskVector& value) {
    Type list;
    for (int i = 0; i < value.size(); ++i) {
      list.push_back(value[i]);
    }
    return list;
  }
  static fuller::TaskVector to(const std::string&, const Type& given) { return fuller::TaskVector(given); }
};

template <class Options, class Value>
struct Field {
  const char* name;
  Value Options::*member;
};
template <class Options, class Value>
Field(const char*, Value Options::*) -> Field<Options, Value>;

/// A class whose constructor takes these options.
template <class Made, class Options, class... Values>
void bind(py::module_& module, const char* name, Field<Options, Values>... fields) {
  const Options defaults;
  py::class_<Made>(module, name)
      .def(py::init([fields...](typename InPython<Values>::Type... given) {
             Options options;
             ((options.*fields.member = InPython<Values>::to(fields.name, std::move(given))), ...);
             return Made(options);
           }),
           (py::arg(fields.name) = InPython<Values>::from(defaults.*fields.member))...);
}

/// The same of one without options.
template <class Made>
void bind(py::module_& module, const char* name) {
  py::class_<Made>(module, name).def(py::init<>());
}

/// Every rule of the library but schedules by hand.
template <class... More>
using Rules = std::variant<fuller::IMTL_G, fuller::GradNorm, fuller::DWA, fuller::PCGrad, fuller::WPCGrad<fuller::DTP>,
                           fuller::Uniform, fuller::Constant, fuller::ConFIG, fuller::AlignedMTL, fuller::GradVac, fuller::DBMTL,
                           fuller::FairGrad, fuller::NashMTL, fuller::UPGrad, fuller::DualProj, fuller::MGDA, fuller::CAGrad,
                           fuller::PCD, fuller::Balancer, fuller::UW, fuller::IMTL_L, fuller::RLW, fuller::FAMO, fuller::STCH,
                           fuller::GLS, fuller::GO4Align, fuller::LDC, More...>;

using Laws = std::variant<fuller::ModalityGate, fuller::MLB, fuller::OGM, fuller::AGM, fuller::CGGM>;

inline void bind_first_rules(py::module_& module) {
  using namespace fuller;
  bind<IMTL_G>(module, "IMTL_G", Field{"negative", &IMTL_G_Options::negative}, Field{"sum", &IMTL_G_Options::sum});
  bind<GradNorm>(module, "GradNorm", Field{"alpha", &GradNormOptions::alpha},
                 Field{"learning_rate", &GradNormOptions::learning_rate}, Field{"optimizer", &GradNormOptions::optimizer},
                 Field{"beta_1", &GradNormOptions::beta_1}, Field{"beta_2", &GradNormOptions::beta_2},
                 Field{"initial_losses", &GradNormOptions::initial_losses}, Field{"floor", &GradNormOptions::floor},
                 Field{"use", &GradNormOptions::use});
  bind<DWA>(module, "DWA", Field{"temperature", &DWAOptions::temperature});
  bind<PCGrad>(module, "PCGrad", Field{"seed", &PCGradOptions::seed});
  py::class_<WPCGrad<DTP>>(module, "WPCGrad")
      .def(py::init([](double gamma, std::uint64_t seed) {
             DTPOptions options;
             options.gamma = gamma;
             return WPCGrad<DTP>(DTP(options), {seed});
           }),
           py::arg("gamma") = DTPOptions().gamma, py::arg("seed") = 0);
  bind<Uniform>(module, "Uniform");
  py::class_<Constant>(module, "Constant")
      .def(py::init([](const std::vector<double>& weights) { return Constant(TaskVector(weights)); }), py::arg("weights"));
}

inline void bind_more_rules(py::module_& module) {
  using namespace fuller;
  bind<ConFIG>(module, "ConFIG");
  bind<AlignedMTL>(module, "AlignedMTL", Field{"scale", &AlignedMTLOptions::scale}, Field{"sum", &AlignedMTLOptions::sum});
  bind<GradVac>(module, "GradVac", Field{"beta", &GradVacOptions::beta}, Field{"seed", &GradVacOptions::seed});
  bind<DBMTL>(module, "DBMTL", Field{"beta", &DBMTLOptions::beta}, Field{"sigma", &DBMTLOptions::sigma});
  bind<FairGrad>(module, "FairGrad", Field{"alpha", &FairGradOptions::alpha}, Field{"ridge", &FairGradOptions::ridge},
                 Field{"sum", &FairGradOptions::sum});
  bind<NashMTL>(module, "NashMTL", Field{"max_norm", &NashMTLOptions::max_norm}, Field{"ridge", &NashMTLOptions::ridge});
  bind<UPGrad>(module, "UPGrad", Field{"sum", &UPGradOptions::sum});
  bind<DualProj>(module, "DualProj", Field{"sum", &DualProjOptions::sum});
  bind<MGDA>(module, "MGDA");
  bind<CAGrad>(module, "CAGrad", Field{"c", &CAGradOptions::c}, Field{"rescale", &CAGradOptions::rescale});
  bind<PCD>(module, "PCD", Field{"primary", &PCDOptions::primary}, Field{"tau", &PCDOptions::tau},
            Field{"beta", &PCDOptions::beta}, Field{"epsilon", &PCDOptions::epsilon});
  bind<Balancer>(module, "Balancer", Field{"shares", &BalancerOptions::shares}, Field{"total_norm", &BalancerOptions::total_norm},
                 Field{"decay", &BalancerOptions::decay});
  bind<UW>(module, "UW", Field{"learning_rate", &UWOptions::learning_rate}, Field{"initial", &UWOptions::initial});
  bind<IMTL_L>(module, "IMTL_L", Field{"learning_rate", &IMTL_L_Options::learning_rate},
               Field{"initial", &IMTL_L_Options::initial});
  bind<RLW>(module, "RLW", Field{"sum", &RLWOptions::sum}, Field{"seed", &RLWOptions::seed});
  bind<FAMO>(module, "FAMO", Field{"learning_rate", &FAMOOptions::learning_rate}, Field{"gamma", &FAMOOptions::gamma},
             Field{"least", &FAMOOptions::least});
  bind<STCH>(module, "STCH", Field{"mu", &STCHOptions::mu}, Field{"preference", &STCHOptions::preference},
             Field{"ideal", &STCHOptions::ideal});
  bind<GLS>(module, "GLS");
  bind<GO4Align>(module, "GO4Align", Field{"groups", &GO4AlignOptions::groups}, Field{"eta", &GO4AlignOptions::eta});
  bind<LDC>(module, "LDC", Field{"normalise", &LDCOptions::normalise}, Field{"lambda_", &LDCOptions::lambda},
            Field{"learning_rate", &LDCOptions::learning_rate});
}

inline void bind_gate_laws(py::module_& module) {
  using namespace fuller;
  bind<ModalityGate>(module, "ModalityGate", Field{"alpha", &ModalityGateOptions::alpha},
                     Field{"momentum", &ModalityGateOptions::momentum}, Field{"floor", &ModalityGateOptions::floor},
                     Field{"norm", &ModalityGateOptions::norm}, Field{"shape", &ModalityGateOptions::shape},
                     Field{"target", &ModalityGateOptions::target});
  bind<MLB>(module, "MLB", Field{"evidence", &MLBOptions::evidence}, Field{"alpha", &MLBOptions::alpha},
            Field{"beta", &MLBOptions::beta}, Field{"norm", &MLBOptions::norm}, Field{"target", &MLBOptions::target});
  bind<OGM>(module, "OGM", Field{"alpha", &OGMOptions::alpha}, Field{"floor", &OGMOptions::floor},
            Field{"target", &OGMOptions::target});
  bind<AGM>(module, "AGM", Field{"alpha", &AGMOptions::alpha}, Field{"most", &AGMOptions::most},
            Field{"floor", &AGMOptions::floor}, Field{"target", &AGMOptions::target});
  bind<CGGM>(module, "CGGM", Field{"rho", &CGGMOptions::rho}, Field{"target", &CGGMOptions::target});
}

}  // namespace fuller_python

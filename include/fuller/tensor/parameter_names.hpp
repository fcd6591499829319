// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>
#include <iterator>
#include <sstream>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/TensorImpl.h>
#include <c10/core/UndefinedTensorImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {

/// A tensor as a user knows it.
struct NamedShape {
  std::string name;  ///< as given to name_parameters(); empty where it was not
  std::vector<std::int64_t> shape;
};

namespace detail {

/// A tensor that is not kept alive, but whose address nothing else takes as long as this lives.
using WeakTensor = c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>;

inline WeakTensor weak(const at::Tensor& tensor) { return WeakTensor(tensor.getIntrusivePtr()); }

/// The tensor, or an undefined one where it is gone.
inline at::Tensor locked(const WeakTensor& tensor) {
  auto pointer = tensor.lock();
  return pointer ? at::Tensor(std::move(pointer)) : at::Tensor();
}

/// What the user's modules call their parameters.
class ParameterNames {
 public:
  /// The first name counts: tied weights have several.
  /// @param prefix  what the user has put before the module's own name
  void insert(const std::string& prefix, const std::string& name, const at::Tensor& parameter) {
    const void* key = parameter.unsafeGetTensorImpl();
    const auto place = names_.find(key);
    if (place != names_.end() && place->second.parameter.expired()) {
      names_.erase(place);
    }
    names_.emplace(key, Named{weak(parameter), prefix, name});
  }

  /// The parameter's name, or "".
  std::string of(const at::Tensor& parameter) const {
    const Named* named = find(parameter);
    return named == nullptr ? std::string() : named->prefix + named->name;
  }
  /// What its module calls it, without the prefix, or "".
  std::string in_module(const at::Tensor& parameter) const {
    const Named* named = find(parameter);
    return named == nullptr ? std::string() : named->name;
  }

  bool empty() const { return names_.empty(); }

 private:
  struct Named {
    WeakTensor parameter;
    std::string prefix;
    std::string name;
  };

  const Named* find(const at::Tensor& parameter) const {
    const auto place = names_.find(parameter.unsafeGetTensorImpl());
    return place == names_.end() || place->second.parameter.expired() ? nullptr : &place->second;
  }

  std::unordered_map<const void*, Named> names_;
};

/// For a message: "a parameter of shape [8, 5]", or "the parameter 'decoder.weight' of shape [8, 5]".
inline std::string called(const ParameterNames& names, const at::Tensor& parameter, const char* kind = "parameter") {
  std::ostringstream text;
  const std::string name = names.of(parameter);
  if (name.empty()) {
    text << "a " << kind;
  } else {
    text << "the " << kind << " '" << name << "'";
  }
  text << " of shape " << parameter.sizes();
  return text.str();
}

/// Refuses what can be no parameter of the head of `task`.
inline void expect_parameters(const std::string& task, const std::vector<at::Tensor>& parameters) {
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.defined() || !parameter.is_leaf()) {
      fail("head() of '", task, "' got a tensor that is ", parameter.defined() ? "the result of a computation" : "undefined",
           "; give the parameters themselves: head->parameters()");
    }
  }
}

template <class Entry, class = void>
struct is_keyed : std::false_type {};
template <class Entry>
struct is_keyed<Entry, std::void_t<decltype(std::string(std::declval<const Entry&>().key())),
                                   decltype(at::Tensor(std::declval<const Entry&>().value()))>> : std::true_type {};

template <class Entry, class = void>
struct is_named_pair : std::false_type {};
template <class Entry>
struct is_named_pair<Entry, std::void_t<decltype(std::string(std::declval<const Entry&>().first)),
                                        decltype(at::Tensor(std::declval<const Entry&>().second))>> : std::true_type {};

/// Whether a container's entries are names with tensors: std::map, std::unordered_map, torch::OrderedDict, a list of pairs.
template <class Container, class = void>
struct holds_named_tensors : std::false_type {};
template <class Container>
struct holds_named_tensors<Container, std::void_t<decltype(*std::begin(std::declval<const Container&>()))>> {
  using Entry = std::decay_t<decltype(*std::begin(std::declval<const Container&>()))>;
  static constexpr bool value = is_keyed<Entry>::value || is_named_pair<Entry>::value;
};

/// The tensors that are still there, with their names.
inline std::vector<NamedShape> shown(const ParameterNames& names, const std::vector<WeakTensor>& tensors) {
  std::vector<NamedShape> list;
  for (const WeakTensor& one : tensors) {
    if (const at::Tensor tensor = locked(one); tensor.defined()) {
      list.push_back({names.of(tensor), tensor.sizes().vec()});
    }
  }
  return list;
}

/// Calls visit(name, tensor) for each entry.
template <class Container, class Visit>
void for_each_named(const Container& named, const Visit& visit) {
  for (const auto& entry : named) {
    if constexpr (is_keyed<std::decay_t<decltype(entry)>>::value) {
      visit(std::string(entry.key()), at::Tensor(entry.value()));
    } else {
      visit(std::string(entry.first), at::Tensor(entry.second));
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

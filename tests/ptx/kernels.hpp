// SPDX-License-Identifier: Apache-2.0
#pragma once

// The compiled unit's kernels, by the name that C++ gives them, from the PTX file that the environment names.

#include <cxxabi.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <typeinfo>

#include "ptx/machine.hpp"

namespace fuller::ptx {

/// A name or a type as C++ writes it, "A<B<2>>" without spaces.
inline std::string demangled(const char* name) {
  const std::unique_ptr<char, void (*)(void*)> made(abi::__cxa_demangle(name, nullptr, nullptr, nullptr), std::free);
  std::string out = made ? made.get() : name;
  for (std::size_t at = out.find("> >"); at != std::string::npos; at = out.find("> >")) {
    out.erase(at + 1, 1);
  }
  const std::string versioned = "fuller::v";  // the inline namespace: names are compared without
  for (std::size_t at = out.find(versioned); at != std::string::npos; at = out.find(versioned, at + 1)) {
    const std::size_t from = at + versioned.size() - 1;
    out.erase(from, out.find("::", from) + 2 - from);
  }
  return out;
}

/// "gram_kernel<fuller::cuda::detail::FewTasks<2>>" and the others.
class Kernels {
 public:
  explicit Kernels(const std::string& text, Fuse fuse = Fuse::nothing) : module_(text, fuse) {
    const std::string place = "fuller::cuda::detail::";
    for (const std::string& entry : module_.entries()) {
      const std::string name = demangled(entry.c_str());  // void fuller::cuda::detail::gram_kernel<...>(...)
      const std::size_t at = name.find(place);
      const std::size_t end = name.rfind(">(");
      if (at == std::string::npos || end == std::string::npos) {
        throw std::runtime_error("a kernel whose name says nothing: " + name);
      }
      entries_[name.substr(at + place.size(), end + 1 - at - place.size())] = entry;
    }
  }

  const Module& module() const { return module_; }
  const std::map<std::string, std::string>& entries() const { return entries_; }

  template <class Argument>
  const std::string& entry(const char* kernel) const {
    const std::string name = std::string(kernel) + "<" + demangled(typeid(Argument).name()) + ">";
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
      throw std::runtime_error("the PTX has no " + name);
    }
    return found->second;
  }

 private:
  Module module_;
  std::map<std::string, std::string> entries_;
};

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error("cannot read " + path);
  }
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What this program runs its kernels from: FULLER_PTX is the file; FULLER_PTX_FUSE, where it is there, `first` or `second`.
struct Unit {
  Machine machine;
  Kernels kernels;
  bool fused;

  /// Null where no file is named.
  static Unit* named() {
    static const std::unique_ptr<Unit> unit(std::getenv("FULLER_PTX") == nullptr ? nullptr : new Unit);
    return unit.get();
  }

 private:
  Unit() : kernels(read_text(std::getenv("FULLER_PTX")), fuse_asked()), fused(fuse_asked() != Fuse::nothing) {}

  static Fuse fuse_asked() {
    const char* const text = std::getenv("FULLER_PTX_FUSE");
    const std::string how = text == nullptr ? "" : text;
    if (how != "" && how != "first" && how != "second") {
      throw std::runtime_error("FULLER_PTX_FUSE is '" + how + "', neither first nor second");
    }
    return how.empty() ? Fuse::nothing : how == "first" ? Fuse::first : Fuse::second;
  }
};

}  // namespace fuller::ptx

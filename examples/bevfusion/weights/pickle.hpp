// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace bevfusion {

/// What a pickle holds, by index into Pickle::values.
struct PickleValue {
  struct Nothing {};
  using Index = std::size_t;
  struct Sequence {  ///< list, tuple, set or argument list
    std::vector<Index> items;
  };
  struct Dict {
    std::vector<std::pair<Index, Index>> items;
  };
  struct Global {  ///< a class or function, by name: "torch._utils _rebuild_tensor_v2"
    std::string name;
  };
  struct Persistent {  ///< something kept outside of the pickle: a tensor's storage
    Index id;
  };
  struct Object {  ///< what calling a global would make, or a reference to its class
    Index callable;
    Index arguments;
    std::vector<Index> states;  ///< of __setstate__
    Dict items;                 ///< set on it as on a dict
  };
  std::variant<Nothing, bool, std::int64_t, double, std::string, Sequence, Dict, Global, Persistent, Object> value;
};

struct Pickle {
  std::vector<PickleValue> values;
  std::size_t root = 0;

  const PickleValue& at(std::size_t index) const { return values.at(index); }
};

/// Reads a pickle of protocol 2 to 4, as torch.save and torch::save write it. Nothing is called or looked up: globals stay names.
/// @param file, entry  for error messages
/// @throws DataError for an opcode that does not belong there, or a pickle cut short
Pickle read_pickle(const std::string& bytes, const std::string& file, const std::string& entry);

}  // namespace bevfusion

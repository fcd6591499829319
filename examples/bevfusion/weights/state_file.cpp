// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/weights/state_file.hpp"

#include <algorithm>
#include <limits>
#include <sstream>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {
namespace {

constexpr const char* pickle_entry = "data.pkl";
// A pickle may hold itself, and reach the same dict in very many ways.
constexpr int deepest = 16;                   ///< dicts within dicts
constexpr std::size_t most_values = 2000000;  ///< each as often as it is reached
constexpr std::size_t longest_name = 1000;
constexpr std::size_t most_axes = 64;

template <class Value>
const Value* as(const Pickle& pickle, std::size_t index) {
  return std::get_if<Value>(&pickle.at(index).value);
}

const std::vector<std::size_t>& items_of(const Pickle& pickle, std::size_t index) {
  static const std::vector<std::size_t> none;
  const auto* sequence = as<PickleValue::Sequence>(pickle, index);
  return sequence == nullptr ? none : sequence->items;
}

std::string global_name(const Pickle& pickle, std::size_t index) {
  const auto* global = as<PickleValue::Global>(pickle, index);
  return global == nullptr ? "" : global->name;
}

/// The element type of a storage class.
bool element_type(const std::string& global, torch::ScalarType& type) {
  static const std::map<std::string, torch::ScalarType> types = {
      {"torch FloatStorage", torch::kFloat}, {"torch DoubleStorage", torch::kDouble},     {"torch HalfStorage", torch::kHalf},
      {"torch LongStorage", torch::kLong},   {"torch BFloat16Storage", torch::kBFloat16}, {"torch IntStorage", torch::kInt},
      {"torch ByteStorage", torch::kByte},   {"torch CharStorage", torch::kChar},         {"torch ShortStorage", torch::kShort},
      {"torch BoolStorage", torch::kBool}};
  const auto found = types.find(global);
  if (found == types.end()) {
    return false;
  }
  type = found->second;
  return true;
}

bool numbers_of(const Pickle& pickle, std::size_t index, std::vector<std::int64_t>& numbers) {
  if (as<PickleValue::Sequence>(pickle, index) == nullptr || items_of(pickle, index).size() > most_axes) {
    return false;
  }
  for (const std::size_t item : items_of(pickle, index)) {
    const auto* number = as<std::int64_t>(pickle, item);
    if (number == nullptr || *number < 0) {
      return false;
    }
    numbers.push_back(*number);
  }
  return true;
}

bool is_empty(const std::vector<std::int64_t>& sizes) { return std::find(sizes.begin(), sizes.end(), 0) != sizes.end(); }

/// Whether the sizes' product without zeros, by which LibTorch lays out an empty tensor, fits in 64 bits.
bool can_be_laid_out(const std::vector<std::int64_t>& sizes) {
  std::int64_t elements = 1;
  for (const std::int64_t size : sizes) {
    if (size > 0 && elements > std::numeric_limits<std::int64_t>::max() / size) {
      return false;
    }
    elements *= std::max<std::int64_t>(size, 1);
  }
  return true;
}

/// Whether all elements of a tensor lie within `count`, and are no more than those.
bool within(const std::vector<std::int64_t>& sizes, const std::vector<std::int64_t>& strides, std::int64_t offset,
            std::int64_t count) {
  if (is_empty(sizes)) {
    return can_be_laid_out(sizes);
  }
  if (offset >= count) {
    return false;
  }
  std::int64_t elements = 1;
  std::int64_t left = count - 1 - offset;  // elements after the last one that the axes so far reach
  for (std::size_t axis = 0; axis < sizes.size(); ++axis) {
    if (elements > count / sizes[axis]) {
      return false;
    }
    elements *= sizes[axis];
    if (strides[axis] != 0 && sizes[axis] - 1 > left / strides[axis]) {
      return false;
    }
    left -= (sizes[axis] - 1) * strides[axis];
  }
  return true;
}

}  // namespace

StateFile::StateFile(const std::filesystem::path& path) : zip_(path) { read_names(); }

StateFile::StateFile(std::unique_ptr<std::istream> file, std::string name) : zip_(std::move(file), std::move(name)) {
  read_names();
}

void StateFile::read_names() {
  if (zip_.has("byteorder") && zip_.read("byteorder") != "little") {
    fail(zip_.name(), "byteorder: its numbers are not little-endian");
  }
  const Pickle pickle = read_pickle(zip_.read(pickle_entry), zip_.name(), pickle_entry);
  collect(pickle, pickle.root, "", 0);
  if (tensors_.empty()) {
    fail(zip_.name(), std::string(pickle_entry) + ": holds no tensor under a name");
  }
  name_checkpoint();
}

void StateFile::collect(const Pickle& pickle, std::size_t index, const std::string& name, int depth) {
  const auto look_at = [&](std::size_t count) {
    looked_at_ += count;
    if (depth > deepest || looked_at_ > most_values) {
      fail(zip_.name(), std::string(pickle_entry) + ": too much under '" + name + "'");
    }
  };
  look_at(1);
  const auto inner = [&](const PickleValue::Dict& dict) {
    look_at(dict.items.size());
    for (const auto& [key, value] : dict.items) {
      if (const auto* text = as<std::string>(pickle, key)) {
        if (name.size() + text->size() > longest_name) {
          fail(zip_.name(), std::string(pickle_entry) + ": a name under '" + name + "' has more than " +
                                std::to_string(longest_name) + " characters");
        }
        collect(pickle, value, name.empty() ? *text : name + '.' + *text, depth + 1);
      }
    }
  };
  if (const auto* dict = as<PickleValue::Dict>(pickle, index)) {
    inner(*dict);
  } else if (const auto* object = as<PickleValue::Object>(pickle, index)) {
    if (!collect_tensor(pickle, *object, name)) {
      inner(object->items);
      const std::vector<std::size_t>& arguments = items_of(pickle, object->arguments);
      // What LibTorch's own pickler says of a dict's element types.
      if (global_name(pickle, object->callable) == "torch.jit._pickle restore_type_tag" && !arguments.empty()) {
        collect(pickle, arguments[0], name, depth + 1);
      }
      // An OrderedDict's own state is of no use; a module's is its attributes.
      if (global_name(pickle, object->callable) != "collections OrderedDict") {
        for (const std::size_t state : object->states) {
          collect(pickle, state, name, depth + 1);
        }
      }
    }
  }
}

bool StateFile::collect_tensor(const Pickle& pickle, const PickleValue::Object& object, const std::string& name) {
  const std::string made_by = global_name(pickle, object.callable);
  const std::vector<std::size_t>& arguments = items_of(pickle, object.arguments);
  if (made_by == "torch._utils _rebuild_parameter" && !arguments.empty()) {
    const auto* inner = as<PickleValue::Object>(pickle, arguments[0]);
    return inner != nullptr && global_name(pickle, inner->callable) == "torch._utils _rebuild_tensor_v2" &&
           collect_tensor(pickle, *inner, name);
  }
  if (made_by != "torch._utils _rebuild_tensor_v2") {
    return false;
  }
  // (storage, offset, sizes, strides, ...), the storage kept outside as ("storage", class, entry, device, elements).
  const auto bad = [&](const std::string& what) {
    fail(zip_.name(), std::string(pickle_entry) + ": tensor " + name + ": " + what);
  };
  const auto* storage = arguments.size() < 4 ? nullptr : as<PickleValue::Persistent>(pickle, arguments[0]);
  if (storage == nullptr || items_of(pickle, storage->id).size() < 5) {
    bad("no storage");
  }
  const std::vector<std::size_t>& parts = items_of(pickle, storage->id);
  Stored stored;
  const auto* entry = as<std::string>(pickle, parts[2]);
  const auto* count = as<std::int64_t>(pickle, parts[4]);
  const auto* offset = as<std::int64_t>(pickle, arguments[1]);
  if (!element_type(global_name(pickle, parts[1]), stored.type)) {
    return true;  // quantised, complex: nothing that a network here has
  }
  if (entry == nullptr || count == nullptr || offset == nullptr || *offset < 0 ||
      !numbers_of(pickle, arguments[2], stored.sizes) || !numbers_of(pickle, arguments[3], stored.strides) ||
      stored.sizes.size() != stored.strides.size()) {
    bad("a storage, shape or stride that is none");
  }
  stored.entry = "data/" + *entry;
  stored.offset = *offset;
  if (!within(stored.sizes, stored.strides, stored.offset, *count)) {
    bad("larger than its storage of " + std::to_string(*count));
  }
  const auto element = static_cast<std::uint64_t>(c10::elementSize(stored.type));
  if (zip_.size(stored.entry) / element < static_cast<std::uint64_t>(*count)) {
    bad("its storage has " + std::to_string(*count) + " elements, entry " + stored.entry + " fewer");
  }
  tensors_[name] = std::move(stored);
  return true;
}

void StateFile::name_checkpoint() {
  if (tensors_.count("format") == 0 || tensors_.count("layout") == 0) {
    return;
  }
  if (tensors_.count("network.t0") == 0) {  // the network's tensors, by name, among optimisers, calibrations and so on
    const std::string of_network = "network.";
    std::map<std::string, Stored> named;
    for (const auto& [name, stored] : tensors_) {
      if (name.compare(0, of_network.size(), of_network) == 0) {
        named[name.substr(of_network.size())] = stored;
      }
    }
    tensors_ = std::move(named);
    return;
  }
  // A checkpoint of this program's first format numbers its tensors and keeps a line with name and shape for each.
  const torch::Tensor bytes = tensor("layout").contiguous();
  std::istringstream layout(
      std::string(static_cast<const char*>(bytes.data_ptr()), static_cast<std::size_t>(bytes.numel() * bytes.element_size())));
  std::map<std::string, Stored> named;
  std::string line;
  for (std::size_t k = 0; std::getline(layout, line); ++k) {
    const auto found = tensors_.find("network.t" + std::to_string(k));
    if (found == tensors_.end()) {
      fail(zip_.name(), "its layout names " + line + ", which is not there");
    }
    named[line.substr(0, line.find(' '))] = found->second;
  }
  tensors_ = std::move(named);
}

std::vector<std::string> StateFile::names() const {
  std::vector<std::string> all;
  for (const auto& entry : tensors_) {
    all.push_back(entry.first);
  }
  return all;
}

const std::vector<std::int64_t>& StateFile::sizes(const std::string& name) const { return tensors_.at(name).sizes; }

torch::Tensor StateFile::tensor(const std::string& name) {
  const Stored& stored = tensors_.at(name);
  const auto options = torch::TensorOptions(stored.type);
  if (is_empty(stored.sizes)) {
    return torch::empty(stored.sizes, options);
  }
  std::int64_t needed = stored.offset + 1;
  for (std::size_t axis = 0; axis < stored.sizes.size(); ++axis) {
    needed += (stored.sizes[axis] - 1) * stored.strides[axis];
  }
  const torch::Tensor storage = torch::empty({needed}, options);
  zip_.read(stored.entry, storage.data_ptr(), storage.nbytes());
  return storage.as_strided(stored.sizes, stored.strides, stored.offset).clone();
}

}  // namespace bevfusion

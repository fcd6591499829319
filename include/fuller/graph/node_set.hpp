// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <fuller/graph/libtorch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A set of nodes of a graph, in one flat table: graphs are walked in every step, and std::unordered_set allocates for each
/// node.
class NodeSet {
 public:
  /// @return whether the node is new
  bool insert(const Node* node) {
    if (2 * (size_ + 1) > slots_.size()) {
      grow();
    }
    const Node*& slot = slots_[place_of(node)];
    if (slot == node) {
      return false;
    }
    slot = node;
    ++size_;
    return true;
  }

  bool contains(const Node* node) const { return size_ != 0 && slots_[place_of(node)] == node; }

  void clear() {
    std::fill(slots_.begin(), slots_.end(), nullptr);
    size_ = 0;
  }

 private:
  /// Where the node is, or would go.
  std::size_t place_of(const Node* node) const {
    const std::size_t last = slots_.size() - 1;  // the size is a power of two
    // Fibonacci hashing: addresses differ in their middle bits.
    std::size_t place = static_cast<std::size_t>(reinterpret_cast<std::uintptr_t>(node) * 0x9E3779B97F4A7C15U >> 32U) & last;
    while (slots_[place] != nullptr && slots_[place] != node) {
      place = (place + 1) & last;
    }
    return place;
  }

  void grow() {
    std::vector<const Node*> old = std::move(slots_);
    slots_.assign(std::max<std::size_t>(128, 2 * old.size()), nullptr);
    for (const Node* node : old) {
      if (node != nullptr) {
        slots_[place_of(node)] = node;
      }
    }
  }

  std::vector<const Node*> slots_;
  std::size_t size_ = 0;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

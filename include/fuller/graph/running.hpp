// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>

#include <fuller/graph/libtorch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// One backward, as an identity that no other ever has. The address of what the engine keeps of a backward is no such thing: the
/// next one may get it. Dies with the backward, also with one that throws.
class Running {
 public:
  /// That of this thread; null outside of a backward.
  static std::shared_ptr<const Running> now() {
    const void* nodes = nodes_of_backward();
    if (nodes == nullptr) {
      return nullptr;
    }
    static std::mutex mutex;
    static std::unordered_map<const void*, std::weak_ptr<const Running>> all;  // by the address, while it lives
    const std::lock_guard<std::mutex> lock(mutex);
    if (auto known = all[nodes].lock()) {
      return known;
    }
    for (auto entry = all.begin(); entry != all.end();) {
      entry = entry->second.expired() ? all.erase(entry) : std::next(entry);
    }
    auto made = std::make_shared<const Running>();
    all[nodes] = made;
    at_end_of_backward([made] {});  // the engine's hold on it
    return made;
  }

  static bool is(const std::weak_ptr<const Running>& one) {
    const auto alive = one.lock();
    return alive != nullptr && alive == now();
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

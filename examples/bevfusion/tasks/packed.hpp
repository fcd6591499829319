// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace bevfusion {

/// Appends a list to bytes that another process of the same program reads.
template <class T>
void add_list(std::string& bytes, const std::vector<T>& list) {
  static_assert(std::is_trivially_copyable_v<T>, "only the bytes of such a type mean the same in another process");
  const auto count = static_cast<std::uint64_t>(list.size());
  bytes.append(reinterpret_cast<const char*>(&count), sizeof count);
  bytes.append(reinterpret_cast<const char*>(list.data()), list.size() * sizeof(T));
}

/// Reads lists in the order in which they were added.
class PackedReader {
 public:
  /// @param bytes  must outlive this
  explicit PackedReader(const std::string& bytes) : bytes_(bytes) {}

  /// @throws std::invalid_argument where there are fewer bytes than the list has
  template <class T>
  std::vector<T> list() {
    static_assert(std::is_trivially_copyable_v<T>, "only the bytes of such a type mean the same in another process");
    std::uint64_t count = 0;
    take(&count, sizeof count);
    if (count > (bytes_.size() - at_) / sizeof(T)) {
      throw std::invalid_argument("a list of another rank is cut short");
    }
    std::vector<T> out(static_cast<std::size_t>(count));
    take(out.data(), out.size() * sizeof(T));
    return out;
  }

  /// @throws std::invalid_argument where something is left
  void expect_end() const {
    if (at_ != bytes_.size()) {
      throw std::invalid_argument("another rank has said more than was expected");
    }
  }

 private:
  void take(void* to, std::size_t size) {
    if (size > bytes_.size() - at_) {
      throw std::invalid_argument("a list of another rank is cut short");
    }
    if (size > 0) {
      std::memcpy(to, bytes_.data() + at_, size);
    }
    at_ += size;
  }

  const std::string& bytes_;
  std::size_t at_ = 0;
};

}  // namespace bevfusion

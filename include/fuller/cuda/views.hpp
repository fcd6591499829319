// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

/// A tensor as memory: where it begins and how it is laid out. Owns nothing.
struct TensorView {
  const void* data = nullptr;             ///< device memory; null stands for zeros (a task that does not reach the tensor)
  int dims = 0;                           ///< at most `max_view_dims`
  const std::int64_t* sizes = nullptr;    ///< in elements
  const std::int64_t* strides = nullptr;  ///< in elements, not negative; 0 reads one element again and again
};

inline constexpr int max_tasks = 64;
inline constexpr int max_view_dims = 16;
/// Dimensions left after neighbours that lie in one row for every tensor were made one; what has more is to be copied first.
inline constexpr int max_dims = 4;
/// Tensors walked through together: one for each task, and a result.
inline constexpr int max_together = max_tasks + 1;

namespace detail {

/// Tensors of one shape, walked through together in one order of their elements, as few dimensions as that takes.
struct Together {
  std::int64_t n = 0;         ///< elements of each
  int count = 0;              ///< tensors
  int dims = 0;               ///< 0: each is n elements in a row
  bool equal_strides = true;  ///< then those of the first present one hold for all
  bool aligned = true;        ///< every address is a multiple of 16
  std::int64_t sizes[max_dims] = {};
  const void* data[max_together] = {};
  std::int64_t strides[max_together][max_dims] = {};
};

/// Sorts dimensions by falling stride of the first tensor (ties, of stride 0 or of size 1, stay in order).
inline void sort_by_stride(int* order, int dims, const std::int64_t* strides) {
  for (int a = 1; a < dims; ++a) {
    const int d = order[a];
    int b = a;
    for (; b > 0 && strides[order[b - 1]] < strides[d]; --b) {
      order[b] = order[b - 1];
    }
    order[b] = d;
  }
}

/// Finds one order of the elements of `count` tensors of equal sizes and as few dimensions as it takes. Any layout that is dense
/// and the same for all comes out as rows of n.
/// @return false where more than `max_dims` are left, or a view has more than `max_view_dims`.
inline bool walk_together(const TensorView* views, int count, Together& out) {
  out = Together();
  out.count = count;
  const TensorView* first = nullptr;
  for (int i = 0; i < count; ++i) {
    out.data[i] = views[i].data;
    first = first == nullptr && views[i].data != nullptr ? views + i : first;
  }
  if (first == nullptr) {
    return true;
  }
  if (first->dims > max_view_dims) {
    return false;
  }
  int order[max_view_dims];
  int dims = 0;
  out.n = 1;
  for (int d = 0; d < first->dims; ++d) {
    out.n *= first->sizes[d];
    if (first->sizes[d] != 1) {
      order[dims++] = d;
    }
  }
  sort_by_stride(order, dims, first->strides);
  // The dimensions left, outermost first; each ends with the original dimension that is innermost in it.
  int innermost[max_view_dims];
  std::int64_t sizes[max_view_dims];
  int left = 0;
  for (int a = 0; a < dims; ++a) {
    bool in_one_row = left > 0;
    for (int i = 0; i < count && in_one_row; ++i) {
      in_one_row = views[i].data == nullptr ||
                   views[i].strides[innermost[left - 1]] == first->sizes[order[a]] * views[i].strides[order[a]];
    }
    if (in_one_row) {
      sizes[left - 1] *= first->sizes[order[a]];
      innermost[left - 1] = order[a];
    } else {
      sizes[left] = first->sizes[order[a]];
      innermost[left++] = order[a];
    }
  }
  bool in_rows = left <= 1;
  for (int i = 0; i < count; ++i) {
    if (views[i].data == nullptr) {
      continue;
    }
    out.aligned = out.aligned && reinterpret_cast<std::uintptr_t>(views[i].data) % 16 == 0;
    in_rows = in_rows && (left == 0 || views[i].strides[innermost[0]] == 1);
  }
  if (in_rows) {
    return true;
  }
  if (left > max_dims) {
    return false;
  }
  out.dims = left;
  for (int a = 0; a < left; ++a) {
    out.sizes[a] = sizes[a];
    for (int i = 0; i < count; ++i) {
      if (views[i].data != nullptr) {
        out.strides[i][a] = views[i].strides[innermost[a]];
        out.equal_strides = out.equal_strides && out.strides[i][a] == first->strides[innermost[a]];
      }
    }
  }
  return true;
}

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/cuda/calls.hpp>
#include <fuller/cuda/element.hpp>
#include <fuller/cuda/partition.hpp>
#include <fuller/cuda/table.hpp>
#include <fuller/cuda/views.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

/// How a request ended. A refusal has launched nothing.
enum class Outcome {
  done,           ///< launched, in the order of the stream
  too_many_dims,  ///< a tensor's layout takes more than `max_dims` dimensions together with the others': copy it first
  failed,         ///< the launch failed: no device, a stream of another device, a sticky error
};

/// Tensors of one element type that are walked through together.
struct TensorLists {
  const TensorView* views = nullptr;  ///< views[k * count + i]: tensor k of list i; equal sizes along i
  int tensors = 0;
  int count = 0;
  Element element = Element::float32;
};

struct GramRequest {
  const TensorLists* parts = nullptr;  ///< the tensors of each element type that occurs; count = tasks in all
  int part_count = 0;
  int tasks = 0;                ///< 1 to max_tasks
  double* gram = nullptr;       ///< T x T doubles, written
  double* workspace = nullptr;  ///< gram_workspace() doubles; the first must be 0 before the first use, and is 0 after each
  RuleCall rule{};              ///< runs when the matrix is there; number -1: none
};

struct NormRequest {
  const void* weight = nullptr;  ///< dense: [outer, channels, inner] in memory
  Element element = Element::float32;
  std::int64_t outer = 0;
  const std::int64_t* widths = nullptr;  ///< channels of each slice, on the host
  int slices = 0;                        ///< at most max_tasks; above 8 the weight is read once for each 8
  std::int64_t inner = 1;
  double* squared_norms = nullptr;  ///< one for each slice, written
  double* workspace = nullptr;      ///< norm_workspace() doubles; the first as in GramRequest
  GateCall gate{};                  ///< runs when the norms are there, if given
};

struct SumRequest {
  TensorLists tensors;  ///< count = T + 1: the cotangents and, last, the tensor that is written, which aliases none of them
  const double* weights = nullptr;  ///< T, in device memory
};

struct ScaleRequest {
  const void* in = nullptr;  ///< dense: [outer, channels, inner] in memory
  void* out = nullptr;       ///< laid out alike; may be `in`
  Element element = Element::float32;
  std::int64_t outer = 0;
  const std::int64_t* widths = nullptr;
  int slices = 0;
  std::int64_t inner = 1;
  const double* scales = nullptr;  ///< one for each slice, in device memory
};

template <class... All>
struct RequestList {};

/// All that kernels are asked.
using Requests = RequestList<GramRequest, NormRequest, SumRequest, ScaleRequest, RuleCall, GateCall>;

namespace detail {

/// Slices whose norms one launch takes.
inline constexpr int slices_at_once = 8;

inline std::int64_t elements_of(const TensorView& view) {
  std::int64_t n = 1;
  for (int d = 0; d < view.dims; ++d) {
    n *= view.sizes[d];
  }
  return n;
}

/// Elements of one list.
inline std::int64_t elements_of(const TensorLists& lists) {
  std::int64_t total = 0;
  for (int k = 0; k < lists.tensors; ++k) {
    for (int i = 0; i < lists.count; ++i) {
      const TensorView& view = lists.views[static_cast<std::int64_t>(k) * lists.count + i];
      if (view.data != nullptr) {
        total += elements_of(view);
        break;
      }
    }
  }
  return total;
}

/// Whether each of the tensors fits a kernel's table by itself.
inline bool fit(const TensorLists& lists) {
  Together tensors;
  for (int k = 0; k < lists.tensors; ++k) {
    if (!walk_together(lists.views + static_cast<std::int64_t>(k) * lists.count, lists.count, tensors) ||
        words_of(tensors) > Table::max_words) {
      return false;
    }
  }
  return true;
}

/// Calls launch(table, is_last) with as many tensors as fit, again and again, at least once; stops where it returns false.
template <class Launch>
bool in_tables(const TensorLists& lists, std::int64_t unit, std::int64_t first_slot, const Launch& launch) {
  Table table;
  table.count = lists.count;
  table.unit = unit;
  table.first_slot = first_slot;
  Together tensors;
  for (int k = 0; k < lists.tensors; ++k) {
    walk_together(lists.views + static_cast<std::int64_t>(k) * lists.count, lists.count, tensors);
    if (!append(table, tensors)) {
      if (!launch(table, false)) {
        return false;
      }
      first_slot = table.first_slot + table.units;
      table = Table();
      table.count = lists.count;
      table.unit = unit;
      table.first_slot = first_slot;
      append(table, tensors);
    }
  }
  return launch(table, true);
}

}  // namespace detail

/// Doubles of workspace for the Gram matrix of T lists of `tensors` tensors, `total` elements in each list.
inline std::int64_t gram_workspace(int tasks, int tensors, std::int64_t total) {
  const int width = detail::gram_width(tasks);
  return 1 + width * (detail::ceil_divide(total, detail::unit_size(total, width)) + tensors);
}

/// Doubles of workspace for the norms of the slices of a weight.
inline std::int64_t norm_workspace(std::int64_t elements) {
  const int width = detail::slices_at_once;
  return 1 + width * detail::ceil_divide(elements, detail::unit_size(elements, width));
}

}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller

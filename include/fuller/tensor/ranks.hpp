// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {

/// How the ranks of a data-parallel trainer find the weights of the one big batch, the same on all of them.
///
///     options.ranks = fuller::ranks_of(group);  // fuller/distributed/ranks.hpp; or written by hand
///
/// Task gradients (not their Gram matrix), losses and fusion gradients are averaged over the ranks before a rule sees them. At
/// Surface::representation, where ranks hold different samples, the Gram matrices are added up. The trainer averages `.grad`
/// itself, as without fuller.
///
/// Every rank takes part in every step. One that has no batch calls Calibration::idle_step(), for which `rank` must be known.
/// Where it is not known, each rank must have a task, and with gates a branch, in each step. At Surface::all_shared the first
/// step needs all tasks on every rank, since it shows which parameters to compare (unless those are named).
struct Ranks {
  /// Replaces each tensor by its mean over all ranks, in place. Tensors are floating point, of any shape, on the CPU or on the
  /// device where gradients are. It is called inside the backward, by every rank in the same order with the same shapes; let it
  /// use another group than the trainer's reductions do. What it throws ends the step with an Error that says which reduction
  /// failed. Not given: one rank.
  std::function<void(std::vector<at::Tensor>& tensors)> average{};
  /// How many ranks there are: more than one with average(), else 1.
  int count = 1;
  /// Which of them this is, from 0 on; -1: not known. Where it is known, ranks tell each other before they reduce anything what
  /// they are about to do. Then a rank may idle, and what cannot be reduced together is refused on all of them, in words.
  int rank = -1;
  /// Promises that every rank has the same tasks and modalities in every step and multiplies its sum by the same factor, and that
  /// none idles. Then ranks tell each other nothing, and a step on a device waits for nothing. If the promise is broken, a rank
  /// may wait for ever, or find other weights.
  bool alike = false;
  /// Called after average() has thrown: says in words which ranks have not come; empty where that is not known.
  std::function<std::string()> missing{};
  /// Begins what average() does, and returns what waits for its end; until then the tensors are not touched. Several may be under
  /// way, begun in the same order by every rank. Where it is given, the task gradients of Surface::all_shared travel while the
  /// next task's are formed. Not given: average().
  std::function<std::function<void()>(std::vector<at::Tensor>& tensors)> begin{};
};

namespace detail {

/// Refuses ranks that mean nothing, in the words of the option that holds them.
inline void expect_sense(const Ranks& ranks, const std::string& option) {
  if (ranks.count < 1) {
    fail(option, ".count is ", ranks.count, "; it is the number of ranks, 1 for a trainer that is alone");
  }
  if (ranks.count > 1 && !ranks.average) {
    fail(option, ".count is ", ranks.count, ", but ", option,
         ".average is not given; give the function that replaces tensors by ",
         "their mean over the ranks, or leave the count at 1");
  }
  if (ranks.count == 1 && ranks.average) {
    fail(option, ".average is given, but ", option, ".count is 1; give the number of ranks that it averages over, or, for a ",
         "single one, no function");
  }
  if (ranks.rank < -1 || ranks.rank >= ranks.count) {
    fail(option, ".rank is ", ranks.rank, " of ", ranks.count, "; ranks count from 0, and -1 means that it is not known");
  }
}

/// Which reduction it is, for a message: "the average of the task gradients", in this step.
struct Reduction {
  const char* of;
  std::int64_t step;
};

/// What is part of a reduction, and where it throws, an Error with rank, step and reduction.
template <class F>
void reducing(const Ranks& ranks, const Reduction& which, const F& part) {
  const at::NoGradGuard no_grad;
  try {
    part();
  } catch (const std::exception& error) {
    const std::string lost = ranks.missing ? ranks.missing() : "";
    const std::string who =
        ranks.rank < 0 ? "" : "rank " + std::to_string(ranks.rank) + " of " + std::to_string(ranks.count) + ": ";
    fail(who, "in step ", which.step, " the average of ", which.of, " over the ranks failed", lost.empty() ? "" : ", for ", lost,
         ": ", error.what());
  }
}

inline void average(const Ranks& ranks, std::vector<at::Tensor>& tensors, const Reduction& which) {
  reducing(ranks, which, [&] { ranks.average(tensors); });
}

/// Replaces `numbers` by their mean over all ranks.
inline void average(const Ranks& ranks, std::vector<double>& numbers, const Reduction& which) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors{at::empty({static_cast<std::int64_t>(numbers.size())}, at::kDouble)};
  double* values = tensors.front().data_ptr<double>();
  std::copy(numbers.begin(), numbers.end(), values);
  average(ranks, tensors, which);
  std::copy(values, values + numbers.size(), numbers.begin());
}

/// Makes present what is present on any rank.
inline void agree_on_presence(const Ranks& ranks, std::vector<std::uint8_t>& present, const Reduction& which) {
  std::vector<double> share(present.begin(), present.end());
  average(ranks, share, which);
  for (std::size_t i = 0; i < present.size(); ++i) {
    present[i] = share[i] > 0 ? 1 : 0;
  }
}

/// The type in which tensors of `type` are sent: halves as floats, since each sum over ranks would round them once more.
inline at::ScalarType travelling(at::ScalarType type) { return type == at::kHalf || type == at::kBFloat16 ? at::kFloat : type; }

/// How lists of tensors lie in flat buffers, one for each type and device: the elements of one list that go into the same buffer
/// lie next to each other there.
class FlatLists {
 public:
  /// @param like  what one list is like: undefined tensors have no place
  FlatLists(const std::vector<at::Tensor>& like, std::size_t lists) : lists_(lists) {
    for (const at::Tensor& tensor : like) {
      Place place;
      if (tensor.defined()) {
        const at::ScalarType type = travelling(tensor.scalar_type());
        const auto same = [&](const Buffer& buffer) { return buffer.type == type && buffer.device == tensor.device(); };
        auto buffer = std::find_if(buffers_.begin(), buffers_.end(), same);
        if (buffer == buffers_.end()) {
          buffers_.push_back({type, tensor.device(), 0});
          buffer = buffers_.end() - 1;
        }
        place = {static_cast<std::size_t>(buffer - buffers_.begin()), buffer->length, tensor.numel()};
        buffer->length += tensor.numel();
      }
      places_.push_back(place);
    }
  }
  /// The same without tensors at hand: one buffer of each length that is not 0.
  FlatLists(std::int64_t floats, std::int64_t doubles, at::Device device, std::size_t lists) : lists_(lists) {
    for (const auto& [type, length] : {std::pair(at::kFloat, floats), std::pair(at::kDouble, doubles)}) {
      if (length > 0) {
        buffers_.push_back({type, device, length});
      }
    }
  }

  /// The same for a single list.
  FlatLists of_one() const {
    FlatLists one(*this);
    one.lists_ = 1;
    return one;
  }

  /// Elements of one list that travel as `type`.
  std::int64_t length(at::ScalarType type) const {
    std::int64_t sum = 0;
    for (const Buffer& buffer : buffers_) {
      sum += buffer.type == type ? buffer.length : 0;
    }
    return sum;
  }
  std::size_t buffers() const { return buffers_.size(); }
  std::int64_t bytes() const {
    std::int64_t sum = 0;
    for (const Buffer& buffer : buffers_) {
      sum += buffer.length * static_cast<std::int64_t>(lists_) * static_cast<std::int64_t>(c10::elementSize(buffer.type));
    }
    return sum;
  }

  /// Buffers that hold the lists, zeros in the place of an undefined tensor.
  std::vector<at::Tensor> packed(const std::vector<std::vector<at::Tensor>>& lists) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> flat;
    for (const Buffer& buffer : buffers_) {
      const auto total = buffer.length * static_cast<std::int64_t>(lists_);
      flat.push_back(at::zeros({total}, at::TensorOptions().dtype(buffer.type).device(buffer.device)));
    }
    for (std::size_t i = 0; i < lists.size(); ++i) {
      for (std::size_t k = 0; k < lists[i].size(); ++k) {
        const at::Tensor& tensor = lists[i][k];
        if (tensor.defined() && places_[k].length > 0) {
          const at::Tensor dense = tensor.layout() == at::kStrided ? tensor : tensor.to_dense();
          piece(flat, i, k).view(dense.sizes()).copy_(dense.detach());
        }
      }
    }
    return flat;
  }
  /// Tensor k of list i, flat.
  at::Tensor piece(const std::vector<at::Tensor>& flat, std::size_t i, std::size_t k) const {
    const Place& place = places_[k];
    const std::int64_t list = buffers_[place.buffer].length * static_cast<std::int64_t>(i);
    return flat[place.buffer].narrow(0, list + place.from, place.length);
  }
  /// All of list i, flat: a tensor for each buffer.
  std::vector<at::Tensor> list(const std::vector<at::Tensor>& flat, std::size_t i) const {
    std::vector<at::Tensor> whole;
    for (std::size_t b = 0; b < buffers_.size(); ++b) {
      whole.push_back(flat[b].narrow(0, buffers_[b].length * static_cast<std::int64_t>(i), buffers_[b].length));
    }
    return whole;
  }

 private:
  struct Buffer {
    at::ScalarType type;
    at::Device device;
    std::int64_t length;  ///< of one list
  };
  struct Place {
    std::size_t buffer = 0;
    std::int64_t from = 0;
    std::int64_t length = 0;
  };

  std::size_t lists_;
  std::vector<Buffer> buffers_;
  std::vector<Place> places_;
};

/// Replaces each list by its mean over all ranks, flat: what is compared are sums over all elements. An undefined tensor counts
/// as zeros of the shape that `like` has in its place. Works on copies: a gradient may share its memory with others.
inline void average_lists(const Ranks& ranks, const FlatLists& layout, std::vector<std::vector<at::Tensor>>& lists,
                          const Reduction& which) {
  std::vector<at::Tensor> flat = layout.packed(lists);
  average(ranks, flat, which);
  for (std::size_t i = 0; i < lists.size(); ++i) {
    lists[i] = layout.list(flat, i);
  }
}

/// Lists that are averaged over the ranks one by one, each under way while the next is formed. Every rank sends the same lists in
/// the same order.
class AveragesUnderWay {
 public:
  AveragesUnderWay(const Ranks& ranks, FlatLists of_one, std::size_t lists, const Reduction& which)
      : ranks_(ranks), layout_(std::move(of_one)), which_(which), flat_(lists) {}

  /// @param list  as long as what the layout was made from, or empty, which counts as zeros
  void send(std::size_t i, const std::vector<at::Tensor>& list) {
    flat_[i] = layout_.packed({list});
    reducing(ranks_, which_, [&] {
      if (ranks_.begin) {
        ends_.push_back(ranks_.begin(flat_[i]));
      } else {
        ranks_.average(flat_[i]);
      }
    });
  }

  std::int64_t bytes() const {
    std::int64_t sent = 0;
    for (const auto& list : flat_) {
      sent += list.empty() ? 0 : layout_.bytes();
    }
    return sent;
  }

  /// Waits for all that were sent.
  /// @return their means, flat; nothing in the place of a list that was not sent
  std::vector<std::vector<at::Tensor>> means() {
    reducing(ranks_, which_, [&] {
      for (const auto& wait : ends_) {
        wait();
      }
    });
    return std::move(flat_);
  }

 private:
  const Ranks& ranks_;
  FlatLists layout_;
  Reduction which_;
  std::vector<std::vector<at::Tensor>> flat_;
  std::vector<std::function<void()>> ends_;
};

/// The mean loss of each task over the ranks that have it, each counted with its share in `shares`: 0 where it is not given.
inline void average_losses(const Ranks& ranks, const std::vector<double>& shares, std::vector<double>& losses,
                           const Reduction& which) {
  std::vector<double> sums_and_shares(losses);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    sums_and_shares[i] = shares[i] != 0.0 ? shares[i] * losses[i] : 0.0;
    sums_and_shares.push_back(shares[i]);
  }
  average(ranks, sums_and_shares, which);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double total = sums_and_shares[losses.size() + i];
    losses[i] = total > 0 ? sums_and_shares[i] / total : 0.0;
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

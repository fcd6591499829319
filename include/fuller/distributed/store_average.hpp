// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// "rank 2", "ranks 1 and 3", "ranks 0, 1 and 3"; empty for none.
inline std::string listed_ranks(const std::vector<int>& ranks) {
  std::string text;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < ranks.size() ? ", " : " and ") + std::to_string(ranks[i]);
  }
  return text.empty() ? text : (ranks.size() == 1 ? "rank " : "ranks ") + text;
}

/// Tells which ranks are gone after a reduction has failed: each that is there says so in the store, and looks who else has.
template <class Store>
class RollCall {
 public:
  RollCall(Store store, std::string name, int rank, int size, std::chrono::milliseconds timeout)
      : store_(std::move(store)), name_(std::move(name)), rank_(rank), size_(size), timeout_(timeout) {}

  std::string operator()() const {
    const std::string gone = "the store is gone as well, and with it, most likely, the rank that served it";
    try {
      store_->set(key(rank_), std::vector<std::uint8_t>{1});
    } catch (const std::exception&) {
      return gone;
    }
    // Those that have failed too do so within the group's timeout of each other; one limit for all of them.
    const auto end = std::chrono::steady_clock::now() + timeout_;
    std::vector<int> missing;
    for (int r = 0; r < size_; ++r) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
      if (r != rank_ && !has_come(r, std::max(left, std::chrono::milliseconds(50)))) {
        missing.push_back(r);
      }
    }
    if (missing.empty()) {
      return "";
    }
    // What this rank has said is there: a store that does not know of it says nothing of others either.
    if (!has_come(rank_, std::chrono::seconds(1))) {
      const bool anyone = static_cast<int>(missing.size()) + 1 < size_;
      return anyone ? listed_ranks({missing.front()}) + " did not come, and the store is gone since" : gone;
    }
    return listed_ranks(missing) + " did not come";
  }

 private:
  bool has_come(int rank, std::chrono::milliseconds within) const {
    try {
      store_->wait({key(rank)}, within);
      return true;
    } catch (const std::exception&) {
      return false;
    }
  }

  std::string key(int rank) const { return name_ + "/there/" + std::to_string(rank); }

  Store store_;
  std::string name_;
  int rank_;
  int size_;
  std::chrono::milliseconds timeout_;
};

/// Means over ranks, formed from what each writes into a store and reads of the others.
template <class Store>
class StoreAverage {
 public:
  StoreAverage(Store store, std::string name, int rank, int size, std::chrono::milliseconds timeout)
      : store_(std::move(store)), name_(std::move(name)), rank_(rank), size_(size), timeout_(timeout) {
    if (size_ > 1) {
      take_name();
    }
  }
  /// Gives the name back, and deletes the keys of the last reduction if this rank is the last one to end: all have then read
  /// them.
  ~StoreAverage() {
    if (broken_ || size_ == 1) {
      return;
    }
    try {
      store_->deleteKey(user_key());
      if (reductions_ == 0) {
        return;
      }
      if (store_->add(name_ + "/gone", 1) == size_) {
        for (int r = 0; r < size_; ++r) {
          store_->deleteKey(key(reductions_, r));
        }
        store_->deleteKey(name_ + "/gone");
      }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the store is gone, and the keys with it
    }
  }
  StoreAverage(const StoreAverage&) = delete;
  StoreAverage& operator=(const StoreAverage&) = delete;

  void operator()(std::vector<at::Tensor>& tensors) {
    if (broken_) {
      fail("an earlier reduction over this store has failed; make the ranks anew");
    }
    broken_ = true;  // until this one is through
    const at::NoGradGuard no_grad;
    ++reductions_;
    const std::vector<std::uint8_t> mine = written(tensors);
    reach([&] { store_->set(key(reductions_, rank_), mine); });
    std::vector<at::Tensor> sums;
    for (int r = 0; r < size_; ++r) {
      add(r == rank_ ? mine : of_rank(r), r, tensors, sums);
    }
    // All have written for this reduction, so all are through with the one before.
    if (reductions_ > 1) {
      reach([&] { store_->deleteKey(key(reductions_ - 1, rank_)); });
    }
    for (std::size_t k = 0; k < tensors.size(); ++k) {
      tensors[k].copy_(sums[k].div_(size_).view(tensors[k].sizes()));
    }
    broken_ = false;
  }

 private:
  /// What is written before a tensor: its type and number of elements.
  struct Head {
    std::int64_t type;
    std::int64_t elements;
  };

  std::string user_key() const { return name_ + "/user/" + std::to_string(rank_); }

  /// Two that use the same keys would read each other's numbers.
  void take_name() {
    std::int64_t users = 0;
    reach([&] { users = store_->add(user_key(), 1); });
    if (users > 1) {
      fail(
          "ranks_over() got the name '", name_, "' a second time on rank ", rank_,
          " in this store: another calibration or scaler ",
          "has it, or a run that failed or was ended has left it there; give each a RanksOptions::name of its own, and each run ",
          "a store of its own (for a FileStore, a new file)");
    }
  }

  std::string key(std::int64_t reduction, int rank) const {
    return name_ + "/" + std::to_string(reduction) + "/" + std::to_string(rank);
  }

  template <class F>
  static void reach(const F& f) {
    try {
      f();
    } catch (const std::exception& error) {
      fail("the store cannot be reached any more (is the rank gone that serves it?): ", error.what());
    }
  }

  /// What rank r has written; waits for it.
  std::vector<std::uint8_t> of_rank(int r) {
    try {
      store_->wait({key(reductions_, r)}, timeout_);
    } catch (const std::exception& error) {
      std::vector<int> missing;
      reach([&] {
        for (int other = r; other < size_; ++other) {
          if (other != rank_ && !store_->check({key(reductions_, other)})) {
            missing.push_back(other);
          }
        }
      });
      if (missing.empty()) {
        fail("rank ", r, " came too late, after ", timeout_.count(), " ms");
      }
      fail(listed_ranks(missing), " did not come within ", timeout_.count(), " ms (reduction ", reductions_, " of '", name_,
           "'): ", error.what());
    }
    std::vector<std::uint8_t> bytes;
    reach([&] { bytes = store_->get(key(reductions_, r)); });
    return bytes;
  }

  static std::vector<std::uint8_t> written(const std::vector<at::Tensor>& tensors) {
    std::vector<std::uint8_t> bytes;
    const auto append = [&](const void* from, std::size_t size) {
      const auto* const begin = static_cast<const std::uint8_t*>(from);
      bytes.insert(bytes.end(), begin, begin + size);
    };
    for (const at::Tensor& tensor : tensors) {
      const Head head{static_cast<std::int64_t>(tensor.scalar_type()), tensor.numel()};
      append(&head, sizeof head);
    }
    for (const at::Tensor& tensor : tensors) {
      const at::Tensor here = tensor.to(at::kCPU).contiguous();
      append(here.data_ptr(), here.nbytes());
    }
    return bytes;
  }

  void add(const std::vector<std::uint8_t>& bytes, int r, const std::vector<at::Tensor>& like,
           std::vector<at::Tensor>& sums) const {
    std::size_t expected = 0;
    for (const at::Tensor& tensor : like) {
      expected += sizeof(Head) + tensor.nbytes();
    }
    std::size_t at = 0;
    bool alike = bytes.size() == expected;
    for (std::size_t k = 0; k < like.size() && alike; ++k) {
      Head head{};
      std::memcpy(&head, bytes.data() + at, sizeof head);
      at += sizeof head;
      alike = head.type == static_cast<std::int64_t>(like[k].scalar_type()) && head.elements == like[k].numel();
    }
    if (!alike) {
      fail("rank ", r, " reduces other tensors than rank ", rank_, ", ", bytes.size(), " bytes against ", expected,
           ": the ranks do not call the same in the same order");
    }
    for (std::size_t k = 0; k < like.size(); ++k) {
      at::Tensor part = at::empty({like[k].numel()}, like[k].scalar_type());
      if (part.nbytes() > 0) {
        std::memcpy(part.data_ptr(), bytes.data() + at, part.nbytes());
      }
      at += part.nbytes();
      if (r == 0) {
        sums.push_back(part);
      } else {
        sums[k].add_(part);
      }
    }
  }

  Store store_;
  std::string name_;
  int rank_;
  int size_;
  std::chrono::milliseconds timeout_;
  std::int64_t reductions_ = 0;
  bool broken_ = false;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

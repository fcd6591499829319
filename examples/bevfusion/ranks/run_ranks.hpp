// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <torch/types.h>

#include <fuller/tensor/ranks.hpp>

#include "bevfusion/ranks/launched.hpp"

namespace bevfusion {

/// What ranks of a run may send by, as this program was built: "Gloo, a TCP store".
std::string transports();

/// The processes of one run, seen from one of them. They meet in a TCP store. Numbers go by NCCL on GPUs and by Gloo on the CPU
/// where the program was built with them, else through the store.
///
/// Every call but rank() and its like is made by all ranks, in the same order; it ends within the timeout of the others, or
/// throws std::runtime_error that names those that did not come.
class RunRanks {
 public:
  /// Meets the others.
  /// @param device   of this rank's network
  /// @param timeout  how long after a rank does not come all of them have ended
  RunRanks(const Launched& place, const torch::Device& device, std::chrono::milliseconds timeout);
  /// Where this rank serves the store and leave() was not called: waits for the others, which may still ask who is gone.
  ~RunRanks();
  RunRanks(const RunRanks&) = delete;
  RunRanks& operator=(const RunRanks&) = delete;

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  /// "Gloo"
  const std::string& transport() const { return transport_; }

  /// Ranks for a user of their own, a calibration, which takes part in nobody else's reductions.
  /// @param name  not used before
  fuller::Ranks of(const std::string& name);
  /// The same for a user that sends while others of this rank do, from another thread.
  fuller::Ranks beside(const std::string& name);

  /// Replaces tensors by their means over the ranks.
  /// @param what  they are, for a message
  void average(std::vector<torch::Tensor>& tensors, const std::string& what);
  /// Sums over the ranks.
  std::vector<double> sums(std::vector<double> numbers, const std::string& what);
  /// fuller::average_gradients().
  void average_gradients(const std::vector<torch::Tensor>& parameters);

  /// What all ranks say, in their order; on rank 0, and nothing elsewhere.
  std::vector<std::string> gather(const std::string& said, const std::string& what);
  /// Does something, the same or not, on all ranks.
  /// @throws what it threw here, or std::runtime_error with what it threw on another rank
  void together(const std::string& what, const std::function<void()>& act);
  /// Refuses ranks that differ.
  /// @param text  of this rank: has to be that of rank 0
  void expect_same(const std::string& what, const std::string& text);

  /// The last that they do together.
  void leave();

 private:
  struct Meeting;

  std::vector<std::string> exchange(const std::string& said, const std::string& what);
  std::string heard_of(int other, const std::string& key, const std::string& what);
  [[noreturn]] void lost(const std::string& what, const std::string& who, const std::string& why) const;

  Launched place_;
  std::chrono::milliseconds timeout_;
  std::unique_ptr<Meeting> meeting_;
  std::string transport_;
  std::int64_t exchanges_ = 0;
  bool left_ = false;
};

}  // namespace bevfusion

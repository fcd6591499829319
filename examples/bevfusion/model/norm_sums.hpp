// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include <torch/types.h>

#include <fuller/tensor/ranks.hpp>

namespace bevfusion {

/// Sums over the ranks that divide a batch, for batch norms whose statistics are those of the whole batch.
///
/// Every sum is one reduction of the same size: a number for each rank, which tells what that rank is at, then what is added up.
/// So ranks that are at different layers refuse together, in words, and a rank without a sample joins whatever the others add
/// up, forward and backward, without a network to run.
class NormSums {
 public:
  /// @param ranks     of which this is one that knows its rank; used by nothing else, in no other thread
  /// @param layers    names of the layers that add up, the same on each rank
  /// @param channels  the most of any layer
  NormSums(fuller::Ranks ranks, std::vector<std::string> layers, std::int64_t channels);
  ~NormSums();
  NormSums(const NormSums&) = delete;
  NormSums& operator=(const NormSums&) = delete;

  /// What ranks do between its beginning and its end.
  class Batch {
   public:
    /// @param sums  nullptr: nothing adds up
    /// @param idle  whether this rank has no sample: what others add up is joined from now on, in a thread
    Batch(NormSums* sums, bool idle);
    /// Where end() was not called, tells the others that this rank has refused.
    ~Batch();
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    /// Waits for the others.
    /// @throws std::runtime_error where one of them has not come through
    void end();

   private:
    NormSums* sums_;
  };

  /// Layers that see this rank's samples alone, for as long as it lives.
  class Alone {
   public:
    explicit Alone(NormSums* sums);
    ~Alone();
    Alone(const Alone&) = delete;
    Alone& operator=(const Alone&) = delete;

   private:
    NormSums* sums_;
  };

  bool alone() const { return alone_; }

  /// @param mine   at most 2 channels + 1 doubles, on any device
  /// @param layer  which of the layers adds up
  /// @throws std::runtime_error on every rank where another is at something else
  torch::Tensor over_ranks(const torch::Tensor& mine, std::size_t layer, bool backward);

 private:
  /// What a rank is at: nothing, where it has no sample; then the end of a batch; then a layer's forward or backward.
  static constexpr std::int64_t idle = 0, refused = 1, through = 2, first_layer = 3;

  void average(std::vector<torch::Tensor>& all) const;
  torch::Tensor reduce(const torch::Tensor& mine, std::int64_t at);
  /// What all that have a sample are at.
  std::int64_t agreed(const torch::Tensor& table) const;
  std::string words_of(std::int64_t at) const;
  void join_all();
  void begin(bool joins);
  void end();
  void give_up();

  fuller::Ranks ranks_;
  std::vector<std::string> layers_;
  std::int64_t numbers_;
  bool alone_ = false;
  bool broken_ = false;  ///< a reduction has failed, or ranks have refused: there is nothing more to tell
  std::thread joining_;  ///< where this rank idles
  std::exception_ptr joined_;
};

}  // namespace bevfusion

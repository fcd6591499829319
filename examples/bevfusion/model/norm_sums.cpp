// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/norm_sums.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "support/standard_streams.hpp"

namespace bevfusion {

NormSums::NormSums(fuller::Ranks ranks, std::vector<std::string> layers, std::int64_t channels)
    : ranks_(std::move(ranks)), layers_(std::move(layers)), numbers_(2 * channels + 1) {
  if (!ranks_.average || ranks_.rank < 0) {
    throw std::invalid_argument("batch norms add up over ranks that know their rank; there are none");
  }
}

NormSums::~NormSums() {
  if (joining_.joinable()) {
    joining_.join();
  }
}

NormSums::Batch::Batch(NormSums* sums, bool idle) : sums_(sums) {
  if (sums_ != nullptr) {
    sums_->begin(idle);
  }
}

NormSums::Batch::~Batch() {
  if (sums_ != nullptr) {
    sums_->give_up();
  }
}

void NormSums::Batch::end() {
  if (sums_ != nullptr) {
    std::exchange(sums_, nullptr)->end();
  }
}

NormSums::Alone::Alone(NormSums* sums) : sums_(sums) {
  if (sums_ != nullptr) {
    sums_->alone_ = true;
  }
}

NormSums::Alone::~Alone() {
  if (sums_ != nullptr) {
    sums_->alone_ = false;
  }
}

torch::Tensor NormSums::over_ranks(const torch::Tensor& mine, std::size_t layer, bool backward) {
  return reduce(mine, first_layer + 2 * static_cast<std::int64_t>(layer) + (backward ? 1 : 0));
}

torch::Tensor NormSums::reduce(const torch::Tensor& mine, std::int64_t at) {
  const torch::NoGradGuard no_grad;
  if (broken_) {
    throw std::runtime_error("batch norm: an earlier sum over the ranks has failed; start again from the last checkpoint");
  }
  const std::int64_t ranks = ranks_.count;
  std::vector<torch::Tensor> all{torch::zeros({ranks + numbers_}, mine.options().dtype(torch::kDouble))};
  all.front().narrow(0, ranks_.rank, 1).fill_(static_cast<double>(at));
  all.front().narrow(0, ranks, mine.numel()).copy_(mine);
  broken_ = true;  // until this one is through
  average(all);
  all.front().mul_(static_cast<double>(ranks));
  agreed(all.front().narrow(0, 0, ranks).to(torch::kCPU));
  broken_ = false;
  return all.front().narrow(0, ranks, mine.numel());
}

void NormSums::average(std::vector<torch::Tensor>& all) const {
  try {
    ranks_.average(all);
  } catch (const std::exception& error) {
    const std::string lost = ranks_.missing ? ranks_.missing() : "";
    throw std::runtime_error("rank " + std::to_string(ranks_.rank) + " of " + std::to_string(ranks_.count) +
                             ": the sum of batch norm's statistics failed" + (lost.empty() ? "" : ", for " + lost) + ": " +
                             example::reason_of(error));
  }
}

std::string NormSums::words_of(std::int64_t at) const {
  if (at < first_layer) {
    return at == idle ? "has no sample" : at == refused ? "has refused" : "is through with the batch";
  }
  const auto layer = static_cast<std::size_t>((at - first_layer) / 2);
  return "is at " + (layer < layers_.size() ? layers_[layer] : "a layer of another network") +
         ((at - first_layer) % 2 == 0 ? ", forward" : ", backward");
}

std::int64_t NormSums::agreed(const torch::Tensor& table) const {
  std::vector<std::int64_t> places;
  for (std::int64_t rank = 0; rank < ranks_.count; ++rank) {
    places.push_back(std::llround(table.data_ptr<double>()[rank]));
  }
  std::int64_t common = idle;
  for (const std::int64_t at : places) {
    common = common == idle ? at : at == idle || at == common ? common : refused;
  }
  if (common != refused && common != idle) {
    return common;
  }
  std::string text;
  for (std::size_t rank = 0; rank < places.size(); ++rank) {
    text += (rank == 0 ? "rank " : "; rank ") + std::to_string(rank) + " " + words_of(places[rank]);
  }
  const bool any_refused = std::find(places.begin(), places.end(), refused) != places.end();
  throw std::runtime_error("rank " + std::to_string(ranks_.rank) + " of " + std::to_string(ranks_.count) +
                           ": batch norm cannot add up over the ranks: " + text + ": " +
                           (any_refused
                                ? "a rank that has refused says why"
                                : "with training.sync_batch_norm all ranks pass the same layers in the same order; give each "
                                  "of them samples with the labels of every task, or set it to false"));
}

void NormSums::join_all() {
  const torch::NoGradGuard no_grad;
  try {
    for (;;) {
      std::vector<torch::Tensor> all{torch::zeros({ranks_.count + numbers_}, torch::kDouble)};
      average(all);
      if (agreed(all.front().narrow(0, 0, ranks_.count) * ranks_.count) == through) {
        return;
      }
    }
  } catch (const std::exception&) {
    joined_ = std::current_exception();
  }
}

void NormSums::begin(bool joins) {
  if (joins) {
    joining_ = std::thread([this] { join_all(); });
  }
}

void NormSums::end() {
  if (!joining_.joinable()) {
    reduce(torch::empty({0}, torch::kDouble), through);
    return;
  }
  joining_.join();
  if (joined_) {
    broken_ = true;
    std::rethrow_exception(std::exchange(joined_, nullptr));
  }
}

void NormSums::give_up() {
  if (joining_.joinable()) {
    joining_.join();  // the others say that they have refused, or do not come
    joined_ = nullptr;
    broken_ = true;
  }
  if (!broken_) {
    try {
      reduce(torch::empty({0}, torch::kDouble), refused);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): what is being thrown says more
    }
  }
}

}  // namespace bevfusion

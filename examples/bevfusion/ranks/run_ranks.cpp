// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/ranks/run_ranks.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <utility>

// Headers of c10d are empty without these.
#if defined(BEVFUSION_GLOO) && !defined(USE_C10D_GLOO)
#define USE_C10D_GLOO
#endif
#if defined(BEVFUSION_NCCL) && !defined(USE_C10D_NCCL)
#define USE_C10D_NCCL
#endif
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#if defined(BEVFUSION_GLOO)
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#if defined(BEVFUSION_NCCL)
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#include <torch/torch.h>

#include <fuller/distributed/gradients.hpp>
#include <fuller/distributed/ranks.hpp>

#include "support/standard_streams.hpp"

namespace bevfusion {
namespace {

using Store = c10::intrusive_ptr<c10d::Store>;
using Milliseconds = std::chrono::milliseconds;

std::vector<std::uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

/// The store of this run and this try.
Store met(const Launched& place, Milliseconds timeout) {
  c10d::TCPStoreOptions options;
  options.port = place.port;
  options.isServer = place.rank == 0 && !place.served;
  options.numWorkers = static_cast<std::size_t>(place.size);
  options.waitWorkers = false;
  options.timeout = timeout;
  try {
    return c10::make_intrusive<c10d::PrefixStore>("bevfusion/" + place.attempt,
                                                  c10::make_intrusive<c10d::TCPStore>(place.address, options));
  } catch (const std::exception& error) {
    throw std::runtime_error("rank " + std::to_string(place.rank) + " of " + std::to_string(place.size) +
                             (options.isServer ? ": the ranks' store cannot be served at MASTER_ADDR:MASTER_PORT, "
                                               : ": no store of the ranks was found at MASTER_ADDR:MASTER_PORT, ") +
                             place.address + ":" + std::to_string(place.port) + ": " + example::reason_of(error));
  }
}

#if defined(BEVFUSION_GLOO)
c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_group(const Store& store, const Launched& place, Milliseconds timeout) {
  using Gloo = c10d::ProcessGroupGloo;
  auto how = Gloo::Options::create();
  const char* const interface = std::getenv("GLOO_SOCKET_IFNAME");
  const bool here = place.address == "localhost" || place.address == "::1" || place.address.rfind("127.", 0) == 0;
  how->devices.push_back(interface != nullptr ? Gloo::createDeviceForInterface(interface)
                         : here               ? Gloo::createDeviceForHostname(place.address)
                                              : Gloo::createDefaultDevice());
  how->timeout = timeout;
  how->threads = 2;
  return c10::make_intrusive<Gloo>(store, place.rank, place.size, how);
}
#endif

#if defined(BEVFUSION_NCCL)
c10::intrusive_ptr<c10d::ProcessGroupNCCL> nccl_group(const Store& store, const Launched& place, Milliseconds timeout) {
  auto how = c10d::ProcessGroupNCCL::Options::create();
  how->timeout = timeout;
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, place.rank, place.size, how);
}
#endif

}  // namespace

std::string transports() {
  std::string text;
#if defined(BEVFUSION_NCCL)
  text += "NCCL on GPUs, ";
#endif
#if defined(BEVFUSION_GLOO)
  text += "Gloo on the CPU, ";
#endif
  return text + "a TCP store";
}

struct RunRanks::Meeting {
  Store store;
  std::function<fuller::Ranks(const std::string& name)> make;
  std::function<fuller::Ranks(const std::string& name)> make_beside;
  std::function<void(const std::vector<torch::Tensor>&)> average_gradients;
  fuller::Ranks numbers;  ///< of the trainer

  /// Sends by groups of one kind.
  /// @param make_group  from a store
  template <class MakeGroup>
  void send_by(const MakeGroup& make_group, const fuller::RanksOptions& options) {
    const auto ranks_by = [this, options](const auto& group, const std::string& name) {
      fuller::RanksOptions own = options;
      own.name = name;
      return fuller::ranks_of(group, store, own);
    };
    const auto group_for = [this, make_group](const std::string& name) {
      return make_group(c10::make_intrusive<c10d::PrefixStore>(name + "/group", store));
    };
    make = [ranks_by, group_for](const std::string& name) { return ranks_by(group_for(name), name); };
    make_beside = make;
    const auto group = group_for("trainer");
    numbers = ranks_by(group, "trainer");
    average_gradients = [group](const std::vector<torch::Tensor>& parameters) { fuller::average_gradients(group, parameters); };
  }

  void send_by_store(const Launched& place, const fuller::RanksOptions& options) {
    make = [this, place, options](const std::string& name) {
      fuller::RanksOptions own = options;
      own.name = name;
      return fuller::ranks_over(store, place.rank, place.size, own);
    };
    make_beside = [place, options](const std::string& name) {
      fuller::RanksOptions own = options;
      own.name = name;
      // A connection of its own: in one that waits for a key nobody else is heard.
      Launched visitor = place;
      visitor.served = true;
      return fuller::ranks_over(met(visitor, options.timeout), place.rank, place.size, own);
    };
    numbers = make("trainer");
    average_gradients = [this](const std::vector<torch::Tensor>& parameters) { fuller::average_gradients(numbers, parameters); };
  }
};

RunRanks::RunRanks(const Launched& place, const torch::Device& device, Milliseconds timeout)
    : place_(place), timeout_(timeout), meeting_(std::make_unique<Meeting>()) {
  // One that loads its data set and its libraries may come later than any step takes.
  const Milliseconds patience = std::max<Milliseconds>(timeout, std::chrono::minutes(2));
  meeting_->store = met(place_, patience);
  timeout_ = patience;
  expect_same("number of ranks, or kind of device", std::to_string(place_.size) + " " + device.str().substr(0, 3));
  timeout_ = timeout;
  // A third each for the rank that does not come, for those that do to find out who it was, and for the one that serves the store
  // to wait for them.
  const Milliseconds each = timeout / 3;
  fuller::RanksOptions options;
  options.timeout = each;
#if defined(BEVFUSION_NCCL)
  if (device.is_cuda()) {
    options.device = device;
    meeting_->send_by([place, each](const Store& store) { return nccl_group(store, place, each); }, options);
    transport_ = "NCCL";
    return;
  }
#endif
#if defined(BEVFUSION_GLOO)
  if (device.is_cpu()) {
    meeting_->send_by([place, each](const Store& store) { return gloo_group(store, place, each); }, options);
    transport_ = "Gloo";
    return;
  }
#endif
  meeting_->send_by_store(place_, options);
  transport_ = "a TCP store";
}

RunRanks::~RunRanks() {
  if (left_ || !meeting_->store) {
    return;
  }
  try {
    const auto key = [](int rank) { return "run/left/" + std::to_string(rank); };
    meeting_->store->set(key(place_.rank), bytes_of("1"));
    const auto end = std::chrono::steady_clock::now() + timeout_ / 3;
    for (int other = 1; other < place_.size && place_.rank == 0 && !place_.served; ++other) {
      const auto left = std::chrono::duration_cast<Milliseconds>(end - std::chrono::steady_clock::now());
      meeting_->store->wait({key(other)}, std::max(left, Milliseconds(50)));
    }
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): who has not come is waited for no longer
  }
}

void RunRanks::lost(const std::string& what, const std::string& who, const std::string& why) const {
  throw std::runtime_error("rank " + std::to_string(place_.rank) + " of " + std::to_string(place_.size) + ": " + what +
                           " failed" + (who.empty() ? "" : ", for " + who) + ": " + why);
}

fuller::Ranks RunRanks::of(const std::string& name) { return meeting_->make(name); }

fuller::Ranks RunRanks::beside(const std::string& name) { return meeting_->make_beside(name); }

void RunRanks::average(std::vector<torch::Tensor>& tensors, const std::string& what) {
  try {
    meeting_->numbers.average(tensors);
  } catch (const std::exception& error) {
    lost("the average of " + what, meeting_->numbers.missing ? meeting_->numbers.missing() : "", example::reason_of(error));
  }
}

std::vector<double> RunRanks::sums(std::vector<double> numbers, const std::string& what) {
  std::vector<torch::Tensor> tensors{torch::tensor(numbers, torch::kDouble)};
  average(tensors, what);
  const double* const means = tensors.front().data_ptr<double>();
  std::transform(means, means + numbers.size(), numbers.begin(), [this](double mean) { return mean * place_.size; });
  return numbers;
}

void RunRanks::average_gradients(const std::vector<torch::Tensor>& parameters) {
  try {
    meeting_->average_gradients(parameters);
  } catch (const std::exception& error) {
    lost("the average of the gradients", meeting_->numbers.missing ? meeting_->numbers.missing() : "", example::reason_of(error));
  }
}

std::string RunRanks::heard_of(int other, const std::string& key, const std::string& what) {
  const auto of = [&key](int rank) { return key + "/" + std::to_string(rank); };
  try {
    meeting_->store->wait({of(other)}, timeout_);
    const std::vector<std::uint8_t> bytes = meeting_->store->get(of(other));
    return {bytes.begin(), bytes.end()};
  } catch (const std::exception& error) {
    std::vector<int> missing;
    try {
      for (int rank = 0; rank < place_.size; ++rank) {
        if (rank != place_.rank && !meeting_->store->check({of(rank)})) {
          missing.push_back(rank);
        }
      }
    } catch (const std::exception&) {
      lost(what, "the store cannot be reached any more, and with it, most likely, the rank that served it",
           example::reason_of(error));
    }
    lost(what, fuller::detail::listed_ranks(missing) + " did not come within " + std::to_string(timeout_.count() / 1000) + " s",
         example::reason_of(error));
  }
}

std::vector<std::string> RunRanks::exchange(const std::string& said, const std::string& what) {
  const std::string before = "said/" + std::to_string(exchanges_);
  const std::string key = "said/" + std::to_string(++exchanges_);
  std::vector<std::string> all(static_cast<std::size_t>(place_.size));
  const std::string mine = "/" + std::to_string(place_.rank);
  try {
    meeting_->store->set(key + mine, bytes_of(said));
  } catch (const std::exception& error) {
    lost(what, "the store cannot be reached any more", example::reason_of(error));
  }
  for (int rank = 0; rank < place_.size; ++rank) {
    all[static_cast<std::size_t>(rank)] = rank == place_.rank ? said : heard_of(rank, key, what);
  }
  meeting_->store->deleteKey(before + mine);  // whoever says something now has heard what was said before
  return all;
}

std::vector<std::string> RunRanks::gather(const std::string& said, const std::string& what) {
  const std::string key = "said/" + std::to_string(++exchanges_);
  if (place_.rank != 0) {
    try {
      meeting_->store->set(key + "/" + std::to_string(place_.rank), bytes_of(said));
    } catch (const std::exception& error) {
      lost(what, "the store cannot be reached any more", example::reason_of(error));
    }
    return {};
  }
  std::vector<std::string> all{said};
  for (int rank = 1; rank < place_.size; ++rank) {
    all.push_back(heard_of(rank, key, what));
    meeting_->store->deleteKey(key + "/" + std::to_string(rank));
  }
  return all;
}

void RunRanks::together(const std::string& what, const std::function<void()>& act) {
  std::exception_ptr thrown;
  std::string said;
  try {
    act();
  } catch (const std::exception& error) {
    thrown = std::current_exception();
    said = example::reason_of(error);
    said = said.empty() ? "an error without words" : said;
  }
  const std::vector<std::string> all = exchange(said, what);
  if (thrown) {
    std::rethrow_exception(thrown);
  }
  for (std::size_t rank = 0; rank < all.size(); ++rank) {
    if (!all[rank].empty()) {
      throw std::runtime_error("rank " + std::to_string(rank) + " of " + std::to_string(place_.size) +
                               " has ended: " + all[rank]);
    }
  }
}

void RunRanks::expect_same(const std::string& what, const std::string& text) {
  const std::vector<std::string> all = exchange(text, "the comparison of the ranks' " + what);
  for (std::size_t rank = 1; rank < all.size(); ++rank) {
    if (all[rank] != all.front()) {
      throw std::runtime_error("rank " + std::to_string(rank) + " of " + std::to_string(place_.size) + " has another " + what +
                               " than rank 0; start all of them with the same words, on the same data, with a folder of the run "
                               "that all of them see");
    }
  }
}

void RunRanks::leave() {
  fuller::RanksOptions options;
  options.name = "run";
  options.timeout = timeout_;
  fuller::leave(meeting_->store, place_.rank, place_.served ? 1 : place_.size, options);
  left_ = true;
}

}  // namespace bevfusion

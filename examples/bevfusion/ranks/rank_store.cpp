// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/ranks/rank_store.hpp"

#include <cstddef>

#include <torch/types.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace bevfusion {

struct RankStore::Server {
  c10::intrusive_ptr<c10d::TCPStore> store;
};

RankStore::RankStore(int ranks) : server_(std::make_unique<Server>()) {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = true;
  options.numWorkers = static_cast<std::size_t>(ranks);
  options.waitWorkers = false;
  server_->store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

RankStore::~RankStore() = default;

int RankStore::port() const { return server_->store->getPort(); }

}  // namespace bevfusion

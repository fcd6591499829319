// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace bevfusion {

/// A TCP store on this machine, for ranks to meet in, at a port that was free.
class RankStore {
 public:
  explicit RankStore(int ranks);
  ~RankStore();
  RankStore(const RankStore&) = delete;
  RankStore& operator=(const RankStore&) = delete;

  int port() const;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace bevfusion {

/// Which of a run's processes this one is, as a launcher has said it in the environment.
struct Launched {
  int rank = 0;            ///< RANK, from 0 on
  int size = 1;            ///< WORLD_SIZE
  int local_rank = 0;      ///< LOCAL_RANK: which of this machine's; it chooses the GPU
  std::string address;     ///< MASTER_ADDR, where the ranks meet
  std::uint16_t port = 0;  ///< MASTER_PORT
  bool served = false;     ///< the launcher serves the store there (TORCHELASTIC_USE_AGENT_STORE), else rank 0 does
  std::string attempt;     ///< TORCHELASTIC_RESTART_COUNT: which try of the launcher's, whose keys are no other's
};

/// Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, which torchrun sets, and a line of shell under srun or
/// mpirun. Nothing where neither RANK nor WORLD_SIZE is set. LOCAL_RANK may be left out on the CPU: it is then RANK.
/// @param variable  the environment
/// @throws std::invalid_argument that names the variable which is missing or makes no sense
std::optional<Launched> launched(const std::function<const char*(const char*)>& variable);
/// The same of this process's environment.
std::optional<Launched> launched();

}  // namespace bevfusion

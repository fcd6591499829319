// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace bevfusion {

/// Starts this program once more for each rank of a run on this machine, with the words that it was started with, and waits for
/// them. It serves the store in which they meet. Rank 0 speaks as if it were alone; before each line of another stands which it
/// is. Signals to end go to all ranks. When one fails, the others are ended too.
/// @return 0, or the status that this program is to end with
/// @throws std::runtime_error where one cannot be started
int run_ranks_here(int ranks);

}  // namespace bevfusion

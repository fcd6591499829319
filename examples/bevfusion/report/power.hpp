// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace bevfusion {

/// Share of experiments in which a two-sided t test at 5 %, of so many paired differences that are distributed normally, finds
/// that their mean lies on the side of zero on which it truly does.
/// @param pairs   at least 2
/// @param effect  the true mean difference in standard deviations of the differences
double power_of(std::size_t pairs, double effect);

/// The least number of pairs of runs of which that share is 80 %. A difference that does not vary takes two.
/// @return 0 where `most` pairs do not suffice, or a value is not finite
std::size_t pairs_that_show(double difference, double deviation, std::size_t most = 1000);

}  // namespace bevfusion

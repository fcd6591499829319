// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/report/chart.hpp"

namespace bevfusion {

// What the charts of an experiment's page are put together with.

/// Figures beside each other, as many as fit; empty for none.
std::string panels(const std::string& figures);

/// Whether positive values span so much that they are best shown on a logarithmic axis.
bool is_wide(const ChartRange& positive);

/// A title with the part of the table that it is of, where the table has parts.
std::string in_block(const std::string& title, const std::string& block);

/// The last values of the lines that are not pale, a sentence.
std::string last_values(const std::vector<ChartLine>& lines);

/// A colour of a key ("s2") with its name.
std::string swatch(int colour, const std::string& name);

}  // namespace bevfusion

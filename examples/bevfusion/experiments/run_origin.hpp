// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace bevfusion {

/// The commit that this program was built from, with "+" where the tree had changes; "unknown" without git.
std::string built_from();
/// Processor, its cores, system; and the GPU where `device` names one.
std::string machine_name(const std::string& device);
/// "2026-01-31 12:00 UTC"
std::string time_now();

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>

#include "support/emulated_kernels.hpp"
#include "support/host_stream.hpp"

namespace fuller::testing {

/// How steps run on a device: by the kernels, on emulated blocks, or by the rule on the host, in the order of a stream.
enum class Way { kernels, host_rule };

inline std::shared_ptr<const fuller::Engines> steps_by(Way way) {
  static HostStream stream;
  return way == Way::kernels ? fuller::steps_on(at::kCPU, [] { return emulated_kernels; })
                             : fuller::host_rules_on(at::kCPU, stream.launcher());
}

}  // namespace fuller::testing

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bevfusion/heads/query_decoder.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

/// The decoder that tasks of a model share.
struct SharedDecoder {
  std::string kind;                ///< of Kinds::decoders; empty where each head reads the map
  QueriesAsked asked;              ///< what the tasks together need
  std::vector<std::string> tasks;  ///< whose heads read its queries
};

/// @throws std::invalid_argument where boxes and masks have heads of different kinds and one of them reads a decoder, or where
/// each task has a BEV backbone of its own
SharedDecoder shared_decoder(const ModelConfig& config, const Kinds& kinds);

/// Refuses a config that wants of a shared decoder what it cannot do; of a model without one, nothing.
/// @throws std::invalid_argument that names the field
void check_shared_decoder(const RunConfig& config, const Kinds& kinds);

}  // namespace bevfusion

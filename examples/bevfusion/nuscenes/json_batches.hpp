// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>

#include "bevfusion/nuscenes/json_rows_builder.hpp"

namespace bevfusion {

/// Hands a table's rows to the builder, some hundred kilobytes of them at a time, by simdjson.
/// @param stream  of a file that is an array of objects
/// @return false where the text is anything else, is no JSON, or has what simdjson and the stream's parser might read in two ways
///         (escapes, numbers beyond 64 bits). The builder has then had whole rows, the first of the file, and each as any parser
///         reads them. Always false in a program without simdjson.
bool visit_in_batches(std::istream& stream, JsonRowsBuilder& builder);

}  // namespace bevfusion

// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace bevfusion::fuzz {

// One target for each reader of weights; as in fuzz_targets.hpp, a reader may refuse any bytes with a DataError and do nothing
// else.

/// A file of torch.save: its names, and every tensor, in both of spconv's layouts where it may be a kernel.
void state_file(const std::uint8_t* bytes, std::size_t count);

/// The pickle of such a file, in a sound zip file around it: a change of length costs it none of the zip file's places and sizes.
void state_pickle(const std::uint8_t* bytes, std::size_t count);

/// A map of names, a byte 1, and a name to look up.
void name_map(const std::uint8_t* bytes, std::size_t count);

/// A zip file with this pickle and storages data/0 ... data/15 of `storage` zeros each.
std::string zip_around(const std::string& pickle, std::size_t storage);

}  // namespace bevfusion::fuzz

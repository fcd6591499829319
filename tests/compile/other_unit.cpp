// SPDX-License-Identifier: Apache-2.0
#include "compile/other_unit.hpp"

#include <fuller/version.hpp>

const char* const* version_of_other_unit() { return &fuller::version; }

// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where the other translation unit sees fuller::version.
const char* const* version_of_other_unit();

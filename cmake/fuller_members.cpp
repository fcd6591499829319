// SPDX-License-Identifier: Apache-2.0
// The one compiled file of fuller_add_members().
#include <fuller/members.hpp>

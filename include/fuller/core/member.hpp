// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the members' bodies come into a program. As a rule every file that includes fuller.hpp has them, inline. Where
// FULLER_SEPARATE_MEMBERS is defined for all files of a program, fuller.hpp declares and includes no bodies, and one file of the
// program includes <fuller/members.hpp>, which then defines them as any function: that file alone compiles them.
// `fuller_add_members(name)` of the CMake package does both.
#ifdef FULLER_SEPARATE_MEMBERS
#define FULLER_MEMBER
#else
#define FULLER_MEMBER inline
#endif

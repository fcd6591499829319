// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything a trainer needs.

#include <fuller/autograd/calibration.hpp>
#include <fuller/calibrators/calibrators.hpp>
#include <fuller/version.hpp>

// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace bevfusion {

/// The style sheet of an experiment's page: the reader's light or dark colours, a phone, a screen and paper. Every text has a
/// contrast of at least 4.5 : 1 to what is below it, every line of a chart 3 : 1; the colours are told apart by who is
/// colour-blind, and no colour alone says anything.
const char* experiment_style();

}  // namespace bevfusion

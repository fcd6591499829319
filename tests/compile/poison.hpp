// SPDX-License-Identifier: Apache-2.0
#pragma once

// Names that the headers of systems and other libraries define as macros. The standard library stands them; so must fuller.
#define I (fuller uses I)
#define B0 (fuller uses B0)
#define F0 (fuller uses F0)
#define small (fuller uses small)
#define near (fuller uses near)
#define far (fuller uses far)
#define check (fuller uses check)
#define interface (fuller uses interface)
#define min_value (fuller uses min_value)
#define EPS (fuller uses EPS)
#define PI (fuller uses PI)

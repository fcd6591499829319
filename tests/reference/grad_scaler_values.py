#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes grad_scaler_values.hpp: what Python's torch.amp.GradScaler does in the steps of grad_scaler_test.cpp.

    python3 grad_scaler_values.py > grad_scaler_values.hpp      (torch 2.4 or newer)
"""
import torch

inf, nan = float("inf"), float("nan")
# The unscaled gradients of two parameters, an optimiser each, in every step; None: that optimiser has no part in it.
STEPS = [
    ([1.0, -2.0, 0.5], [3.0, 1.0]),
    ([0.25, 4.0, 1.0], [inf, 1.0]),
    ([1.0, 1.0, 1.0], [1.0, 1.0]),
    ([2.0, -1.0, 1.0], [0.5, 0.5]),
    ([nan, 1.0, 1.0], None),
    ([1.5, 1.0, -1.0], [1.0, 2.0]),
    ([1.0, 2.0, 1.0], [1.0, 1.0]),
    ([1.0, 0.5, 1.0], [1.0, -1.0]),
    ([1.0, 0.5, 8.0], [-inf, nan]),
    ([1.0, 0.5, 2.0], [1.0, 0.125]),
    ([4.0, 0.5, 1.0], [1.0, 1.0]),
]


def main():
    parameters = [torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0])), torch.nn.Parameter(torch.tensor([-1.0, 0.5]))]
    optimizers = [torch.optim.SGD([parameter], lr=0.25) for parameter in parameters]
    make = lambda: torch.amp.GradScaler("cpu", init_scale=1024.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=3)
    scaler = make()
    rows = []
    for number, gradients in enumerate(STEPS):
        if number == 6:  # saved and loaded into another
            state = scaler.state_dict()
            scaler = make()
            scaler.load_state_dict(state)
        scale = scaler.scale(torch.tensor(1.0)).item()
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = None if gradient is None else torch.tensor(gradient) * scale
        if number % 2 == 1:  # clip what the first optimiser will see
            scaler.unscale_(optimizers[0])
            parameters[0].grad.clamp_(-1.0, 1.0)
        for optimizer, gradient in zip(optimizers, gradients):
            if gradient is not None:
                scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        rows.append([state["scale"], float(state["_growth_tracker"])] + parameters[0].tolist() + parameters[1].tolist())

    def number_of(value):
        return {"inf": "INFINITY", "-inf": "-INFINITY", "nan": "NAN"}.get(repr(value), repr(value))

    print("// SPDX-License-Identifier: Apache-2.0")
    print(f"// Written by grad_scaler_values.py with torch {torch.__version__.split('+')[0]}.")
    print("#pragma once\n\n#include <cmath>\n#include <vector>\n")
    print("namespace fuller::testing {\n")
    print("/// The unscaled gradients of both parameters in each step, and whether the second has any.")
    print("struct ScalerStep {\n  std::vector<float> first, second;\n  bool has_second;\n};\n")
    print("inline const std::vector<ScalerStep> scaler_steps{")
    for first, second in STEPS:
        text = [", ".join(number_of(value) for value in list_of) for list_of in (first, second or [0.0, 0.0])]
        print(f"    {{{{{text[0]}}}, {{{text[1]}}}, {'true' if second else 'false'}}},")
    print("};\n")
    print("/// After each step: the scale, finite steps since it moved, the first parameter (3), the second (2).")
    print("inline const std::vector<std::vector<double>> scaler_expected{")
    for row in rows:
        print("    {" + ", ".join(number_of(value) for value in row) + "},")
    print("};\n\n}  // namespace fuller::testing")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes seed_statistics.json: means and paired differences over seeds with SciPy's 95 % intervals. Needs SciPy; its version is kept."""
import json
import random

import scipy
from scipy import stats

random.seed(13)


def interval(values):
    if len(values) < 2:
        return None
    low, high = stats.t.interval(0.95, len(values) - 1, loc=0, scale=stats.sem(values))
    return (high - low) / 2


cases = []
for count in (1, 2, 3, 5, 8, 24):
    baseline = [round(random.gauss(0.25, 0.02), 6) for _ in range(count)]
    row = [round(value + random.gauss(0.01, 0.004), 6) for value in baseline]
    differences = [b - a for a, b in zip(baseline, row)]
    cases.append({
        "baseline": baseline, "row": row,
        "mean": sum(row) / count, "half_width": interval(row),
        "difference": sum(differences) / count, "difference_half_width": interval(differences),
    })
with open("seed_statistics.json", "w") as out:
    json.dump({"scipy": scipy.__version__, "cases": cases}, out, indent=1)
    out.write("\n")

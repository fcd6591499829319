# SPDX-License-Identifier: Apache-2.0
"""The interval that every comparison in Python quotes."""
from math import comb
from statistics import median


def median_interval(values, confidence=0.95):
    """Distribution-free, from order statistics; as fuller's median_interval."""
    values, n = sorted(values), len(values)
    below, outside = 0.0, 0
    for k in range(n):
        below += comb(n, k) / 2**n
        if 2 * below > 1 - confidence:
            break
        outside = k
    return {"ratio": median(values), "low": values[outside], "high": values[n - 1 - outside], "rounds": n}

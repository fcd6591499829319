#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How often a call of fuller's rule fits into a call of TorchJD's on the same Gram matrix, measured in turns in the same run.

    bench/peers/calls PYTHON [TASKS...]      a Python with torchjd[full] and numpy

Ends in a table in Markdown: the time of TorchJD's call over that of fuller's, rule by rule, for T tasks.
"""
import platform
import subprocess
import sys
import time

import numpy as np
import torch
from torchjd import aggregation as a

# What TorchJD calls each, and whether it reads the gradients themselves.
RULES = {
    "AlignedMTL": (lambda T: a.AlignedMTLWeighting(), False), "CAGrad": (lambda T: a.CAGradWeighting(c=0.4), False),
    "ConFIG": (lambda T: a.ConFIG(), True), "DualProj": (lambda T: a.DualProjWeighting(), False),
    "FairGrad": (lambda T: a.FairGradWeighting(alpha=1.0), False), "GradVac": (lambda T: a.GradVacWeighting(), False),
    "IMTL_G": (lambda T: a.IMTLGWeighting(), False), "MGDA": (lambda T: a.MGDAWeighting(), False),
    "NashMTL": (lambda T: a.NashMTL(n_tasks=T), True), "PCD": (lambda T: a.PCDWeighting(), False),
    "PCGrad": (lambda T: a.PCGradWeighting(), False), "UPGrad": (lambda T: a.UPGradWeighting(), False),
}
FASTER = 50  # what is asked of each
FEWEST, LONGEST = 3, 1.0  # calls at least; seconds, once there are so many


def written(ratio):
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def median_call(call):
    """Microseconds of processor time, which other programs on the machine disturb less than elapsed time."""
    call()
    times = []
    begin = time.process_time()
    while len(times) < FEWEST or (time.process_time() - begin < LONGEST and len(times) < 50):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e6 * float(np.median(times))


def main():
    program, tasks = sys.argv[1], [int(T) for T in sys.argv[2:]] or [2, 4, 8, 16, 40, 64]
    torch.set_num_threads(1)
    ours, theirs, left_out = {}, {}, {}
    for T in tasks:
        random = np.random.default_rng(T)
        J = np.linalg.cholesky(np.cov(random.standard_normal((T, 4 * T))) * 4 * T)
        G = J @ J.T
        lines = subprocess.run([program], input=" ".join(map(repr, map(float, [*G.ravel()]))).join([f"{T} ", "\n"]),
                               capture_output=True, text=True, check=True).stdout.splitlines()
        for line in lines:
            name, _, microseconds = line.split()
            ours[name, T] = float(microseconds)
        for name, (make, reads_gradients) in RULES.items():
            try:
                rule, shown = make(T), torch.tensor(J if reads_gradients else G)
                theirs[name, T] = median_call(lambda: rule(shown))
            except Exception as reason:  # an extra that it needs is missing, or it gives up
                left_out[name, T] = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    from importlib.metadata import version
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(f"TorchJD {version('torchjd')} on torch {version('torch')}, one thread of {cpu}: the processor time of its call over that of fuller's\n")
    print("| rule | " + " | ".join(f"T = {T}" for T in tasks) + " |")
    print("|---|" + "---:|" * len(tasks))
    for name in RULES:
        shown = [written(theirs[name, T] / ours[name, T]) if (name, T) in theirs else "–" for T in tasks]
        print(f"| `{name}` | " + " | ".join(shown) + " |")
    least = min((theirs[key] / ours[key], key) for key in theirs)
    below = [f"{name} at T = {T}" for name, T in theirs if theirs[name, T] < FASTER * ours[name, T]]
    print(f"\nThe least: {written(least[0])}, {least[1][0]} at T = {least[1][1]}. Below {FASTER}: {', '.join(sorted(below)) or 'none'}.")
    for reason in sorted({f"{name} is left out: {reason}" for (name, T), reason in left_out.items()}):
        print(reason)


if __name__ == "__main__":
    main()

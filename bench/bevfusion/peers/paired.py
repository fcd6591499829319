# SPDX-License-Identifier: Apache-2.0
"""What both languages share in this folder: the tensors that reference_peer wrote, its steps, checks, and times in turn."""
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "peers"))
from intervals import median_interval  # noqa: E402  beside the other peers

FEWEST_ROUNDS = 6  # with fewer no interval of order statistics holds 95 %


class Reference:
    """reference_peer, waiting for names of steps, and what it wrote."""

    def __init__(self, program, folder):
        self.folder = Path(folder)
        self.process = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()
        index = json.loads((self.folder / "index.json").read_text())
        self.facts, self.tensors = index["facts"], index["tensors"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"reference_peer ended with status {self.process.wait()}")
        return line

    def seconds(self, step):
        self.process.stdin.write(step + "\n")
        self.process.stdin.flush()
        return float(self.answer())

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def tensor(self, name):
        entry = self.tensors[name]
        values = np.fromfile(self.folder / f"{name}.raw", dtype=entry["type"])
        return torch.from_numpy(values.reshape(entry["shape"]))

    def all_of(self, prefix):
        return {name[len(prefix) + 1:]: self.tensor(name) for name in self.tensors if name.startswith(prefix + "/")}


def expect_close(what, found, expected, tolerance):
    """By the norm of the difference over that of what is expected; nothing is timed where they differ."""
    if found.shape != expected.shape:
        sys.exit(f"{what}: shape {list(found.shape)}, the reference model's {list(expected.shape)}; nothing was timed")
    error = float((found.detach().double() - expected.double()).norm() / expected.double().norm())
    if not error <= tolerance:
        sys.exit(f"{what} differs from the reference model's by {error:.1e} (norm), more than {tolerance:.0e}; nothing was timed")
    return error


def seconds_of(step):
    """Processor time of this thread, as the other side counts."""
    begin = time.thread_time()
    step()
    return time.thread_time() - begin


def compare(reference, step, peers, seconds):
    """Times of `step` of the reference model and of `peers`, in turns; each peer's ratio is its time over the model's in the same round."""
    generator = random.Random(1)
    names = [None, *peers]
    times = {name: [] for name in names}
    begin = time.monotonic()
    run = lambda name: reference.seconds(step) if name is None else seconds_of(peers[name])
    for name in names:
        run(name)
    while len(times[None]) < FEWEST_ROUNDS or time.monotonic() - begin < seconds:
        for name in generator.sample(names, len(names)):
            times[name].append(run(name))
    rows = [{"kind": "reference", "step": step, "seconds": median(times[None]), "rounds": len(times[None])}]
    for name in peers:
        ratios = [theirs / ours for theirs, ours in zip(times[name], times[None])]
        rows.append({"kind": "peer", "step": step, "peer": name, "seconds": median(times[name]), **median_interval(ratios)})
    return rows

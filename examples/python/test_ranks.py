# SPDX-License-Identifier: Apache-2.0
"""Two processes over gloo, with DistributedDataParallel: weights and gradients are those of one process with the whole batch."""
import os
import sys
import tempfile
import unittest

import fuller
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

RANKS, BATCH, STEPS = 2, 32, 3


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16))
        self.a = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))
        self.b = nn.Linear(16, 1)

    def forward(self, x, calibration, fork):
        z = self.trunk(x)
        z_a, z_b = calibration.fork(z) if fork else (z, z)
        return self.a(z_a), self.b(z_b)


def losses(out):
    return [out[0].pow(2).mean(), 100 * (out[1] - 1).pow(2).mean()]


def train(model, calibration, x, fork):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    for _ in range(STEPS):
        optimizer.zero_grad()
        calibration.sum(losses(model(x, calibration, fork))).backward()
        optimizer.step()
    return [p.grad for p in model.parameters()]


def batch():
    torch.manual_seed(7)
    return torch.randn(RANKS * BATCH, 8)


def same(found, expected, what):
    for k, (f, e) in enumerate(zip(found, expected)):
        error = float((f - e).norm() / e.norm())
        assert error < 1e-5, f"{what}: gradient {k} differs by {error}"


def against_one_process(rank, own, what, rule, fork=True, options={}, ddp={}):
    one = fuller.Calibration(rule, ["a", "b"], **options)
    expected = train(Network(), one, batch(), fork)
    calibration = fuller.Calibration(rule, ["a", "b"], ranks=own, **options)
    found = train(DistributedDataParallel(Network(), **ddp), calibration, batch()[rank * BATCH:(rank + 1) * BATCH], fork)
    same(found, expected, what)
    for f, e in zip(calibration.diagnostics()["weights"], one.diagnostics()["weights"]):
        assert abs(f - e) <= 1e-5 * abs(e), f"{what}: weights {calibration.diagnostics()['weights']}"


def refused(what, words, rule, options, ddp, own, rank):
    calibration = fuller.Calibration(rule, ["a", "b"], ranks=own, **options)
    model = DistributedDataParallel(Network(), **ddp)
    try:
        train(model, calibration, batch()[rank * BATCH:(rank + 1) * BATCH], True)
    except ValueError as error:
        assert words in str(error), f"{what}: {error}"
        return
    raise AssertionError(f"{what} was not refused")


def idle(rank, own):
    """Rank 1 has no batch in the second step: the weights are those of rank 0's alone."""
    calibration = fuller.Calibration(fuller.IMTL_G(), ["a", "b"], ranks=own)
    model = Network()
    x = batch()[:BATCH]
    one = fuller.Calibration(fuller.IMTL_G(), ["a", "b"])
    for step in range(2):
        if rank == 1 and step == 1:
            calibration.idle_step()
        else:
            calibration.sum(losses(model(x, calibration, True))).backward()
    one.sum(losses(Network()(x, one, True))).backward()
    for f, e in zip(calibration.diagnostics()["weights"], one.diagnostics()["weights"]):
        assert abs(f - e) <= 1e-5 * abs(e), "idle_step"


def work(rank, path, case):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=RANKS)
    own = dist.new_group()  # reductions of fuller's meet none of the reducer's
    if case == "fork":
        against_one_process(rank, own, "IMTL-G", fuller.IMTL_G())
        against_one_process(rank, own, "GradNorm", fuller.GradNorm())
        against_one_process(rank, own, "shared only", fuller.IMTL_G(), options={"apply_to": "shared_only"})
        against_one_process(rank, own, "PCGrad after a fork", fuller.PCGrad())
    elif case == "no_fork":
        against_one_process(rank, own, "PCGrad", fuller.PCGrad(), fork=False)
    elif case == "bucket_view":
        against_one_process(rank, own, "views", fuller.IMTL_G(), ddp={"gradient_as_bucket_view": True})
    elif case == "joined_outputs":
        words = "set options.surface = fuller::Surface::all_shared"
        refused("unused parameters", words, fuller.IMTL_G(), {}, {"find_unused_parameters": True}, own, rank)
        refused("static graph", words, fuller.IMTL_G(), {}, {"static_graph": True}, own, rank)
    elif case == "idle":
        idle(rank, own)
    dist.destroy_process_group()


class Ranks(unittest.TestCase):
    def run_ranks(self, case):
        with tempfile.TemporaryDirectory() as folder:
            mp.spawn(work, (os.path.join(folder, "store"), case), nprocs=RANKS)

    def test_ddp(self):
        self.run_ranks("fork")

    def test_ddp_without_a_fork(self):
        self.run_ranks("no_fork")

    def test_ddp_gradients_as_bucket_views(self):
        self.run_ranks("bucket_view")

    def test_ddp_that_joins_outputs_is_refused(self):
        self.run_ranks("joined_outputs")

    def test_idle_rank(self):
        self.run_ranks("idle")


if __name__ == "__main__":
    if not dist.is_gloo_available():
        print("skipped: this torch has no gloo")
        sys.exit(77)
    unittest.main(verbosity=2)

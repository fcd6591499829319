# SPDX-License-Identifier: Apache-2.0
"""One network, stepped by fuller's module, by TorchJD and by LibMTL-style loops in turns; each a ratio to the same plain step.

    in_one_process.py TASKS light|heavy SECONDS

Before anything is timed, gradients of one rule on one surface are compared, each with those of the loop, which is a few lines of
plain PyTorch.
"""
import sys
import tempfile
from pathlib import Path

import torch

import step as peers  # in this folder; ends with status 77 where there is no torchjd

try:
    import fuller
except ImportError as missing:
    print(f"peers: skipped: {missing} (bench/peers/in_one_process builds it)", file=sys.stderr)
    sys.exit(77)


def made(folder, tasks, heavy):
    """The network of peers/run, with numbers of Python's."""
    torch.manual_seed(0)
    loudness = [1 + 2.0 * k for k in range(tasks)]
    parts = [torch.nn.Sequential(*peers.convolutions(3, 11)), torch.nn.Conv2d(peers.WIDTH, peers.WIDTH, 3, padding=1)]
    parts += [torch.nn.Sequential(*peers.convolutions(peers.WIDTH, 3 if heavy else 1), torch.nn.Conv2d(peers.WIDTH, peers.CLASSES, 1)) for _ in range(tasks)]
    values = {"parameters": torch.cat([p.detach().flatten() for part in parts for p in part.parameters()]),
              "inputs": torch.randn(peers.BATCH, 3, peers.SIDE, peers.SIDE).flatten(),
              "targets": torch.randn(tasks, peers.BATCH, peers.CLASSES, peers.SIDE, peers.SIDE).flatten()}
    for name, tensor in values.items():
        (folder / f"{name}.f32").write_bytes(tensor.float().contiguous().numpy().tobytes())
    return peers.Network(folder, tasks, heavy, loudness, "cpu")


def fuller_steps(net):
    names = [f"task {k}" for k in range(len(net.heads))]

    def step(rule, surface):
        calibration = fuller.Calibration(rule, names, surface=surface)

        def run():
            z = calibration.fork(net.last(net.trunk(net.input)))
            calibration.sum([(head(of_task) - target).pow(2).mean() * loud
                             for head, of_task, target, loud in zip(net.heads, z, net.targets, net.loudness)]).backward()
        return run

    return {"fuller, last layer, IMTL-G": step(fuller.IMTL_G(), "last_shared"),
            "fuller, representation, IMTL-G": step(fuller.IMTL_G(), "representation"),
            "fuller, whole trunk, IMTL-G": step(fuller.IMTL_G(), "all_shared"),
            "fuller, whole trunk, PCGrad": step(fuller.PCGrad(), "all_shared")}


def gradients(net, run, count=None):
    net.drop_gradients()
    run()
    return [parameter.grad.clone() for parameter in net.parameters[:count]]


def check(net, steps):
    """Each of one rule and surface against the loop's. The loop weighs heads too, so of the whole trunk shared gradients are compared."""
    shared = len(net.shared)
    for reference, others, count in [
        ("LibMTL-style loop, last layer, IMTL-G", ["fuller, last layer, IMTL-G", "TorchJD, last layer, IMTL-G"], None),
        ("LibMTL-style loop, whole trunk, IMTL-G", ["fuller, whole trunk, IMTL-G", "TorchJD, whole trunk, IMTL-G"], shared),
    ]:
        expected = gradients(net, steps[reference], count)
        for name in others:
            for k, (found, wanted) in enumerate(zip(gradients(net, steps[name], count), expected)):
                error = float((found - wanted).norm() / wanted.norm())
                if not error <= peers.TOLERANCE:
                    sys.exit(f"{name}: the gradient of parameter {k} differs from that of '{reference}' by {error:.1e} (norm); nothing was timed")


def main():
    tasks, heads, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        net = made(Path(folder), tasks, heads == "heavy")
    steps = {name: run for name, (run, _) in peers.steps(net).items()}
    steps.update(fuller_steps(net))
    check(net, steps)
    results = peers.measure(net, {name: (run, None) for name, run in steps.items()}, seconds, "cpu")
    print(f"\n{tasks} tasks, {heads} heads; torch {torch.__version__}, torchjd {peers.version()}, fuller {fuller.__version__}; "
          f"one process, one thread, processor time, {results['plain']['rounds']} rounds")
    print(f"{'step':42s} {'ms':>7s}  {'of the plain step':22s}")
    for name in sorted(results, key=lambda name: results[name]["ratio"]):
        peers.show(name, results[name])


main()

# SPDX-License-Identifier: Apache-2.0
"""One network, stepped by fuller's module, by TorchJD and by LibMTL-style loops in turns; each a ratio to the same plain step.

    in_one_process.py conv|fusion|wide|narrow TASKS light|heavy SECONDS [RESULTS.json]

Before anything is timed, gradients of one rule on one surface are compared, each with those of the loop, which is a few lines of
plain PyTorch. With RESULTS, what was measured is put into that file, in place of what it had of the same network.
"""
import json
import sys
from pathlib import Path

import torch

import step as peers  # in this folder; ends with status 77 where there is no torchjd
from networks import Network

try:
    import fuller
except ImportError as missing:
    print(f"peers: skipped: {missing} (bench/peers/in_one_process builds it)", file=sys.stderr)
    sys.exit(77)


FULLER_TRUNK = "fuller, whole trunk, IMTL-G"


def fuller_steps(net):
    names = [f"task {k}" for k in range(len(net.heads))]

    def step(rule, surface, **options):
        calibration = fuller.Calibration(rule, names, surface=surface, **options)

        def run():
            calibration.sum(net.losses_of(calibration.fork(net.shared_output()))).backward()
        return run, None, net

    return {"fuller, last layer, IMTL-G": step(fuller.IMTL_G(), "last_shared"),
            "fuller, representation, IMTL-G": step(fuller.IMTL_G(), "representation"),
            FULLER_TRUNK: step(fuller.IMTL_G(), "all_shared"),
            "fuller, whole trunk, PCGrad": step(fuller.PCGrad(), "all_shared"),
            "fuller, whole trunk, PCGrad, layer by layer": step(fuller.PCGrad(), "all_shared", memory="layer_by_layer")}


def gradients(taken, count):
    run, _, net = taken
    net.drop_gradients()
    run()
    return [parameter.grad.clone() for parameter in net.parameters[:count]]


def check(net, steps):
    """Each of one rule and surface against the loop's. Of the whole trunk shared gradients are compared: TorchJD's mtl_backward leaves heads alone."""
    shared = len(net.shared)
    for reference, others, count in [
        ("LibMTL-style loop, last layer, IMTL-G", ["fuller, last layer, IMTL-G", "TorchJD, last layer, IMTL-G"], None),
        (peers.LOOP_TRUNK, [FULLER_TRUNK, "TorchJD, whole trunk, IMTL-G", peers.TORCHJD_GRAMIAN], shared),
    ]:
        expected = gradients(steps[reference], count)
        for name in others:
            for k, (found, wanted) in enumerate(zip(gradients(steps[name], count), expected)):
                error = float((found - wanted).norm() / wanted.norm())
                # TorchJD solves for the weights in the gradients' single precision: its IMTL-G of eight tasks is 1.8e-4 off that of doubles.
                if not error <= (1e-3 if name.startswith("TorchJD") else peers.TOLERANCE):
                    sys.exit(f"{name}: the gradient of parameter {k} differs from that of '{reference}' by {error:.1e} (norm); nothing was timed")


def peak_of(taken):
    """Bytes that tensors hold at most, above those held when the step begins; of a second step, when what stays from one to the next is there."""
    run, _, net = taken
    for _ in range(2):
        net.drop_gradients()
        peak = fuller.peak_memory(run)
    return peak


def keep(path, column, rows):
    file = Path(path)
    kept = json.loads(file.read_text()) if file.exists() else []
    kept = [row for row in kept if row["kind"] != "machine" and any(row[key] != column[key] for key in column)]
    machine = {"kind": "machine", "machine": processor(), "torch": torch.__version__.split("+")[0], "torchjd": peers.version(), "fuller": fuller.__version__}
    lines = [json.dumps(row) for row in [machine, *kept, *rows]]
    file.write_text("[\n" + ",\n".join(lines) + "\n]\n")


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    count = sum(line.startswith("processor") for line in lines)
    return f"{name}, {count} cores"


def main():
    trunk, tasks, heads, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])
    torch.set_num_threads(1)
    net = Network(trunk, tasks, heads == "heavy")
    steps = {**peers.steps(net), **fuller_steps(net)}
    check(net, steps)
    results = peers.measure(steps, seconds, "cpu")
    peaks = {name: peak_of(taken) for name, taken in steps.items()}
    print(f"\n{trunk}, {tasks} tasks, {heads} heads; torch {torch.__version__}, torchjd {peers.version()}, fuller {fuller.__version__}; "
          f"one process, one thread, processor time, {results['plain']['rounds']} rounds")
    print(f"{'step':46s} {'ms':>7s}  {'of the plain step':22s} peak memory")
    for name in sorted(results, key=lambda name: results[name]["ratio"]):
        peers.show(name, results[name], f"  {peaks[name] / peaks['plain']:.2f}")
    if len(sys.argv) > 5:
        column = {"network": trunk, "heads": heads, "tasks": tasks}
        figures = {name: {**result, "peak_ratio": peaks[name] / peaks["plain"]} for name, result in results.items()}
        rounded = {name: {key: round(value, 5) for key, value in of.items()} for name, of in figures.items()}
        keep(sys.argv[5], column, [{"kind": "step", **column, "step": name, **of} for name, of in rounded.items()])


main()

# SPDX-License-Identifier: Apache-2.0
"""Python's side of the comparison: steps the network that peer_step wrote with TorchJD and with a LibMTL-style loop, checks
that losses and gradients equal fuller's, times each step as a ratio to its own plain step, and prints one table of both sides.

    step.py FOLDER TASKS light|heavy SECONDS [--device cpu|cuda]

Skips with the reason and status 77 where there is no torchjd, or no such device.
"""
import copy
import json
import random
import sys
import time
from pathlib import Path
from statistics import median

try:
    import torch
    import torchjd
    from torchjd.aggregation import IMTLG, IMTLGWeighting, PCGrad
    from torchjd.autogram import Engine
    from torchjd.autojac import jac_to_grad, mtl_backward
except ImportError as missing:
    print(f"peers: skipped: {missing}", file=sys.stderr)
    sys.exit(77)

from intervals import median_interval  # in this folder
from networks import Network

TOLERANCE = 1e-4
# These two weigh the heads too, so only their shared gradients can be compared.
TORCHJD_GRAMIAN = "TorchJD, whole trunk, IMTL-G, Gramian engine"
LOOP_TRUNK = "LibMTL-style loop, whole trunk, IMTL-G"
WEIGH_HEADS = (TORCHJD_GRAMIAN, LOOP_TRUNK)


def read(path, shapes):
    values = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.float32)
    tensors = [part.view(shape) for part, shape in zip(values.split([int(torch.Size(s).numel()) for s in shapes]), shapes)]
    return tensors


def written_by_fuller(folder, tasks, heavy, loudness, device):
    """The network `conv` with the numbers that peer_step wrote."""
    net = Network("conv", tasks, heavy)
    with torch.no_grad():
        for name, tensors in {"parameters": net.parameters, "inputs": net.inputs, "targets": net.targets}.items():
            for tensor, values in zip(tensors, read(folder / f"{name}.f32", [t.shape for t in tensors])):
                tensor.copy_(values)
    net.loudness = loudness
    return net.to(device)


def weighted_backward(losses, weights):
    sum(weight * loss for weight, loss in zip(weights, losses)).backward()


def imtl_g(gram):
    norms = gram.diagonal().sqrt()
    raw = torch.linalg.solve(gram / norms / norms[:, None], torch.ones_like(norms)) / norms
    return raw / raw.sum()


def steps(net):
    """Name -> (step, the step of fuller's that it must equal, the network whose gradients it forms)."""
    weight = net.last.weight
    tasks = len(net.heads)
    watched = copy.deepcopy(net)  # the engine hooks into each forward of its modules
    engine = Engine(*watched.shared_modules, batch_dim=None)

    def plain():
        sum(net.losses()[1]).backward()

    def torchjd_last(rule):
        z, losses = net.losses()
        mtl_backward(losses, features=z, tasks_params=[[]] * tasks, shared_params=[weight], retain_graph=True,
                     parallel_chunk_size=1)
        weights = jac_to_grad([weight], rule)
        weight.grad = None
        weighted_backward(losses, weights)

    def torchjd_trunk(rule, chunk):
        z, losses = net.losses()
        mtl_backward(losses, features=z, shared_params=net.shared, parallel_chunk_size=chunk)
        jac_to_grad(net.shared, rule)

    def torchjd_gramian(weighting):
        _, losses = watched.losses()
        losses = torch.stack(losses)
        losses.backward(weighting(engine.compute_gramian(losses)))

    def loop_last():
        _, losses = net.losses()
        rows = torch.stack([torch.autograd.grad(loss, weight, retain_graph=True)[0].flatten() for loss in losses]).double()
        weighted_backward(losses, imtl_g(rows @ rows.T).float())

    def loop_trunk():
        # As LibMTL does: a backward of each loss to all parameters, shared gradients gathered row by row, then a backward of
        # the weighted sum.
        _, losses = net.losses()
        rows = []
        for loss in losses:
            gradients = torch.autograd.grad(loss, net.shared, retain_graph=True)
            rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
        rows = torch.stack(rows)
        weights = imtl_g(rows.double() @ rows.double().T).float()
        weighted_backward(losses, weights)

    return {
        "plain": (plain, "plain", net),
        "TorchJD, last layer, IMTL-G": (lambda: torchjd_last(IMTLG()), "last_shared_IMTL-G", net),
        "TorchJD, whole trunk, IMTL-G": (lambda: torchjd_trunk(IMTLG(), 1), "all_shared_IMTL-G", net),
        "TorchJD, whole trunk, IMTL-G, vmap": (lambda: torchjd_trunk(IMTLG(), None), "all_shared_IMTL-G", net),
        # The random orders differ where there is more than one other task to project on.
        "TorchJD, whole trunk, PCGrad": (lambda: torchjd_trunk(PCGrad(), 1), "all_shared_PCGrad" if tasks == 2 else None, net),
        TORCHJD_GRAMIAN: (lambda: torchjd_gramian(IMTLGWeighting()), "all_shared_IMTL-G", watched),
        "LibMTL-style loop, last layer, IMTL-G": (loop_last, "last_shared_IMTL-G", net),
        LOOP_TRUNK: (loop_trunk, "all_shared_IMTL-G", net),
    }


def check(net, folder, all_steps):
    shapes = [p.shape for p in net.parameters]
    _, losses = net.losses()
    (expected,) = read(folder / "losses.f32", [(len(losses),)])
    torch.testing.assert_close(torch.stack(losses).detach().cpu(), expected, rtol=TOLERANCE, atol=0)
    for name, (step, reference, stepped) in all_steps.items():
        if reference is None:
            continue
        stepped.drop_gradients()
        step()
        expected = read(folder / f"gradients_{reference}.f32", shapes)
        count = len(net.shared) if name in WEIGH_HEADS else len(shapes)
        for k in range(count):
            error = float((stepped.parameters[k].grad.cpu() - expected[k]).norm() / expected[k].norm())
            if not error <= TOLERANCE:
                sys.exit(f"{name}: the gradient of parameter {k} differs from fuller's by {error:.1e} (norm); nothing was timed")


def seconds_now(device):
    """As fuller's side counts: this thread's processor time, or, on a device, elapsed time until it is done."""
    if device == "cpu":
        return time.thread_time()
    torch.cuda.synchronize()
    return time.monotonic()


def measure(all_steps, seconds, device):
    """Each step's time as a ratio to that of "plain" in the same round, in rounds of an order drawn anew."""
    generator = random.Random(1)
    ratios = {name: [] for name in all_steps}
    times = {name: [] for name in all_steps}
    begin, rounds = time.monotonic(), 0
    while rounds < 16 or time.monotonic() - begin < seconds:
        rounds += 1
        order = [*all_steps, "plain", "plain"]
        generator.shuffle(order)
        taken = {name: [] for name in all_steps}
        for name in order:
            step, _, stepped = all_steps[name]
            stepped.drop_gradients()
            start = seconds_now(device)
            step()
            taken[name].append(seconds_now(device) - start)
        for name, values in taken.items():
            times[name].append(median(values))
            ratios[name].append(median(values) / median(taken["plain"]))
    return {name: {"seconds": median(times[name]), **median_interval(ratios[name])} for name in all_steps}


def main():
    device = sys.argv[6] if sys.argv[5:6] == ["--device"] else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        print("peers: skipped: torch sees no CUDA device", file=sys.stderr)
        sys.exit(77)
    folder, tasks, heavy, seconds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "heavy", float(sys.argv[4])
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # nor on fuller's side: gradients are compared
    torch.manual_seed(0)
    fuller = json.loads((folder / "fuller.json").read_text())
    if torch.__version__.split("+")[0] != fuller["libtorch"].split("+")[0]:
        sys.exit(f"Python has torch {torch.__version__}, fuller's side was built with {fuller['libtorch']}")
    net = written_by_fuller(folder, tasks, heavy, fuller["loudness"], device)
    all_steps = steps(net)
    check(net, folder, all_steps)
    peers = measure(all_steps, seconds, device)
    (folder / "peers.json").write_text(json.dumps(peers, indent=1))

    print(f"\n{tasks} tasks, {sys.argv[3]} heads; torch {torch.__version__}, torchjd {version()}; "
          + ("one thread, processor time" if device == "cpu" else torch.cuda.get_device_name()))
    print(f"{'step':46s} {'ms':>7s}  {'of its own plain step':22s}")
    for name, result in fuller["steps"].items():
        show("fuller, " + name.replace("/", ", ").replace("_", " ") if name not in ("plain", "floor") else
             {"plain": "plain step in C++", "floor": "floor: plain + T last-layer gradients"}[name], result)
    for name, result in peers.items():
        show("plain step in Python" if name == "plain" else name, result)


def version():
    from importlib.metadata import version as of

    return of("torchjd")


def show(name, result, more=""):
    print(f"{name:46s} {1e3 * result['seconds']:7.1f}  {result['ratio']:.3f} ({result['low']:.3f} to {result['high']:.3f}){more}")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""The reference model's parts against what a user of Python would run instead: checks that both give the same, then times both in
turn, and prints and keeps one table.

    compare.py PROGRAM FOLDER SECONDS FILE.json    the program reference_peer, where it writes, seconds a comparison, what is kept

A peer whose modules are missing is left out, with the reason.
"""
import json
import sys
from pathlib import Path

import torch

import paired
from cameras import SwinMaps, ViewTransform
from encoders import DenseNet, SpconvNet, dense_grid, spconv_mended
from paired import expect_close

LEFT_OUT = {}  # peer to reason
CLOSE = 1e-4  # of maps, in single precision
EXACT = 1e-8  # of gradients, in double precision: in single that of a ReLU jumps where rounding takes a number over zero


def without_gradients(step):
    with torch.no_grad():
        return step()


def encoder(reference):
    """Peers of the sparse encoder's three steps."""
    found = {"encoder/forward": {}, "encoder/training": {}, "middle/forward": {}}
    state = reference.all_of("encoder/state")
    grid, active = dense_grid(reference.tensor("middle/features"), reference.tensor("middle/sites"), reference.tensor("middle/shape").tolist())
    dense = DenseNet(state).prepare()
    expect_close("dense conv3d's map", without_gradients(lambda: dense(grid, active)), reference.tensor("middle/map"), CLOSE)
    found["middle/forward"]["dense conv3d"] = lambda: without_gradients(lambda: dense(grid, active))
    try:
        version = spconv_mended()[1]
    except Exception as error:  # whatever it is that does not run here
        LEFT_OUT["spconv"] = f"{type(error).__name__}: {error}"
        return found
    name = f"spconv {version}"
    net = SpconvNet()
    net.load(state)
    inputs = {}
    for part in ("encoder", "middle"):
        inputs[part] = (reference.tensor(f"{part}/features"), reference.tensor(f"{part}/sites").int(), reference.tensor(f"{part}/shape").tolist())

    def forward(part):
        net.eval()
        return without_gradients(lambda: net(*inputs[part]))

    for part in inputs:
        expect_close(f"spconv's map of {part}", forward(part), reference.tensor(f"{part}/map"), CLOSE)
        found[f"{part}/forward"][name] = lambda part=part: forward(part)
    cotangent = reference.tensor("encoder/cotangent")

    def training(of, features, arriving):
        of.train()
        of.zero_grad()
        of(features, *inputs["encoder"][1:]).backward(arriving)

    exact = SpconvNet()
    exact.load(state)
    training(exact.double(), inputs["encoder"][0].double(), cotangent.double())
    for key, gradient in exact.gradients().items():
        expect_close(f"spconv's gradient of {key}", gradient, reference.tensor(f"encoder/gradients/{key}"), EXACT)
    found["encoder/training"][name] = lambda: training(net, inputs["encoder"][0], cotangent)
    return found


def swin(reference):
    try:
        import torchvision
    except ImportError as missing:
        LEFT_OUT["torchvision"] = str(missing)
        return {}
    net = SwinMaps()
    net.load(reference.all_of("swin/state"))
    pictures = reference.tensor("swin/pictures")
    for level, found in enumerate(without_gradients(lambda: net(pictures))):
        expect_close(f"torchvision's map {level}", found, reference.tensor(f"swin/map{level}"), CLOSE)
    cotangents = [reference.tensor(f"swin/cotangent{level}") for level in range(3)]
    fewer = pictures[: len(cotangents[0])].contiguous()

    def training(of, on, arriving):
        of.zero_grad()
        torch.autograd.backward(of(on), arriving)

    exact = SwinMaps()
    exact.load(reference.all_of("swin/state"))
    training(exact.double(), fewer.double(), [cotangent.double() for cotangent in cotangents])
    for key, parameter in exact.names().items():
        expect_close(f"torchvision's gradient of {key}", parameter.grad, reference.tensor(f"swin/gradients/{key}"), EXACT)
    name = f"torchvision {torchvision.__version__.split('+')[0]}"
    return {"swin/forward": {name: lambda: without_gradients(lambda: net(pictures))}, "swin/training": {name: lambda: training(net, fewer, cotangents)}}


def view(reference):
    """BEVFusion's places are single precision, the reference model's double. Equal places are compared closely; with its own, few rows
    fall into a cell beside."""
    places = {name: reference.tensor(f"view/{name}") for name in ("intrinsics", "camera_to_lidar", "image_augmentation", "lidar_augmentation")}
    single = {name: matrix.float() for name, matrix in places.items()}
    features, cotangent = reference.tensor("view/features"), reference.tensor("view/cotangent")
    state = reference.all_of("view/state")
    leaf = features.clone().requires_grad_()

    def forward(of, geometry):
        of.eval()
        return without_gradients(lambda: of(features, geometry))

    def training(of, on, geometry, arriving):
        of.train()
        of.zero_grad()
        on.grad = None
        of(on, geometry).backward(arriving)

    found = {"view/forward": {}, "view/training": {}}
    for pooling, tolerance in (("index_add", CLOSE), ("cumsum", 1e-3)):  # differences of sums over a million rows
        net, exact = ViewTransform(features.shape[1], pooling), ViewTransform(features.shape[1], pooling)
        net.load_state_dict(state)
        exact.load_state_dict(state)
        expect_close(f"the map by {pooling}", forward(net, places), reference.tensor("view/map"), tolerance)
        expect_close(f"the map by {pooling}, places in single precision", forward(net, single), reference.tensor("view/map"), 2e-2)
        exact_leaf = features.double().requires_grad_()
        training(exact.double(), exact_leaf, places, cotangent.double())
        expect_close(f"the gradient of features by {pooling}", exact_leaf.grad, reference.tensor("view/gradient_of_features"), EXACT)
        for key, parameter in exact.named_parameters():
            expect_close(f"the gradient of {key} by {pooling}", parameter.grad, reference.tensor(f"view/gradients/{key}"), EXACT)
        name = f"BEVFusion's pooling, {pooling}"
        found["view/forward"][name] = lambda net=net: forward(net, single)
        found["view/training"][name] = lambda net=net: training(net, leaf, single, cotangent)
    return found


def loading(reference):
    try:
        from devkit_loader import DevkitLoader
    except ImportError as missing:
        LEFT_OUT["nuscenes-devkit"] = str(missing)
        return {}
    loader = DevkitLoader(reference.folder / "synthetic")
    tokens = [reference.facts[f"sample{k}"] for k in range(reference.facts["samples"])]
    for k, token in enumerate(tokens):
        theirs, ours = loader.load(token), reference.all_of(f"loader/{k}")
        for name in ("points", "boxes", "intrinsics", "camera_to_lidar", "image_augmentation"):
            expect_close(f"the devkit's {name}", theirs[name].nan_to_num(), ours[name].nan_to_num(), 1e-5)
        # Lines cut off at the square's far edge end in either of two cells there, as rounding has it.
        differing = float((theirs["masks"] != ours["masks"]).float().mean())
        if theirs["masks"].shape != ours["masks"].shape or differing > 1e-4:
            sys.exit(f"the devkit's masks differ from the reference model's in {differing:.1e} of the cells; nothing was timed")
        # Both average what a pixel covers, Pillow by a triangle and the reference model over four places.
        apart = float((theirs["pictures"] - ours["pictures"]).abs().mean()) * 0.226 * 255
        if theirs["pictures"].shape != ours["pictures"].shape or apart > 3:
            sys.exit(f"Pillow's pictures are {apart:.1f} of 255 from the reference model's; nothing was timed")

    def load():
        for token in tokens:
            loader.load(token)

    return {"loader/load": {"devkit, Pillow, OpenCV": load}}


def main():
    program, folder, seconds, kept = sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    reference = paired.Reference(program, folder)
    facts = reference.facts
    if torch.__version__.split("+")[0] != facts["libtorch"].split("+")[0]:
        sys.exit(f"Python has torch {torch.__version__}, the reference model was built with {facts['libtorch']}")
    comparisons = {}
    for part in (encoder, swin, view, loading):
        comparisons.update(part(reference))
    rows = [{"kind": "machine", **facts, "python": sys.version.split()[0], "torch": torch.__version__}]
    rows += [{"kind": "left out", "peer": peer, "reason": reason} for peer, reason in LEFT_OUT.items()]
    show(rows)
    for step, peers in comparisons.items():
        if peers:
            found = paired.compare(reference, step, peers, seconds)
            show(found)
            rows += found
    reference.close()
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def show(rows):
    for row in rows:
        if row["kind"] == "machine":
            print(f"{row['machine']}, torch {row['torch']}, {row['frame']}, {row['voxels']} voxels; one thread, processor time\n"
                  f"{'step':18s} {'taken by':32s} {'ms':>8s}  of the reference model's")
        elif row["kind"] == "left out":
            print(f"left out: {row['peer']}: {row['reason']}")
        elif row["kind"] == "reference":
            print(f"{row['step']:18s} {'reference model':32s} {1e3 * row['seconds']:8.1f}  {row['rounds']} rounds")
        else:
            print(f"{'':18s} {row['peer']:32s} {1e3 * row['seconds']:8.1f}  {row['ratio']:.3f} ({row['low']:.3f} to {row['high']:.3f})", flush=True)


if __name__ == "__main__":
    main()

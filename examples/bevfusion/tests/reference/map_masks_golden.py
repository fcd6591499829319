#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes map_masks_golden.json: the masks that nuScenes' own devkit draws of made-up maps.

    python3 -m venv venv
    venv/bin/pip install nuscenes-devkit==1.2.0 numpy==1.26.4 opencv-python-headless==4.11.0.86 shapely==2.0.7
    bevfusion synth --out synth --scenes 2 --samples 2 --sweeps 0 --seed 5 --tiny
    venv/bin/python map_masks_golden.py synth map_masks_golden.json

(Python 3.11.) Nothing of the nuScenes data is used: two maps are synthetic towns, rounded to centimetres, one is random shapes
with what towns lack (holes, hollow and comb-like areas that the square's edge cuts in pieces, polygons that cross themselves, holes
that overlap or stick out, lines that cross themselves). Masks are those of NuScenesMap.get_map_mask as BEVFusion's
LoadBEVSegmentation asks for them: a square of 100 m about a place, turned by the LiDAR's yaw, 200 x 200 cells, [x, y] after it is
transposed, layers of one class united.

Two things are done to the devkit. Its mask_for_lines walks over a MultiLineString, which shapely 2 no longer allows: here over its
parts. And what it cuts off at the square's far edge ends at 200 or at 199.99999999999997, as rounding errors have it, of which it
takes the whole part: "divider" has the first everywhere (places are rounded to 9 digits), and "divider_cells_by_error" says how
many cells of its own masks are others.

Layout: a list of maps; each has layers (name to records, a record a list of rings or one line, of [x, y]) and poses (x, y, yaw and
masks: name to the lengths of runs of equal cells in [x, y], the first run of zeros).
"""
import json
import math
import os
import shutil
import sys
import tempfile

import cv2
import nuscenes.map_expansion.map_api as api
import numpy as np

AREAS = ["drivable_area", "ped_crossing", "walkway", "stop_line", "carpark_area", "road_segment", "lane"]
LINES = ["road_divider", "lane_divider"]
NAME = "singapore-onenorth"  # one of those that the devkit knows
POSES = 4
DIGITS = None  # of mask_for_lines


def mask_for_lines(lines, mask):
    for line in getattr(lines, "geoms", [lines]):
        if line.geom_type == "LineString":
            places = np.asarray(line.coords)
            places = places if DIGITS is None else places.round(DIGITS)
            cv2.polylines(mask, [places.astype(np.int32).reshape((-1, 2))], False, 1, 2)
    return mask


api.NuScenesMapExplorer.mask_for_lines = staticmethod(mask_for_lines)


def town(path):
    """The layers of a synthetic map."""
    data = json.load(open(path))
    node = {n["token"]: [round(n["x"], 2), round(n["y"], 2)] for n in data["node"]}
    shape = {p["token"]: [[node[t] for t in p["exterior_node_tokens"]]] for p in data["polygon"]}
    shape.update({s["token"]: [node[t] for t in s["node_tokens"]] for s in data["line"]})
    layers = {}
    for layer in AREAS + LINES:
        layers[layer] = [shape[t] for record in data[layer]
                         for t in record.get("polygon_tokens", [record.get("polygon_token", record.get("line_token"))])]
    return layers


def load(path):
    """Has the devkit load a map expansion as it is."""
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(os.path.join(folder, "maps", "expansion"))
        shutil.copy(path, os.path.join(folder, "maps", "expansion", NAME + ".json"))
        api.NuScenesMap(folder, NAME)


def shapes(rng):
    """Layers of random shapes."""

    def at(points):
        return [[round(float(x), 2), round(float(y), 2)] for x, y in points]

    def star(x, y, radius, count, depth):
        angles = 2 * math.pi * (np.arange(count) + rng.uniform(0, 0.8, count)) / count
        radii = radius * rng.uniform(1 - depth, 1, count)
        return at(zip(x + radii * np.cos(angles), y + radii * np.sin(angles)))

    def comb(x, y, width, height, teeth):
        points = [(x, y)]
        for i in range(teeth):
            left, right = x + width * i / teeth, x + width * (i + 1) / teeth
            points += [(left, y + height), ((left + right) / 2, y + height), ((left + right) / 2, y + 1), (right, y + 1)]
        return at(points + [(x + width, y)])

    layers = {layer: [] for layer in AREAS + LINES}
    for _ in range(6):
        def place():
            return rng.uniform(60, 140, 2)
        x, y = place()
        r = rng.uniform(10, 50)
        holes = [star(x + 0.35 * r * u, y + 0.35 * r * v, 0.2 * r, 7, 0.4) for u, v in ((1, 0), (-1, 0), (0, 1), (0, -1))]
        layers["drivable_area"].append([star(x, y, r, 30, 0.2)] + holes)
        x, y = place()
        r = rng.uniform(5, 40)
        layers["walkway"].append([star(x, y, r, 20, 0.2), star(x, y, 0.6 * r, 9, 0.4)])
        layers["lane"].append([comb(*place(), *rng.uniform(10, 60, 2), 6)])
        x, y = place()
        layers["carpark_area"].append([at(rng.normal((x, y), 15, (5, 2)))])  # most cross themselves
        x, y = place()
        r = rng.uniform(5, 40)
        # Holes that lie inside, overlap or stick out.
        layers["ped_crossing"].append([star(x, y, r, 12, 0.5)] +
                                      [star(*(np.array([x, y]) + rng.uniform(-0.5, 0.5, 2) * r), 0.2 * r, 6, 0.4) for _ in range(2)])
        for layer in LINES:
            layers[layer].append(at(np.cumsum(rng.normal(0, 12, (8, 2)), 0) + place()))
    return layers


def expansion(layers):
    """The map expansion of some layers."""
    out = {"version": "1.3", "canvas_edge": [1000, 1000], "node": [], "polygon": [], "line": [],
           "arcline_path_3": {}, "connectivity": {}}
    out.update({layer: [] for layer in AREAS + LINES + ["road_block", "traffic_light", "lane_connector"]})
    count = 0

    def token():
        nonlocal count
        count += 1
        return f"{count:032x}"

    def nodes(points):
        tokens = []
        for x, y in points:
            tokens.append(token())
            out["node"].append({"token": tokens[-1], "x": x, "y": y})
        return tokens

    for layer, records in layers.items():
        for record in records:
            own = token()
            if layer in LINES:
                out["line"].append({"token": own, "node_tokens": nodes(record)})
                out[layer].append({"token": token(), "line_token": own})
                continue
            out["polygon"].append({"token": own, "exterior_node_tokens": nodes(record[0]),
                                   "holes": [{"node_tokens": nodes(hole)} for hole in record[1:]]})
            fields = {"token": token(), "polygon_token": own, "polygon_tokens": [own], "stop_line_type": "YIELD",
                      "left_lane_divider_segments": [], "right_lane_divider_segments": []}
            out[layer].append(fields)
    return out


def runs(mask):
    """Lengths of runs of equal cells; the first is of zeros."""
    flat = mask.reshape(-1) != 0
    ends = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff(np.concatenate([[0], ends, [flat.size]])).tolist()
    return [0] + lengths if flat[0] else lengths


def masks_at(devkit, x, y, yaw, digits):
    global DIGITS
    DIGITS = digits
    drawn = devkit.get_map_mask((x, y, 100.0, 100.0), yaw / math.pi * 180, AREAS + LINES, (200, 200)).transpose(0, 2, 1)
    masks = dict(zip(AREAS, drawn))
    masks["divider"] = drawn[len(AREAS)] | drawn[len(AREAS) + 1]
    return masks


def main():
    rng = np.random.default_rng(20240517)
    expansions = sorted(os.listdir(os.path.join(sys.argv[1], "maps", "expansion")))[:2]
    for name in expansions:
        load(os.path.join(sys.argv[1], "maps", "expansion", name))
    maps = [town(os.path.join(sys.argv[1], "maps", "expansion", name)) for name in expansions] + [shapes(rng)]
    out = []
    for layers in maps:
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(os.path.join(folder, "maps", "expansion"))
            with open(os.path.join(folder, "maps", "expansion", NAME + ".json"), "w") as file:
                json.dump(expansion(layers), file)
            devkit = api.NuScenesMap(folder, NAME)
        places = np.array([p for layer in LINES for line in layers[layer] for p in line])
        poses = []
        for _ in range(POSES):
            x, y = (round(float(v), 3) for v in places[rng.integers(len(places))] + rng.normal(0, 10, 2))
            yaw = round(float(rng.uniform(-math.pi, math.pi)), 6)
            masks = masks_at(devkit, x, y, yaw, 9)
            by_error = int((masks_at(devkit, x, y, yaw, None)["divider"] != masks["divider"]).sum())
            poses.append({"x": x, "y": y, "yaw": yaw, "masks": {name: runs(mask) for name, mask in masks.items()},
                          "divider_cells_by_error": by_error})
        out.append({"layers": layers, "poses": poses})
    with open(sys.argv[2], "w") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes map_outlines_golden.json: masks of the label set hdmapnet_map, by GEOS's union of polygons.

    python3 -m venv venv
    venv/bin/pip install numpy==1.26.4 opencv-python-headless==4.11.0.86 shapely==2.0.7
    venv/bin/python map_outlines_golden.py map_masks_golden.json map_outlines_golden.json

(Python 3.11.) The maps and poses are those of map_masks_golden.json: two synthetic towns and one map of random shapes. Masks are of
30 m to either side of the LiDAR along y and 15 m along x, [x, y].

"near" has cells of 0.5 m whose centre is at most 0.5 m from a class's lines: 1; those whose distance is within 3 mm of that are 2 and
settle nothing. For the code under test areas touch that are up to 1 mm apart, and places are rounded to centimetres: so unions are made
twice, as they are and without gaps of up to 3 mm, and cells that differ settle nothing, either. Classes are the set's, and "areas": where the union of the layers walkway, lane and ped_crossing ends, which in the random map have holes, overlap and cross themselves
(those are left out).

"tool" is what the data tools of HDMapNet draw, as BEVFormer_segmentation_detection has them (the code that wPCGrad's paper used), in
cells of 0.15 m: polygons are cut by the patch, united, and what of their rings is within 0.2 m of the patch's edge is left out; lines are
sampled every metre, brought to cells by cutting off fractions, and drawn 5 cells thick by OpenCV. What that code does after that, to give each
cell one class, is not done. It does so in the car's frame (x ahead, y to the left): the mask is turned to the frame of the LiDAR.

Layout: a list of maps, each a list of poses, each {"near": {class: runs}, "tool": {class: runs}}, runs being [value, cells] in turn.
"""
import json
import math
import sys

import cv2
import numpy as np
import shapely
from shapely import affinity, ops
from shapely.geometry import LineString, MultiPolygon, Polygon, box

AHEAD, ASIDE = 30.0, 15.0  # m
SURE = 0.003  # m
TOOL_POSES = (1, 3)  # of a town


def polygons(layers, names):
    all_of = [Polygon(rings[0], rings[1:]) for name in names for rings in layers[name]]
    return [polygon for polygon in all_of if polygon.is_valid]


def borders(layers, names):
    """Of the union as it is, and without gaps of up to 3 mm."""
    union = ops.unary_union(polygons(layers, names))
    mitre = {"join_style": "mitre", "mitre_limit": 100}
    return [union.boundary, union.buffer(1.5e-3, **mitre).buffer(-1.5e-3, **mitre).boundary]


def long_sides(layers):
    lines = []
    for polygon in polygons(layers, ["ped_crossing"]):
        ring = list(polygon.exterior.coords)
        edges = [LineString(pair) for pair in zip(ring, ring[1:])]
        lines += sorted(edges, key=lambda edge: -edge.length)[:2]
    return lines


def dividers(layers):
    return [LineString(points) for name in ("road_divider", "lane_divider") for points in layers[name]]


def runs(mask):
    flat = mask.reshape(-1)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(np.concatenate([starts, [flat.size]]))
    return [int(v) for pair in zip(flat[starts], lengths) for v in pair]


def near(geometries, pose):
    """By the distance of each cell's centre, where all say the same."""
    masks = [near_one(geometry, pose) for geometry in geometries]
    return np.where(np.min(masks, 0) == np.max(masks, 0), masks[0], 2)


def near_one(geometry, pose):
    cell = 0.5
    x = -ASIDE + (np.arange(int(2 * ASIDE / cell)) + 0.5) * cell
    y = -AHEAD + (np.arange(int(2 * AHEAD / cell)) + 0.5) * cell
    x, y = np.meshgrid(x, y, indexing="ij")
    c, s = math.cos(pose["yaw"]), math.sin(pose["yaw"])
    places = shapely.points(pose["x"] + c * x - s * y, pose["y"] + s * x + c * y)
    distance = shapely.distance(places, geometry)
    return np.where(np.abs(distance - 0.5) < SURE, 2, (distance < 0.5).astype(int))


def to_car(geometry, pose):
    """Global to the frame whose x is the LiDAR's y, and y its x backward."""
    moved = affinity.translate(geometry, -pose["x"], -pose["y"])
    return affinity.rotate(moved, -(pose["yaw"] + math.pi / 2), origin=(0, 0), use_radians=True)


def parts_of(geometry):
    """Of a single line, or of several."""
    return [line for line in getattr(geometry, "geoms", [geometry]) if line.geom_type == "LineString" and not line.is_empty]


def tool(lines):
    """Lines in the car's frame as the tool draws them."""
    mask = np.zeros((200, 400), np.uint8)
    for line in lines:
        sampled = [line.interpolate(d) for d in np.arange(0, line.length, 1.0)]
        if len(sampled) < 2:
            continue
        for part in parts_of(LineString(sampled).intersection(box(-AHEAD, -ASIDE, AHEAD, ASIDE))):
            cells = (np.asarray(part.coords) + [AHEAD, ASIDE]) / 0.15
            cv2.polylines(mask, [cells.astype(np.int32).reshape(-1, 2)], False, 1, 5)
    return mask[::-1]  # y to the left is x to the right backward


def tool_boundary(layers, pose):
    patch = box(-AHEAD, -ASIDE, AHEAD, ASIDE)
    inner = box(-AHEAD + 0.2, -ASIDE + 0.2, AHEAD - 0.2, ASIDE - 0.2)
    union = ops.unary_union([to_car(polygon, pose).intersection(patch) for polygon in polygons(layers, ["road_segment", "lane"])])
    union = union if isinstance(union, MultiPolygon) else MultiPolygon([union])
    lines = []
    for polygon in union.geoms:
        for ring in [polygon.exterior, *polygon.interiors]:
            cut = ring.intersection(inner)
            lines += parts_of(ops.linemerge(cut) if cut.geom_type == "MultiLineString" else cut)
    return lines


def tool_lines(lines, pose):
    patch = box(-AHEAD, -ASIDE, AHEAD, ASIDE)
    return [part for line in lines for part in parts_of(to_car(line, pose).intersection(patch))]


def main():
    out = []
    for number, one in enumerate(json.load(open(sys.argv[1]))):
        layers = one["layers"]
        geometries = {
            "boundary": borders(layers, ["road_segment", "lane"]),
            "lane_line": [shapely.MultiLineString(dividers(layers))],
            "crosswalk": [shapely.MultiLineString(long_sides(layers))],
            "areas": borders(layers, ["walkway", "lane", "ped_crossing"]),
        }
        poses = []
        for k, pose in enumerate(one["poses"]):
            poses.append({"near": {name: runs(near(geometry, pose)) for name, geometry in geometries.items()}})
            if number < 2 and k in TOOL_POSES:
                poses[-1]["tool"] = {
                    "boundary": runs(tool(tool_boundary(layers, pose))),
                    "lane_line": runs(tool(tool_lines(dividers(layers), pose))),
                    "crosswalk": runs(tool(tool_lines(long_sides(layers), pose))),
                }
        out.append(poses)
    with open(sys.argv[2], "w") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes nuscenes_golden.json: the figures of nuScenes' own devkit on random boxes.

    python3 -m venv venv
    venv/bin/pip install nuscenes-devkit==1.2.0 numpy==1.26.4 pyquaternion==0.9.9
    venv/bin/python nuscenes_golden.py nuscenes_golden.json

(Python 3.11.) The same versions give the same bytes. Nothing of the nuScenes data is used: every box is drawn from a random
generator with the seed below, written as the tables of a data set with no sensor data, and evaluated through the devkit's front
door (NuScenes, DetectionEval with the configuration detection_cvpr_2019).

Layout: a list of sets; each has its samples (token, ego x and y, bicycle racks, annotated boxes), the predictions by sample in
the order of the submission, and what the devkit says (some curves too, and the tables of one set). A box is
[translation, size, rotation, velocity, class, attribute, score, points]; null stands for NaN.
"""
import contextlib
import io
import json
import math
import os
import sys
import tempfile

import numpy as np
from nuscenes import NuScenes
from nuscenes.eval.common.config import config_factory
from nuscenes.eval.common.loaders import load_gt
from nuscenes.eval.detection.constants import ATTRIBUTE_NAMES, DETECTION_NAMES
from nuscenes.eval.detection.data_classes import DetectionBox
from nuscenes.eval.detection.evaluate import DetectionEval
from nuscenes.eval.detection.utils import detection_name_to_rel_attributes

SEED = 20230816
VERSION = "v1.0-mini"
SPLIT, SCENES = "mini_val", ["scene-0103", "scene-0916"]
RACK = "static_object.bicycle_rack"
CATEGORY = {"car": "vehicle.car", "truck": "vehicle.truck", "bus": "vehicle.bus.bendy", "trailer": "vehicle.trailer",
            "construction_vehicle": "vehicle.construction", "pedestrian": "human.pedestrian.adult",
            "motorcycle": "vehicle.motorcycle", "bicycle": "vehicle.bicycle", "traffic_cone": "movable_object.trafficcone",
            "barrier": "movable_object.barrier", RACK: RACK, "animal": "animal"}
SIZE = {"car": (1.9, 4.6, 1.7), "truck": (2.5, 6.9, 2.8), "bus": (2.9, 10.5, 3.5), "trailer": (2.9, 12.3, 3.9),
        "construction_vehicle": (2.9, 6.4, 3.2), "pedestrian": (0.7, 0.7, 1.8), "motorcycle": (0.8, 2.1, 1.5),
        "bicycle": (0.6, 1.7, 1.3), "traffic_cone": (0.4, 0.4, 1.1), "barrier": (2.5, 0.5, 1.0), RACK: (3.0, 9.0, 4.0),
        "animal": (0.3, 0.7, 0.5)}


class Tables:
    """The 13 tables of a data set, as lists of rows with tokens that count up."""

    def __init__(self):
        names = ["category", "attribute", "visibility", "instance", "sensor", "calibrated_sensor", "ego_pose", "log", "scene",
                 "sample", "sample_data", "sample_annotation", "map"]
        self.rows = {name: [] for name in names}

    def add(self, table, **fields):
        token = "%04x%028x" % (list(self.rows).index(table) + 1, len(self.rows[table]) + 1)
        self.rows[table].append({"token": token, **fields})
        return token

    def write(self, root):
        os.makedirs(os.path.join(root, VERSION))
        open(os.path.join(root, "map.png"), "w").close()
        for name, rows in self.rows.items():
            with open(os.path.join(root, VERSION, name + ".json"), "w") as file:
                json.dump(rows, file)


def rounded(values, digits=3):
    return [round(float(value), digits) for value in values]


def quaternion(rng, yaw, tilt, length=1):
    """With a tilt it is no pure turn about z."""
    q = np.array([math.cos(yaw / 2), tilt * rng.normal(), tilt * rng.normal(), math.sin(yaw / 2)])
    return rounded(q / np.linalg.norm(q) * length * rng.choice([-1, 1]), 4)


def make_set(rng, objects, samples, spread, classes, noise, false_share, miss_share, score_digits, rack_share):
    """Tables and predictions. Objects move through the samples; each is seen in some of them."""
    tables = Tables()
    categories = {name: tables.add("category", name=CATEGORY[name], description="") for name in CATEGORY}
    attributes = {name: tables.add("attribute", name=name, description="") for name in ATTRIBUTE_NAMES}
    lidar = tables.add("sensor", channel="LIDAR_TOP", modality="lidar")
    mount = tables.add("calibrated_sensor", sensor_token=lidar, translation=[0, 0, 0], rotation=[1, 0, 0, 0],
                       camera_intrinsic=[])
    log = tables.add("log", logfile="", vehicle="", date_captured="", location="nowhere")
    tables.add("map", category="semantic_prior", filename="map.png", log_tokens=[log])
    scene = tables.add("scene", name=SCENES[0], description="", log_token=log, nbr_samples=samples, first_sample_token="",
                       last_sample_token="")
    times, egos, sample_tokens = [], [], []
    for k in range(samples):
        # The last gap is longer than the 1.5 s over which the devkit estimates velocities.
        times.append(500000 * k + (2100000 if k == samples - 1 else 0))
        egos.append(rounded([600 + 4 * k, 1200 - 2 * k]))
        sample_tokens.append(tables.add("sample", scene_token=scene, timestamp=times[-1], prev="", next=""))
        pose = tables.add("ego_pose", translation=egos[-1] + [0], rotation=[1, 0, 0, 0], timestamp=times[-1])
        tables.add("sample_data", sample_token=sample_tokens[-1], ego_pose_token=pose, calibrated_sensor_token=mount,
                   filename="samples/LIDAR_TOP/%d.pcd.bin" % k, fileformat="pcd", width=0, height=0,
                   timestamp=times[-1], is_key_frame=True, prev="", next="")

    for row, before, after in zip(tables.rows["sample"], [""] + sample_tokens[:-1], sample_tokens[1:] + [""]):
        row["prev"], row["next"] = before, after
    tables.rows["scene"][0].update(first_sample_token=sample_tokens[0], last_sample_token=sample_tokens[-1])

    predictions = {token: [] for token in rng.permutation(sample_tokens).tolist()}
    racks = []

    def predict(k, name, translation, size, yaw, velocity):
        if name == "animal" or name == RACK:
            return
        relevant = detection_name_to_rel_attributes(name)
        box = {"sample_token": sample_tokens[k],
               "translation": rounded(np.array(translation) + noise * rng.normal(size=3) * rng.choice([0.3, 1, 3])),
               "size": rounded(np.maximum(0.05, np.array(size) * np.exp(0.2 * rng.normal(size=3)))),
               "rotation": quaternion(rng, yaw + rng.choice([0.1, 0.5, math.pi]) * rng.normal(), 0.02, rng.uniform(0.5, 2)),
               "velocity": rounded(np.array(velocity) + rng.normal(size=2)) if rng.random() > 0.08 else [math.nan, math.nan],
               "detection_name": name if rng.random() > 0.1 else str(rng.choice(classes)),
               "detection_score": round(float(rng.random()), score_digits),
               "attribute_name": str(rng.choice(relevant)) if relevant and rng.random() > 0.1 else ""}
        predictions[sample_tokens[k]].append(box)

    for number in range(objects):
        name = str(rng.choice(classes))
        if rng.random() < rack_share:
            name = RACK
        elif rng.random() < 0.03:
            name = "animal"
        size = rounded(np.array(SIZE[name]) * np.exp(0.1 * rng.normal(size=3)))
        start = np.array([600.0, 1200.0]) + spread * rng.uniform(-1, 1, size=2)
        if racks and name in ("bicycle", "motorcycle") and rng.random() < 0.7:
            start = np.array(racks[int(rng.integers(len(racks)))]) + rng.normal(size=2)
        if name == RACK:
            racks.append(start)
        speed = 0 if name in (RACK, "traffic_cone", "barrier") else 2 * rng.normal(size=2)
        yaw = rng.uniform(-math.pi, math.pi)
        first = int(rng.integers(samples))
        last = int(rng.integers(first, samples))
        if name == RACK:
            first, last = 0, samples - 1
        instance = tables.add("instance", category_token=categories[name], nbr_annotations=last - first + 1,
                              first_annotation_token="", last_annotation_token="")
        previous = None
        relevant = detection_name_to_rel_attributes(name) if name in DETECTION_NAMES else []
        for k in range(first, last + 1):
            translation = rounded(list(start + speed * times[k] * 1e-6 + 0.05 * rng.normal(size=2)) + [rng.normal()])
            annotation = tables.add(
                "sample_annotation", sample_token=sample_tokens[k], instance_token=instance,
                attribute_tokens=[attributes[str(rng.choice(relevant))]] if relevant and rng.random() > 0.15 else [],
                visibility_token="", translation=translation, size=size, rotation=quaternion(rng, yaw, 0.02),
                num_lidar_pts=int(rng.choice([0, 3, 20])), num_radar_pts=int(rng.choice([0, 0, 1])),
                prev=previous or "", next="")
            if previous:
                tables.rows["sample_annotation"][-2]["next"] = annotation
            previous = annotation
            tables.rows["instance"][-1]["last_annotation_token"] = annotation
            tables.rows["instance"][-1]["first_annotation_token"] = (
                tables.rows["instance"][-1]["first_annotation_token"] or annotation)
            if rng.random() > miss_share:
                predict(k, name, translation, size, yaw, speed * np.ones(2))
            if rng.random() < false_share:
                predict(k, name, np.array(translation) + [20 * rng.normal(), 20 * rng.normal(), 0], size, yaw, speed * np.ones(2))
    return tables, predictions, egos


def compact(box):
    clean = lambda values: [None if math.isnan(value) else float(value) for value in values]
    return [clean(box.translation), clean(box.size), clean(box.rotation), clean(box.velocity), box.detection_name,
            box.attribute_name, box.detection_score, box.num_pts]


def golden(title, curves_of=(), with_tables=False, **options):
    rng = np.random.default_rng([SEED, len(title)])
    tables, predictions, egos = make_set(rng, **options)
    with tempfile.TemporaryDirectory() as root, contextlib.redirect_stdout(io.StringIO()):
        tables.write(root)
        submission = os.path.join(root, "submission.json")
        with open(submission, "w") as file:
            flags = ["use_camera", "use_lidar", "use_radar", "use_map", "use_external"]
            json.dump({"meta": {flag: flag == "use_lidar" for flag in flags}, "results": predictions}, file)
        data = NuScenes(version=VERSION, dataroot=root, verbose=False)
        truth = load_gt(data, SPLIT, DetectionBox)
        evaluation = DetectionEval(data, config_factory("detection_cvpr_2019"), submission, SPLIT, os.path.join(root, "out"),
                                   verbose=False)
        kept = {"truth": len(evaluation.gt_boxes.all), "predictions": len(evaluation.pred_boxes.all)}
        metrics, curves = evaluation.evaluate()
    summary = metrics.serialize()
    for key in ("eval_time", "cfg"):
        del summary[key]
    samples = []
    for k, row in enumerate(tables.rows["sample"]):
        annotations = [a for a in tables.rows["sample_annotation"] if a["sample_token"] == row["token"]]
        instance = {i["token"]: i["category_token"] for i in tables.rows["instance"]}
        category = {c["token"]: c["name"] for c in tables.rows["category"]}
        racks = [[a["translation"], a["size"], a["rotation"]] for a in annotations
                 if category[instance[a["instance_token"]]] == RACK]
        samples.append({"token": row["token"], "ego": egos[k], "racks": racks,
                        "truth": [compact(box) for box in truth[row["token"]]]})
    boxes = {token: [compact(DetectionBox.deserialize(box)) for box in of_sample] for token, of_sample in predictions.items()}
    details = {key: value for key, value in curves.serialize().items() if key in curves_of}
    for curve in details.values():
        del curve["recall"]
        for values in curve.values():
            values[:] = [float("%.12g" % value) for value in values]
    return {"title": title, "tables": tables.rows if with_tables else {}, "samples": samples, "predictions": boxes, "kept": kept,
            "summary": summary, "curves": details}


def without_nan(value):
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def main():
    sets = [
        golden("all classes", curves_of=("car:2.0", "bicycle:0.5"), objects=120, samples=5, spread=36,
               classes=DETECTION_NAMES, noise=0.35, false_share=0.2,
               miss_share=0.25, score_digits=3, rack_share=0.04),
        golden("few classes, coarse scores that tie", curves_of=("barrier:2.0",), objects=40, samples=3, spread=30,
               classes=["car", "barrier", "bicycle", "traffic_cone"], noise=0.8, false_share=0.7, miss_share=0.3,
               score_digits=1, rack_share=0.1),
        golden("hardly anything found", objects=40, samples=3, spread=45, classes=["car", "pedestrian", "bus"], noise=2.5,
               false_share=0.6, miss_share=0.7, score_digits=2, rack_share=0),
        golden("read from tables", with_tables=True, objects=16, samples=3, spread=12, classes=["car", "bicycle", "barrier"],
               noise=0.3, false_share=0.2, miss_share=0.1, score_digits=2, rack_share=0.15),
        golden("a single sample, crowded", objects=60, samples=1, spread=6,
               classes=["car", "pedestrian", "motorcycle", "barrier"], noise=0.6, false_share=0.3,
               miss_share=0.2, score_digits=1, rack_share=0.05),
    ]
    with open(sys.argv[1], "w") as file:
        lines = [json.dumps(of_set, separators=(",", ":"), allow_nan=False) for of_set in without_nan(sets)]
        file.write("[" + ",\n".join(lines) + "]\n")


if __name__ == "__main__":
    main()

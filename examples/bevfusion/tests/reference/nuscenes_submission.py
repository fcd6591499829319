#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes nuscenes_submission.json: what nuScenes' own devkit makes of submissions with NaN, null, infinite numbers and so on.

    python3 -m venv venv
    venv/bin/pip install nuscenes-devkit==1.2.0 numpy==1.26.4
    venv/bin/python nuscenes_submission.py nuscenes_submission.json

Each entry has the file's text, whether the devkit evaluates it (load_prediction, then the velocity error of the box against a true
box at rest), the exception's name where it does not, and the velocity error where it does (null stands for NaN).
"""
import json
import math
import sys
import tempfile

from nuscenes.eval.common.loaders import load_prediction
from nuscenes.eval.common.utils import velocity_l2
from nuscenes.eval.detection.data_classes import DetectionBox

META = '{"use_camera":false,"use_lidar":true,"use_radar":false,"use_map":false,"use_external":false}'
# As write_submission() writes it: a known and an unknown velocity.
WRITTEN = ('{"meta": %s,\n"results": {\n"s1": ['
           '{"sample_token":"s1","translation":[1.5,2.0,-3.0],"size":[1.0,2.0,3.0],"rotation":[1.0,0.0,0.0,0.0],'
           '"velocity":[0.5,-1.0],"detection_name":"bus","detection_score":1.0,"attribute_name":"vehicle.parked"},'
           '{"sample_token":"s1","translation":[1.5,2.0,-3.0],"size":[1.0,2.0,3.0],"rotation":[1.0,0.0,0.0,0.0],'
           '"velocity":[NaN,NaN],"detection_name":"bus","detection_score":0.25,"attribute_name":""}],\n"s0": []\n}}\n') % META


def with_field(field, value):
    box = {"sample_token": '"s1"', "translation": "[1.5, 2.0, -3.0]", "size": "[1.0, 2.0, 3.0]",
           "rotation": "[1.0, 0.0, 0.0, 0.0]", "velocity": "[0.5, -1.0]", "detection_name": '"bus"',
           "detection_score": "0.25", "attribute_name": '"vehicle.parked"'}
    box[field] = value
    return '{"meta": %s, "results": {"s1": [{%s}]}}' % (META, ", ".join('"%s": %s' % item for item in box.items()))


CASES = [("as it is written", WRITTEN)]
for field, values in {
        "velocity": ["[NaN, NaN]", "[NaN, 0.5]", "[null, null]", "[1, 2]", "[1.0]"],
        "translation": ["[NaN, 2.0, -3.0]", "[1, 2, 3]", "[null, 2.0, -3.0]"],
        "size": ["[1.0, NaN, 3.0]"],
        "rotation": ["[1.0, 0.0, 0.0, NaN]"],
        "detection_score": ["NaN", "1", "1.0", "null", "1e-3"],
        "detection_name": ['"NaN"', '"Infinity"', '"buses"'],
        "attribute_name": ['""', '"NaN"', '"vehicle.parking"']}.items():
    CASES += [("%s %s" % (field, value), with_field(field, value)) for value in values]


def verdict(text):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        try:
            boxes, _ = load_prediction(file.name, 500, DetectionBox)
            at_rest = DetectionBox(velocity=(0.0, 0.0))
            errors = [float(velocity_l2(at_rest, box)) for box in boxes["s1"]]
            return {"accepted": True, "velocity_errors": [None if math.isnan(e) else e for e in errors]}
        except Exception as error:  # pylint: disable=broad-except
            return {"accepted": False, "error": type(error).__name__}


with open(sys.argv[1], "w") as out:
    json.dump([{"name": name, "text": text, **verdict(text)} for name, text in CASES], out, indent=1)
    out.write("\n")

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What calibration does to the tiny network, held to bars: FULLER's Table 1 at 1 : 1, one seed, trained, evaluated and reported
by the program itself. Half an hour of one core.

    bars_test.py PROGRAM CONFIGS [FOLDER]

FOLDER keeps data, runs and page, and what is there already is not done again; a temporary one unless given.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

ROWS = ["baseline_1", "inter_1", "both_1"]
SECTIONS = ["table", "effects", "findings", "scenes", "convergence", "sensors", "gradients", "cost", "origin"]
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

faults = []


def hold(condition, text):
    print(("met    " if condition else "SHORT  ") + text, flush=True)
    if not condition:
        faults.append(text)


class Page(HTMLParser):
    """Tags that do not close, links into the page that lead nowhere, pictures without words."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.faults, self.pictures = [], [], [], [], 0
        self.wants_title = None  # the line of a drawing, whose title has to come next

    def handle_starttag(self, tag, attrs):
        self.seen(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen(tag, dict(attrs))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"line {self.getpos()[0]}: </{tag}> closes nothing")

    def seen(self, tag, attrs):
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"][1:]] if attrs.get("href", "").startswith("#") else []
        if self.wants_title and tag != "title":
            self.faults.append(f"line {self.wants_title}: a drawing without a title")
        self.wants_title = self.getpos()[0] if tag == "svg" and attrs.get("aria-hidden") != "true" else None
        if tag == "img" and not attrs.get("alt"):
            self.faults.append(f"line {self.getpos()[0]}: a picture without words")
        self.pictures += tag == "img" or self.wants_title is not None


def check_page(text):
    page = Page()
    page.feed(text)
    page.close()
    page.faults += [f"<{tag}> is not closed" for tag in page.open]
    page.faults += [f"two parts are called {one}" for one in sorted({i for i in page.ids if page.ids.count(i) > 1})]
    page.faults += [f"#{link} is not there" for link in page.links if link not in page.ids]
    page.faults += [f"there is no part {one}" for one in SECTIONS if one not in page.ids]
    if not text.startswith("<!DOCTYPE html>"):
        page.faults.append("it does not begin as HTML")
    hold(not page.faults and page.pictures > 20,
         f"the page of {len(ROWS)} runs is whole and valid: {page.pictures} pictures" + "".join("\n       " + f for f in page.faults[:10]))


def main():
    program, configs = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    kept = len(sys.argv) > 3
    folder = Path(sys.argv[3] if kept else tempfile.mkdtemp(prefix="bevfusion_bars"))
    try:
        words = [program, "experiment", "fuller_table_1", "--rows", *ROWS, "--seeds", "1", "--configs", configs, "--out", folder]
        ended = subprocess.run(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if ended.returncode != 0:
            sys.exit(ended.stdout.decode(errors="replace")[-4000:])
        experiment = folder / "fuller_table_1"
        runs = {}
        for run in json.loads((experiment / "experiment.json").read_text())["runs"]:
            at = experiment / run["folder"]
            lines = [json.loads(line) for line in (at / "log.jsonl").read_text().splitlines()]
            runs[run["row"]] = {"steps": [line for line in lines if line["kind"] == "step"],
                                "figures": json.loads((at / "evaluation.json").read_text())}
        baseline = runs["baseline_1"]
        raw = statistics.median(step["gamma_task"] for step in baseline["steps"] if step.get("gamma_task") is not None)
        hold(raw >= 10, f"losses summed: the median of gamma_task over the steps is {raw:.1f}, 10 at least")
        for row in ROWS[1:]:
            gained, lost = (runs[row]["figures"][name] - baseline["figures"][name] for name in ("mIoU", "mAP"))
            hold(gained >= 0.12, f"{row}: mIoU is {gained:+.3f} from the baseline's, +0.12 at least")
            hold(lost >= -0.03, f"{row}: mAP is {lost:+.3f} from the baseline's, -0.03 at least")
            weighted = [step.get("gamma_task_weighted") for step in runs[row]["steps"]]
            off = max((abs(one - 1) for one in weighted if one is not None), default=float("inf"))
            hold(None not in weighted and off <= 1e-4,
                 f"{row}: weighted gamma_task is 1 in each of {len(weighted)} steps, to {off:.1e}, 1e-4 at most")
        for row in ROWS:
            without = [one["mAP"] for one in runs[row]["figures"]["missing"] if one["without"] == ["lidar"]]
            hold(len(without) == 1 and without[0] < 0.05, f"{row}: mAP without LiDAR is {without[0]:.4f}, below 0.05")
        check_page((experiment / "index.html").read_text(encoding="utf-8"))
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
    if faults:
        sys.exit(f"{len(faults)} bars are not met")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of messages: every error that the headers can throw, as it reads, under the document that explains what it is about. What a message puts in is shown as …

    messages.py CHECKOUT     prints the page; fails where a header's messages have no document, or a document no such heading
"""
import re
import sys
from pathlib import Path

# Header, or folder, and the document for its messages; the longest that fits is taken. A header with messages that none fits is refused.
PAGES = {
    "amp/": "docs/how_to.md#mixed-precision",
    "backward/": "docs/limits.md#refused-in-words",
    "backward/agreement.hpp": "docs/distributed.md#when-it-does-not-work-out",
    "backward/branch_scores.hpp": "docs/calibrators.md#gate-laws",
    "backward/branch_updates.hpp": "docs/calibrators.md#gates-and-adaptive-optimisers",
    "backward/gathered_step.hpp": "docs/how_to.md#calibrated-once",
    "backward/gathered_sum.hpp": "docs/how_to.md#calibrated-once",
    "backward/gathering.hpp": "docs/how_to.md#calibrated-once",
    "backward/idle_step.hpp": "docs/distributed.md#what-each-rank-may-have",
    "backward/layer_by_layer.hpp": "docs/calibrators.md#memory-of-all-that-is-shared",
    "backward/losses_after.hpp": "docs/calibrators.md",
    "backward/names.hpp": "docs/diagnostics.md#options",
    "backward/pending_updates.hpp": "docs/calibrators.md#gates-and-adaptive-optimisers",
    "backward/saved_state.hpp": "docs/how_to.md#save-and-resume",
    "backward/unimodal_assist": "docs/calibrators.md#losses-of-the-branches-own",
    "calibration": "docs/limits.md#refused-in-words",
    "calibrators/": "docs/diagnostics.md#options",
    "core/": "docs/diagnostics.md#options",
    "distributed/": "docs/distributed.md",
    "engine/": "docs/cuda.md",
    "engine/failures.hpp": "docs/calibrators.md#tasks-that-are-absent-gradients-that-are-zero-or-not-finite",
    "engine/host_tasks.hpp": "docs/calibrators.md#a-custom-rule",
    "gates/": "docs/calibrators.md#gate-laws",
    "graph/": "docs/limits.md#refused-in-words",
    "measure/": "docs/benchmarks.md#your-own-step",
    "options.hpp": "docs/diagnostics.md#options",
    "tensor/": "docs/cuda.md#the-kernels-for-a-custom-step",
    "tensor/fusion_weight.hpp": "docs/calibrators.md#gates",
    "tensor/parameter_names.hpp": "docs/diagnostics.md#reading-a-step",
    "tensor/ranks.hpp": "docs/distributed.md",
}
CALL = re.compile(r"\b(?:fail|fail_on_device|message)\(")
STREAMED = ("backward/route.hpp", "graph/last_layer.hpp")  # write theirs piece by piece
STREAM = re.compile(r"\b(?:problem|text) << (?=[^;]*\"[^\"]*\w \w)")
LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')


def pieces(text, start, separator, end):
    """What stands between `separator`s from `start` on, up to a character of `end` outside of brackets and literals."""
    depth, parts, part, k = 0, [], "", start
    while k < len(text):
        literal = LITERAL.match(text, k)
        if literal:
            part += literal.group()
            k = literal.end()
            continue
        if depth == 0 and text[k] in end:
            break
        if depth == 0 and text.startswith(separator, k):
            parts.append(part)
            part, k = "", k + len(separator)
            continue
        depth += (text[k] in "([{") - (text[k] in ")]}")
        part += text[k]
        k += 1
    return parts + [part]


def words_of(parts):
    words = ""
    for part in parts:
        whole = re.fullmatch(r'\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', part)
        words += "".join(literal[1:-1] for literal in LITERAL.findall(part)) if whole else "…"
    return re.sub(r"…+", "…", " ".join(words.replace('\\"', '"').split()))


def messages(text, streamed):
    text = re.sub(r"^\s*//.*$", "", text, flags=re.M)
    found = [words_of(pieces(text, call.end(), ",", ")")) for call in CALL.finditer(text)]
    if streamed:
        found += [words_of(pieces(text, stream.end(), "<<", ";")) for stream in STREAM.finditer(text)]
    # What begins with a mark is the end of another.
    return [words for words in found if len(re.findall(r"\w+", words)) > 3 and words[0] not in "(:;"]


def page_of(header):
    fits = [name for name in PAGES if header.startswith(name)]
    if not fits:
        raise SystemExit(f"messages.py: which document explains the messages of {header}? Say so in PAGES")
    return PAGES[max(fits, key=len)]


def page(root):
    of_page = {}
    for path in sorted((root / "include/fuller").rglob("*.hpp")):
        header = str(path.relative_to(root / "include/fuller"))
        for words in messages(path.read_text(encoding="utf-8"), header in STREAMED):
            of_page.setdefault(page_of(header), []).append(words)
    count = sum(map(len, of_page.values()))
    if count < 150:
        raise SystemExit(f"messages.py: {count} messages could be read in the headers")
    text = "# Messages\n\nEvery error of fuller's, as it reads (`…` is what the message puts in), under the document that explains it. Search this page for some words of yours. All begin with `fuller:`; in Python those that are\n"
    text += "thrown inside `backward()` are a `RuntimeError`, all others a `ValueError`.\n"
    for document in sorted(of_page):
        name, _, heading = document.partition("#")
        headings = {anchor(line): line.lstrip("# ") for line in (root / name).read_text(encoding="utf-8").split("\n") if line.startswith("#")}
        if heading and heading not in headings:
            raise SystemExit(f"messages.py: {name} has no heading '{heading}'")
        title = next(iter(headings.values()))
        text += f"\n## {title}{': ' + headings[heading] if heading else ''}\n\nExplained in [{name}]({document}).\n\n"
        text += "".join(f"- {escaped(words)}\n" for words in sorted(set(of_page[document]), key=lambda words: words.lstrip("…' ").lower()))
    return text


def anchor(heading):
    """What a link to a heading says, as GitHub and the site have it."""
    return re.sub(r"[^\w -]", "", heading.lstrip("# ").lower()).replace(" ", "-")


def escaped(words):
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", words)


if __name__ == "__main__":
    print(page(Path(sys.argv[1])))

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds every block of Python that a document shows against the programs and tests of examples/python, which are run: it is a run of their lines.

    python_blocks_test.py SOURCE_FOLDER
"""
import re
import sys
import textwrap
from pathlib import Path


def main():
    root = Path(sys.argv[1])
    programs = {path.name: path.read_text(encoding="utf-8") for path in sorted((root / "examples/python").glob("*.py"))}
    run = (root / "examples/python/build_and_test").read_text(encoding="utf-8")
    shown = ["\n" + text + "\n" for name, text in programs.items() if name in run]
    faults, count = [], 0
    for path in sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")]):
        text = path.read_text(encoding="utf-8")
        for found in re.finditer(r"^```python\n(.*?)^```$", text, re.M | re.S):
            count += 1
            block = found.group(1).rstrip("\n")
            if not any("\n" + textwrap.indent(block, " " * indent) + "\n" in program for program in shown for indent in (0, 4, 8, 12, 16)):
                faults.append(f"{path.relative_to(root)}:{text.count(chr(10), 0, found.start(1)) + 1}: no program that examples/python/build_and_test runs has these lines:\n{block}")
    if faults or count == 0:
        sys.exit("\n".join(faults) or "no block of Python was found")
    print(f"{count} blocks of Python are lines of programs that are run.")


if __name__ == "__main__":
    main()

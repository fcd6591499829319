#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes one file of C++ with every block of C++ that the documents show, each as a function of its own, to be compiled.

    snippets.py SOURCE_FOLDER OUT.cpp

Left out are the documents of SHOWN, whose blocks another test finds in a program that is run. Names that a block uses and does not make are those of tests/docs/snippets.hpp;
a line of three dots stands for what a reader has there. What a block includes is included, in that order, at the top.
"""
import re
import sys
from pathlib import Path

SHOWN = {"docs/tutorial.md", "docs/how_to.md"}


def blocks(text):
    """(line, lines) of each block of C++; one that is set in is moved out."""
    for found in re.finditer(r"^( *)```cpp\n(.*?)^\1```$", text, re.M | re.S):
        indent = len(found.group(1))
        yield text.count("\n", 0, found.start(2)) + 1, [line[indent:] for line in found.group(2).split("\n")[:-1]]


def parted(lines):
    """What stands outside of a function (structs, which may have templates as members), and the statements; both of all lines, with empty ones for the other's."""
    outside, statements, inside = [], [], False
    for line in lines:
        inside = inside or re.match(r"(template <.*> )?(struct|class) ", line) is not None
        keep = "" if line.strip() == "..." or line.startswith("#include") else line
        outside.append(keep if inside else "")
        statements.append("" if inside else keep)
        inside = inside and line != "};"
    return outside, statements


def main():
    root, out = Path(sys.argv[1]), Path(sys.argv[2])
    includes, parts = [], []
    for path in sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md"), *(root / "examples").rglob("*.md")]):
        name = str(path.relative_to(root))
        if name in SHOWN:
            continue
        for line, lines in blocks(path.read_text(encoding="utf-8")):
            includes += [text for text in lines if text.startswith("#include") and text not in includes]
            outside, statements = parted(lines)
            part = f"namespace block_{len(parts)} {{\nusing namespace context;\n"
            if any(outside):
                part += f'#line {line} "{name}"\n' + "\n".join(outside) + "\n"
            part += f'[[maybe_unused]] void shown() {{\n#line {line} "{name}"\n' + "\n".join(statements) + "\n}\n}\n"
            parts.append(part)
    if len(parts) < 10:
        sys.exit(f"snippets.py: the documents show {len(parts)} blocks of C++ that could be read")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(includes) + '\n#include "docs/snippets.hpp"\n\n' + "\n".join(parts), encoding="utf-8")
    print(f"{len(parts)} blocks of C++ to compile.")


if __name__ == "__main__":
    main()

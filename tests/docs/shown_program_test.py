#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what a document shows of a program against the program: every block of C++ is a run of its lines, and every block without a language a run of its output.

    shown_program_test.py DOCUMENT SOURCE PROGRAM [--write]

Figures may differ by two units of their last digit that is shown, or by a hundredth of themselves: another LibTorch or processor adds up in another order. Words may
not. With --write the document gets the program's own figures, after which it must be read again: what it says about them may no longer be true.
"""
import re
import subprocess
import sys
import textwrap
from pathlib import Path

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def blocks(text):
    """(language, first character, last character, lines) of each fenced block."""
    for found in re.finditer(r"^```([a-z]*)\n(.*?)^```$", text, re.M | re.S):
        yield found.group(1), found.start(2), found.end(2), found.group(2).split("\n")[:-1]


def close(shown, printed):
    digits = len(shown.split(".")[1]) if "." in shown and "e" not in shown else 0
    unit = 10.0 ** -digits if "." in shown or "e" in shown else 0
    return abs(float(shown) - float(printed)) <= max(2 * unit, 0.01 * abs(float(printed)) if unit else 0) * (1 + 1e-9)


def alike(shown, printed):
    """Whether two lines are the same but for figures that are close."""
    words = lambda line: " ".join(NUMBER.sub("#", line).split())
    if words(shown) != words(printed):
        return False
    return all(close(a, b) for a, b in zip(NUMBER.findall(shown), NUMBER.findall(printed)))


def find(lines, among, same):
    return next((k for k in range(len(among) - len(lines) + 1) if all(same(a, b) for a, b in zip(lines, among[k:]))), None)


def main():
    document, source, program = sys.argv[1:4]
    text = Path(document).read_text(encoding="utf-8")
    code = Path(source).read_text(encoding="utf-8").split("\n")
    printed = subprocess.run([program], check=True, capture_output=True, text=True, timeout=240).stdout.split("\n")
    counts = {"cpp": 0, "": 0}
    faults = []
    for language, start, end, lines in reversed(list(blocks(text))):
        if language not in counts:
            continue
        counts[language] += 1
        line = text.count("\n", 0, start) + 1
        if language == "cpp":
            indents = {len(part) - len(part.lstrip()) for part in code}
            if not any(find(textwrap.indent("\n".join(lines), " " * n, lambda part: part.strip()).split("\n"), code, str.__eq__) is not None for n in sorted(indents)):
                faults.append(f"{document}:{line}: not as in {source}:\n" + "\n".join(lines))
        elif find(lines, printed, alike) is None:
            words_only = find(lines, printed, lambda a, b: " ".join(NUMBER.sub("#", a).split()) == " ".join(NUMBER.sub("#", b).split()))
            if "--write" in sys.argv and words_only is not None:
                text = text[:start] + "\n".join(printed[words_only:words_only + len(lines)]) + "\n" + text[end:]
            else:
                faults.append(f"{document}:{line}: the program does not print\n" + "\n".join(lines))
    if "--write" in sys.argv:
        Path(document).write_text(text, encoding="utf-8")
    if faults:
        sys.exit("\n\n".join(faults) + "\n\nThe program prints\n" + "\n".join(printed))
    if 0 in counts.values():
        sys.exit(f"{document} shows {counts['cpp']} blocks of C++ and {counts['']} of output")
    print(f"{counts['cpp']} blocks are those of {Path(source).parent.name}, {counts['']} are what it prints.")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What Doxygen is given in place of a header: its comments are plain text for people who read the header, and this says so to Doxygen.

    doxygen_filter.py HEADER

Angle brackets outside of code are no HTML (<g_i, g_j>), lines of formulas that stand further in than their paragraph keep their line breaks, and the inline
namespace of the version is left out of names, as a user leaves it out.
"""
import re
import sys

DOC = re.compile(r"^(\s*)///(?!/)(<?)( ?)(.*)$")


def escaped(text):
    """The text with what Doxygen would take for commands or tags outside of `code` made literal."""
    parts = text.split("`")
    for k in range(0, len(parts), 2):
        parts[k] = re.sub(r"([<>])", r"\\\1", parts[k])
        parts[k] = re.sub(r"(?<![\w\\])#", r"\\#", parts[k])
    return "`".join(parts)


def filtered(lines):
    inside_block = False
    was_formula = False
    in_list = False
    for line in lines:
        found = DOC.match(line)
        if not found:
            if was_formula:
                was_formula = False
            in_list = False
            if re.match(r"^inline namespace v\d", line) or re.match(r"^}\s*// namespace v\d", line):
                line = ""
            # Between the lines of a comment, and of no use to a reader.
            if re.match(r"^// clang-format (on|off)", line):
                line = "///"
            yield line
            continue
        indent, after, space, text = found.groups()
        if after:
            yield f"{indent}///<{space}{escaped(text)}"
            continue
        depth = len(text) - len(text.lstrip(" "))
        if not text.strip():
            in_list = False
        if re.match(r"^(@param|- |\d+\. )", text.lstrip(" ")):
            in_list = True
        if depth >= 4 and not in_list and text.strip():  # code, as Markdown has it
            yield f"{indent}/// {text}"
            inside_block = True
            continue
        if depth >= 2 and not in_list and text.strip():
            if not was_formula:
                yield f"{indent}///"
            was_formula = True
            yield f"{indent}///     {text.strip()}"
            continue
        if was_formula:
            yield f"{indent}///"
            was_formula = False
        yield f"{indent}///{space}{escaped(text)}"


def main():
    with open(sys.argv[1], encoding="utf-8") as header:
        print("\n".join(filtered(header.read().split("\n"))), end="")


if __name__ == "__main__":
    main()

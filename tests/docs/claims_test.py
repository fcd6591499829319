#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds docs/claims.md against the README, whose words it quotes, and against the tests that it names.

    claims_test.py SOURCE_FOLDER
"""
import re
import sys
from pathlib import Path


def known_tests(root):
    """Names of Catch2's cases, of CTest's tests, and of the Python module's."""
    names = set()
    for path in list((root / "tests").rglob("*.cpp")) + list((root / "examples").rglob("*.cpp")):
        text = path.read_text(encoding="utf-8", errors="replace")
        for pieces in re.findall(r'\b(?:TEST_CASE|TEMPLATE_TEST_CASE)\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+)', text):
            names.add("".join(re.findall(r'"((?:[^"\\]|\\.)*)"', pieces)).replace('\\"', '"'))
    for path in [*root.rglob("CMakeLists.txt"), *(root / "cmake").glob("*.cmake")]:
        if "build" in path.relative_to(root).parts[:1]:
            continue
        text = path.read_text(encoding="utf-8")
        names |= set(re.findall(r"\bfuller_add_test\((\w+)", text)) | set(re.findall(r"add_test\(NAME (\w+) ", text))
        names |= {"example_" + name for name in re.findall(r"fuller_add_example\((\w+)", text)}
        for loop, words in re.findall(r"foreach\((\w+) ([^)]*)\)", text):
            for name in re.findall(r"(?:add_test\(NAME |fuller_add_example\()(\w+)\$\{" + loop + r"\}", text):
                kind = "" if "add_test(NAME " + name in text else "example_"
                names |= {kind + name + word for word in words.split()}
    for path in (root / "examples/python").glob("test_*.py"):
        names |= set(re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8")))
    return names


def main():
    root = Path(sys.argv[1])
    plain = lambda text: " ".join(text.split())
    readme = (root / "README.md").read_text(encoding="utf-8")
    # A link counts as its words.
    said = plain(re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", readme).replace("**", ""))
    tests = known_tests(root)
    faults, claims, shown = [], [], 0
    for line in (root / "docs/claims.md").read_text(encoding="utf-8").split("\n"):
        row = re.match(r'^\| "(.*)" \| (.*) \|$', line)
        if not row:
            continue
        claims.append(row.group(1))
        if plain(row.group(1)) not in said:
            faults.append(f'the README does not say "{row.group(1)}"')
        named = re.findall(r"`([^`]+)`", row.group(2))
        if not named and not row.group(2).startswith("nothing can"):
            faults.append(f'no test shows "{row.group(1)}"')
        for name in named:
            shown += 1
            if name not in tests:
                faults.append(f"there is no test '{name}'")
    table = re.search(r"## What is in it\n\n\|[^\n]*\n\|[-|]*\n((?:\|[^\n]*\n)+)", readme).group(1)
    for row in re.findall(r"^\| ([^|]*) \|", table, re.M):
        if row not in claims:
            faults.append(f"the README's table has '{row}', of which docs/claims.md says nothing")
    if len(claims) < 20:
        faults.append(f"docs/claims.md has {len(claims)} claims that could be read")
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(claims)} claims, {shown} names of tests that are there.")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Takes barriers, fences and guards out of the kernels, one at a time, and sees whether the tests notice from PTX.

    mutants.py NVCC CHECKOUT WORK PROGRAM [PART_OF_A_FILE_NAME]

PROGRAM is cuda_emulation. A mutant that survives is a barrier that nothing needs, or a hole in the tests: either fails this one, unless
LAST or SPARE says why, and so does a mutation whose text is not in the headers any more. Some 10 s each.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

# Cases of PROGRAM that need kernels of few.cu alone, by folder.
CASES = {"calibrators": "[rules]", "gates": "[rules]", "core": "[rules]", "cuda": "*- float,[rules]"}
# A barrier at the end of a function is a promise to whoever calls it: these may have one of their own, and it then may go.
LAST = re.compile(r"\n\s*(return\b[^\n]*\n\s*)?\}\n(\n|\};)")
# file, the lines around another barrier: why it may go.
SPARE = {
    ("cuda/block.hpp", "block.sync();\n  if (block.thread() == 0) {\n    const bool last"):
        "callers of is_last_block() end with a barrier, which comes before the fence of the thread that takes the ticket",
    ("cuda/calls.hpp", "std::fabs(*call.loss_scale);\n  lanes.sync();"):
        "the bytes have a barrier of their own, and every weighting has one before the counters are written",
}
# file, text, what it becomes
FURTHER = [
    ("cuda/device.cuh", "__threadfence();", ";"),
    ("cuda/device.cuh", "__ldcg(x)", "*x"),
    ("cuda/block.hpp", "*ticket = 0;", ";"),
    ("cuda/block.hpp", "block.count() - 1;", "block.count() - 2;"),
    ("cuda/vector.hpp", "if (aligned && count >= width) {\n    return load", "if (aligned) {\n    return load"),
    ("cuda/vector.hpp", "if (aligned && count >= width) {\n    store", "if (aligned) {\n    store"),
    ("cuda/vector.hpp", "if (aligned && count >= width) {\n    return load", "if (count >= width) {\n    return load"),
    ("cuda/gram.hpp", "if (i <= j && j < T) {", "if (i <= j) {"),
    ("cuda/weighted_sum.hpp", "w[k] != 0 ? load_some", "x != nullptr ? load_some"),
    ("core/linear_algebra.hpp", "k >= 0 && lanes.index() == 0; --k", "k >= 0; --k"),
]


def mutants(headers):
    """(file, line, what is changed, the changed text, why it is spare or None)"""
    for path in sorted(headers.rglob("*.[hc]*")):
        name = str(path.relative_to(headers))
        if name.split("/")[0] not in CASES:
            continue
        text = path.read_text()
        for found in re.finditer(r"\b(lanes|block)\.(sync|publish)\(\);", text):
            why = "ends a function" if LAST.match(text[found.end() :]) else None
            why = why or next((why for (file, lines), why in SPARE.items()
                        if file == name and lines in text and text.find(lines) <= found.start() < text.find(lines) + len(lines)), None)
            yield name, text.count("\n", 0, found.start()) + 1, found.group(), text[: found.start()] + ";" + text[found.end() :], why
        for _, old, new in (mutation for mutation in FURTHER if mutation[0] == name):
            at = text.find(old)
            changed = None if at < 0 else text[:at] + new + text[at + len(old) :]
            yield name, text.count("\n", 0, max(at, 0)) + 1, f"{old!r} -> {new!r}", changed, None


def main():
    nvcc, checkout, work, program = sys.argv[1], *(pathlib.Path(path).resolve() for path in sys.argv[2:5])
    only = sys.argv[5] if len(sys.argv) > 5 else ""
    here = pathlib.Path(__file__).resolve().parent
    work.mkdir(parents=True, exist_ok=True)
    include, ptx = work / "include", work / "few.ptx"

    def outcome(cases):
        """What the tests say of the kernels in `include`: None where they pass."""
        subprocess.run([nvcc, "-std=c++17", "-ptx", "-lineinfo", "-arch=sm_75", f"-I{include}", str(here / "few.cu"), "-o", str(ptx)],
                       check=True, capture_output=True, text=True)
        ran = subprocess.run([str(program), cases, "--abort"], capture_output=True, text=True, env={**os.environ, "FULLER_PTX": str(ptx)})
        if ran.returncode == 0:
            return None
        kinds = sorted(set(re.findall(r"\b(memcheck|initcheck|racecheck|blockrace|synccheck|stale)\b", ran.stdout)))
        return ", ".join(kinds) if kinds else "wrong numbers"

    shutil.rmtree(include, ignore_errors=True)
    shutil.copytree(checkout / "include", include)
    for cases in set(CASES.values()):
        said = outcome(cases)
        if said is not None:
            sys.exit(f"the kernels as they are do not pass: {said}")
    count = 0
    failures = 0
    for name, line, what, text, spare in mutants(checkout / "include/fuller"):
        if only not in name:
            continue
        count += 1
        original = (checkout / "include/fuller" / name).read_text()
        if text is None:
            said = "NOT THERE any more"
        else:
            (include / "fuller" / name).write_text(text)
            try:
                said = outcome(CASES[name.split("/")[0]])
                said = f"caught ({said})" if said else f"spare: {spare}" if spare else "SURVIVED"
            except subprocess.CalledProcessError as error:
                said = f"DOES NOT COMPILE\n{error.stderr[:500]}"
            (include / "fuller" / name).write_text(original)
        failures += 0 if said.startswith(("caught", "spare")) else 1
        print(f"{name}:{line}: {what}: {said}", flush=True)
    print(f"{count} mutants, {failures} not as they should be")
    return 1 if failures or not count else 0


if __name__ == "__main__":
    sys.exit(main())

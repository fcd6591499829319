#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether the unit's PTX is the same for every architecture, but for the target; where it is not, the tests run on that one too.

    architectures.py NVCC CHECKOUT UNIT_PTX PROGRAM ARCHITECTURE...

PROGRAM is cuda_emulation.
"""
import os
import pathlib
import re
import subprocess
import sys


def code(path):
    """What is executed: without target, comments, lines of the source and names that differ from compilation to compilation."""
    lines = (line for line in path.read_text().splitlines()
             if not re.match(r"//|\.target|\s*\.(loc|file|b8)|\s*(\.section|\{|\}|\$L__info_string)", line))
    return re.sub(r"_(ZN\d+)?_?INTERNAL_[0-9a-f]+_\d+_fuller_kernels_cu_[0-9a-f]+(_\d+)?", "_INTERNAL", "\n".join(lines))


def main():
    nvcc, checkout, unit, program = sys.argv[1], *(pathlib.Path(path).resolve() for path in sys.argv[2:5])
    failures = 0
    for architecture in sys.argv[5:]:
        made = unit.with_name(f"sm_{architecture}.ptx")
        subprocess.run([nvcc, "-std=c++17", "-ptx", "-lineinfo", f"-arch=sm_{architecture}", f"-I{checkout}/include",
                        str(checkout / "cmake/fuller_kernels.cu"), "-o", str(made)], check=True)
        same = code(made) == code(unit)
        print(f"the PTX for sm_{architecture} is {'the same' if same else 'another'}", flush=True)
        if not same:
            failures += subprocess.run([str(program)], env={**os.environ, "FULLER_PTX": str(made)}).returncode != 0
    return failures


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""Builds fuller for the torch that is installed: pip install --no-build-isolation ./examples/python, or pip wheel likewise."""
import re
from pathlib import Path

import torch
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CppExtension

here = Path(__file__).resolve().parent
include = here.parent.parent / "include"
version = re.search(r'version = "([0-9.]+)"', (include / "fuller" / "version.hpp").read_text()).group(1)
newest = tuple(int(part) for part in torch.__version__.split(".")[:2])

setup(
    name="fuller-torch",
    version=version,
    description="Gradient calibration of multi-task training, inside one loss.backward()",
    license="Apache-2.0",
    python_requires=">=3.9",
    # The extension is of one torch: another minor version has other C++ types.
    install_requires=[f"torch=={newest[0]}.{newest[1]}.*"],
    package_dir={"": "src"},
    packages=["fuller"],
    ext_modules=[
        CppExtension(
            "fuller._C",
            ["fuller_python.cpp"],
            include_dirs=[str(include)],
            extra_compile_args=["-O2", "-std=c++20" if newest >= (2, 14) else "-std=c++17", "-fvisibility=hidden", "-g0"],
        )
    ],
    cmdclass={"build_ext": BuildExtension},
)

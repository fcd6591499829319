# SPDX-License-Identifier: Apache-2.0
# spack repo add packaging/spack; spack install fuller
import os

from spack.package import *
from spack_repo.builtin.build_systems.cmake import CMakePackage


class Fuller(CMakePackage):
    """Gradient calibration of multi-task training, inside one loss.backward() of a LibTorch trainer. Headers only."""

    # The clone that this file lies in.
    git = "file://" + os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 4))

    license("Apache-2.0")

    version("main", branch="main")
    version("0.1.0", tag="v0.1.0")

    variant("torch", default=True, description="Calibration inside backward(), with the LibTorch of py-torch")
    variant("eigen", default=False, description="Custom rules in Eigen")

    depends_on("cxx", type="build")
    depends_on("cmake@3.22:", type="build")
    depends_on("py-torch@1.13:", type=("build", "link", "run"), when="+torch")
    depends_on("eigen@3.3:", type=("build", "link", "run"), when="+eigen")

    def cmake_args(self):
        parts = ("TESTS", "EXAMPLES", "BENCH")
        return [self.define(f"FULLER_BUILD_{part}", False) for part in parts] + [
            # Headers are what is installed; the LibTorch is looked for where they are used.
            self.define("FULLER_WITH_TORCH", "OFF"),
            self.define("FULLER_WITH_CUDA", "OFF"),
        ]

    def setup_dependent_build_environment(self, env, dependent_spec):
        if self.spec.satisfies("+torch"):
            env.append_path("CMAKE_PREFIX_PATH", self.spec["py-torch"].prefix)

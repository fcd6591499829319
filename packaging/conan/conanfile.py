# SPDX-License-Identifier: Apache-2.0
"""Conan 2: `conan create packaging/conan`, with `-o "fuller/*:with_torch=True"` for calibration inside backward() as well."""
import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir

required_conan_version = ">=2.0"


class FullerConan(ConanFile):
    name = "fuller"
    description = "Gradient calibration of multi-task training, inside one loss.backward() of a LibTorch trainer"
    license = "Apache-2.0"
    topics = ("deep-learning", "multi-task-learning", "gradients", "libtorch", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"with_torch": [True, False]}
    default_options = {"with_torch": False}
    no_copy_source = True

    @property
    def _sources(self):
        return os.path.join(self.recipe_folder, os.pardir, os.pardir)

    def set_version(self):
        header = load(self, os.path.join(self._sources, "include", "fuller", "version.hpp"))
        self.version = re.search(r'version = "([0-9.]+)"', header).group(1)

    def export_sources(self):
        for pattern in ("include/*", "cmake/*", "packaging/debian/*", "CMakeLists.txt", "LICENSE", "CHANGELOG.md"):
            copy(self, pattern, self._sources, self.export_sources_folder)

    def layout(self):
        cmake_layout(self)

    def requirements(self):
        if self.options.with_torch:
            self.requires("libtorch/[>=2.9]", transitive_headers=True, transitive_libs=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        if self.settings.get_safe("compiler.cppstd"):
            check_min_cppstd(self, 17)

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ("TESTS", "EXAMPLES", "BENCH"):
            toolchain.cache_variables[f"FULLER_BUILD_{part}"] = False
        # Headers are what is packed; the LibTorch is the consumer's.
        toolchain.cache_variables["FULLER_WITH_TORCH"] = "OFF"
        toolchain.cache_variables["FULLER_WITH_CUDA"] = "OFF"
        toolchain.generate()

    def build(self):
        CMake(self).configure()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        # Conan writes package files itself; kernels and members' bodies stay, and what compiles them into a program.
        package = os.path.join(self.package_folder, "share", "cmake", "fuller")
        for name in ("FullerCuda.cmake", "FullerMembers.cmake", "fuller_kernels.cu", "fuller_members.cpp"):
            copy(self, name, package, os.path.join(self.package_folder, "cmake"))
        rmdir(self, os.path.join(self.package_folder, "share"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "fuller")
        self.cpp_info.set_property("cmake_target_name", "fuller::fuller")
        self.cpp_info.set_property("pkg_config_name", "fuller")
        self.cpp_info.set_property("cmake_build_modules", [os.path.join("cmake", name) for name in ("FullerCuda.cmake", "FullerMembers.cmake")])
        core = self.cpp_info.components["core"]
        core.set_property("cmake_target_name", "fuller::core")
        core.bindirs = core.libdirs = []
        if self.settings.os in ("Linux", "FreeBSD"):
            core.system_libs = ["pthread"]
        if self.options.with_torch:
            torch = self.cpp_info.components["torch"]
            torch.set_property("cmake_target_name", "fuller::torch")
            torch.bindirs = torch.libdirs = []
            torch.requires = ["core", "libtorch::torch"]
            if self.settings.os in ("Linux", "FreeBSD"):
                torch.system_libs = ["dl"]

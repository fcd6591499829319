# SPDX-License-Identifier: Apache-2.0
"""Stands in for Conan Center's recipe of LibTorch: the same name and components, and what they lead to is the system's LibTorch, as Debian has it."""
from conan import ConanFile


class SystemLibTorch(ConanFile):
    name = "libtorch"
    version = "2.9.1"
    package_type = "shared-library"
    settings = "os", "arch", "compiler", "build_type"

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "Torch")
        c10, torch_cpu, torch = (self.cpp_info.components[name] for name in ("c10", "torch_cpu", "torch"))
        for component in (c10, torch_cpu, torch):
            component.includedirs = component.libdirs = component.bindirs = []
        c10.system_libs = ["c10", "glog", "gflags"]
        torch_cpu.includedirs = ["/usr/include/torch/csrc/api/include"]
        torch_cpu.system_libs = ["torch_cpu"]
        torch_cpu.requires = ["c10"]
        torch.requires = ["torch_cpu"]

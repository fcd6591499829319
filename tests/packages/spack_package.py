# SPDX-License-Identifier: Apache-2.0
"""Loads Spack's package with directives that write down what they are told, and holds it against the sources; Spack itself is in no
registry that a test could ask: spack_package.py SOURCE_FOLDER VERSION"""
import importlib.util
import re
import sys
import types
from pathlib import Path

source, version = Path(sys.argv[1]), sys.argv[2]
sys.dont_write_bytecode = True  # beside the package, in the sources
told = {}


def directive(name):
    def note(*arguments, **options):
        told.setdefault(name, []).append((arguments, options))
    return note


class CMakePackage:
    def define(self, name, value):
        text = {True: "ON", False: "OFF"}.get(value, value)
        return f"-D{name}={text}"


spack_package = types.ModuleType("spack.package")
for name in ("license", "version", "variant", "depends_on"):
    setattr(spack_package, name, directive(name))
cmake = types.ModuleType("spack_repo.builtin.build_systems.cmake")
cmake.CMakePackage = CMakePackage
for name, module in {"spack": types.ModuleType("spack"), "spack.package": spack_package, cmake.__name__: cmake,
                     **{part: types.ModuleType(part) for part in ("spack_repo", "spack_repo.builtin", "spack_repo.builtin.build_systems")}}.items():
    sys.modules[name] = module

file = source / "packaging" / "spack" / "packages" / "fuller" / "package.py"
spec = importlib.util.spec_from_file_location("package", file)
package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)

assert package.Fuller.git == f"file://{source.resolve()}", package.Fuller.git
assert version in [arguments[0] for arguments, _ in told["version"]], told["version"]
variants = {arguments[0] for arguments, _ in told["variant"]}
for _, options in told["depends_on"]:
    for variant in re.findall(r"\+(\w+)", options.get("when", "")):
        assert variant in variants, f"a dependency is of the variant {variant}, which there is not"
known = set(re.findall(r"(?:option|set)\((FULLER_\w+)", (source / "CMakeLists.txt").read_text()))
for argument in package.Fuller().cmake_args():
    option = re.fullmatch(r"-D(\w+)=(ON|OFF)", argument)
    assert option and option.group(1) in known, f"{argument} is no option of CMakeLists.txt"
print(f"fuller {version}: the package names what the sources have.")

# SPDX-License-Identifier: Apache-2.0
"""Parses and renders conda's recipe with rattler-build, for this system: conda_recipe.py SOURCE_FOLDER VERSION"""
import sys
from pathlib import Path

from rattler_build import Stage0Recipe, VariantConfig

source, version = Path(sys.argv[1]), sys.argv[2]
recipe = Stage0Recipe.from_file(str(source / "packaging" / "conda" / "recipe.yaml"))
variants = recipe.render(VariantConfig.from_yaml("cxx_compiler: [gxx]\n"))
assert len(variants) == 1, f"{len(variants)} variants of a package that is the same everywhere"
made = variants[0].recipe.to_dict()
assert str(made["package"]["version"]) == version, made["package"]
assert variants[0].recipe.build.noarch == "generic", "headers are the same on every system"
assert any(str(need).startswith("libtorch") for need in made["requirements"]["run"]), made["requirements"]
files = [file for test in made["tests"] for file in test.get("package_contents", {}).get("files", [])]
for file in files:
    name = Path(file).name
    found = list((source / "cmake").glob(f"{name}*"))
    assert found, f"the recipe expects {file}, which nothing installs"
print(f"fuller {version}: rattler-build renders the recipe.")

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts together what Sphinx reads: the documents of the repository under their own paths, the files that they lead to, the reference and the support matrix.

    assemble.py CHECKOUT WORK

Nothing of the site is kept twice: what is in the repository is copied into WORK when the site is built. A link to a file that is no document leads to a page
that shows the file, so that the site needs nothing beside itself.
"""
import fnmatch
import json
import re
import shutil
import sys
from pathlib import Path

import messages  # in this folder

# What a visitor looks for, in the order of the contents; `*` stands for those of a folder that are not named.
PARTS = [
    ("Start", ["docs/tutorial.md", "docs/existing_trainer.md", "docs/which_rule.md", "examples/README.md", "examples/python/README.md"]),
    ("How to", ["docs/how_to.md", "docs/diagnostics.md", "docs/distributed.md", "docs/cuda.md", "docs/building.md", "docs/migrating.md", "docs/troubleshooting.md"]),
    ("Reference", ["reference/index.rst", "docs/calibrators.md", "docs/limits.md", "docs/terms.md", "messages.md", "support.md", "docs/stability.md"]),
    ("Understand", ["docs/architecture.md", "docs/adr/README.md", "docs/results/README.md", "docs/results/*.md", "docs/benchmarks.md", "docs/claims.md", "docs/nightly.md"]),
    ("Reference model", ["examples/bevfusion/README.md", "examples/bevfusion/data.md"]),
    ("Project", ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]),
]
ROOMS = {  # folder of include/fuller: what a user goes there for
    "": "The interface",
    "calibrators": "Rules for tasks",
    "gates": "Laws for gates",
    "tensor": "Tensors and ranks",
    "distributed": "Several ranks",
    "amp": "Mixed precision",
    "measure": "Measuring a step",
    "engine": "Where a step runs",
    "backward": "In the backward",
    "graph": "In the graph",
    "core": "What rules are made of",
    "cpu": "Reductions on the host",
    "cuda": "Reductions on a device",
}
LANGUAGE = {".hpp": "cpp", ".cpp": "cpp", ".cu": "cpp", ".cuh": "cpp", ".py": "python", ".sh": "bash", ".txt": "text", ".json": "json"}
LINK = re.compile(r"(\]\()([^)\s]+)(\))")


class Site:
    def __init__(self, root, work):
        self.root = root
        self.source = work / "source"
        self.shown = {}  # path in the repository: page that shows it

    def documents(self):
        found = ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
        for folder in ("docs", "docs/adr", "docs/results", "examples", "examples/*"):
            found += [str(path.relative_to(self.root)) for path in sorted(self.root.glob(folder + "/*.md"))]
        return [name for name in found if not name.startswith("docs/site/")]

    def write(self, name, text):
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def copy_code(self, name):
        copy = self.source / "code" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.root / name, copy)

    def outside_of_code(self, text, change):
        """`text` with `change` applied to the lines that are no code block."""
        lines, inside = [], False
        for line in text.split("\n"):
            if line.lstrip().startswith("```"):
                inside = not inside
            lines.append(line if inside else change(line))
        return "\n".join(lines)

    def redirected(self, page, target):
        """Where a link of `page`, a path in the repository, leads on the site."""
        if re.match(r"^[a-z]+:", target) or target.startswith("#"):
            return target
        file, _, heading = target.partition("#")
        path = ((self.root / page).parent / file).resolve().relative_to(self.root)
        name = str(path)
        up = "../" * page.count("/")
        if name == "README.md":
            return up + "index.md"
        if name in self.known or path.suffix in (".png", ".svg"):
            return target
        if (self.root / path).is_dir() and f"{name}/README.md" in self.known:
            return f"{up}{name}/README.md"
        self.shown[name] = f"files/{name}.md"
        return f"{up}files/{name}.md"

    def copy_documents(self):
        self.known = set(self.documents())
        for name in sorted(self.known):
            text = (self.root / name).read_text(encoding="utf-8")
            change = lambda line: LINK.sub(lambda m: m.group(1) + self.redirected(name, m.group(2)) + m.group(3), line)
            self.write(name, self.outside_of_code(text, change))
        for folder in ("docs/images",):
            shutil.copytree(self.root / folder, self.source / folder)

    def parts(self):
        """PARTS with the documents that a `*` stands for."""
        named = {name for _, names in PARTS for name in names}
        matched = lambda name: sorted(fnmatch.filter(self.known - named, name)) if "*" in name else [name]
        return [(title, [document for name in names for document in matched(name)]) for title, names in PARTS]

    def landing_page(self):
        text = (self.root / "docs/site/index.md").read_text(encoding="utf-8")
        parts = self.parts()
        rest = self.known - {name for _, names in parts for name in names} - {name for name in self.known if name.startswith("docs/adr/")}
        if rest:
            raise SystemExit(f"assemble.py: no part of the site has {', '.join(sorted(rest))}: name it in PARTS")
        for name in re.findall(r"\{literalinclude\} /code/(\S+)", text):
            self.copy_code(name)
        for title, names in parts:
            text += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n" + "\n".join(names) + "\n```\n"
        self.write("index.md", text)
        records = sorted(name for name in self.known if name.startswith("docs/adr/0"))
        with open(self.source / "docs/adr/README.md", "a", encoding="utf-8") as page:
            page.write("\n```{toctree}\n:hidden:\n\n" + "\n".join(Path(name).name for name in records) + "\n```\n")

    def file_pages(self):
        """Pages that show files, or list folders, that documents lead to; a listed file is shown in turn, a folder in a folder is not."""
        pending = list(self.shown)
        while pending:
            name = pending.pop()
            path = self.root / name
            up = "../" * (name.count("/") + 1)
            text = f"---\norphan: true\n---\n\n# {name}\n\n"
            if path.is_dir():
                for file in sorted(path.iterdir()):
                    if file.is_file() and not file.name.startswith("."):
                        inner = f"{name}/{file.name}"
                        if inner in self.known:
                            text += f"- [{file.name}]({up}{inner})\n"
                            continue
                        text += f"- [{file.name}]({up}files/{inner}.md)\n"
                        if inner not in self.shown:
                            self.shown[inner] = f"files/{inner}.md"
                            pending.append(inner)
                    elif file.is_dir():
                        text += f"- {file.name}/\n"
            else:
                language = LANGUAGE.get(path.suffix, "text")
                text += f"```{{literalinclude}} /code/{name}\n:language: {language}\n```\n"
                self.copy_code(name)
            self.write(self.shown[name], text)

    def reference(self):
        """The contents of the reference, by room; reference.py writes the pages."""
        headers = {}
        for line in (self.root / "tests/packages/public_symbols.txt").read_text().splitlines():
            where, name = line.split(" ", 1)
            if where.endswith(".hpp") and not name.startswith("FULLER_"):
                headers.setdefault(where, []).append(name)
        rooms = {}
        for header in headers:
            folder = str(Path(header).parent)
            rooms.setdefault("" if folder == "fuller" else folder.split("/")[1], []).append(header)
        unknown = set(rooms) - set(ROOMS)
        if unknown:
            raise SystemExit(f"assemble.py: what does a user look for in include/fuller/{sorted(unknown)[0]}? Say so in ROOMS")
        index = "Reference\n=========\n\nEvery public name, from the comments of the headers, as ``tests/packages/public_symbols.txt`` lists them. "
        index += "``#include <fuller/fuller.hpp>`` leads to all of it but ``amp``, ``cuda``, ``distributed``, ``measure``, ``eigen.hpp`` and the ways to run steps on a device.\n"
        for room, title in ROOMS.items():
            if room not in rooms:
                continue
            index += f"\n{title}\n{'-' * len(title)}\n\n.. toctree::\n   :maxdepth: 1\n\n"
            for header in rooms[room]:
                page = header[len("fuller/"):-len(".hpp")]
                index += f"   {page} <{page}>\n"
        self.write("reference/index.rst", index)
        return sorted(headers)

    def support_matrix(self):
        """What .ci/run builds, from its steps and the presets that they name."""
        presets = {preset["name"]: preset for preset in json.loads((self.root / "CMakePresets.json").read_text())["configurePresets"]}

        def variables(name):
            preset = presets[name]
            return {**(variables(preset["inherits"]) if "inherits" in preset else {}), **preset.get("cacheVariables", {})}

        rows = []
        test = (self.root / "scripts/test").read_text()
        for line in (self.root / ".ci/run").read_text().splitlines():
            step = re.match(r'^step "([^"]*)" (scripts/build|build_with_wheel|readme_commands) ?(.*)$', line)
            if not step:
                continue
            title, command, words = step.group(1), step.group(2), step.group(3).split()
            if command == "build_with_wheel":
                torch, preset = f"{words[0]}, wheel", words[1]
            elif command == "readme_commands":
                torch, preset = "Debian's libtorch-dev", re.search(r"^scripts/build (\S+)", test, re.M).group(1)
            else:
                preset = words[0]
                torch = "none" if variables(preset).get("FULLER_WITH_TORCH") == "OFF" else "Debian's libtorch-dev"
            seen = variables(preset)
            without = [what for what, key in (("examples", "FULLER_BUILD_EXAMPLES"), ("benchmarks", "FULLER_BUILD_BENCH"), ("packages", "FULLER_INSTALL")) if seen.get(key) == "OFF"]
            rows.append(f"| {title} | {torch} | {seen.get('CMAKE_CXX_STANDARD', '17')} | {seen.get('CMAKE_CXX_COMPILER', 'g++ of Debian 12')} | "
                        f"{seen['CMAKE_BUILD_TYPE']} | {seen.get('FULLER_SANITIZE') or '–'} | `{preset}` | {', '.join(without) or '–'} |")
        if len(rows) < 3:
            raise SystemExit("assemble.py: .ci/run has fewer than three steps that build something")
        text = "# Support matrix\n\nWhat the checks build and test, read from `.ci/run` and `CMakePresets.json` when this page was made. All on Debian 12, x86-64. What else is expected to work is in\n"
        text += "[building.md](docs/building.md#which-libtorch), and which packages are tested in [the same page](docs/building.md#packages); nothing has been run on a GPU yet.\n\n"
        text += "| step | LibTorch | C++ | compiler | build | sanitizers | preset | without |\n|---|---|---|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
        self.write("support.md", text)


def dark_by_itself():
    """Furo's dark colours for readers whose system is dark, with or without scripts: Debian's build of its stylesheet has lost that rule."""
    import furo

    sheet = (Path(furo.__file__).parent / "theme/furo/static/styles/furo.css").read_text(encoding="utf-8")
    dark = re.search(r'body\[data-theme="?dark"?\]\s*\{([^}]*)\}', sheet)
    if re.search(r"prefers-color-scheme: ?dark", sheet) or not dark:
        return ""
    return f'\n@media (prefers-color-scheme: dark) {{\n  body:not([data-theme="light"]) {{{dark.group(1)}}}\n}}\n'


def main():
    root, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    site = Site(root, work)
    shutil.rmtree(site.source, ignore_errors=True)
    site.source.mkdir(parents=True)
    site.copy_documents()
    site.support_matrix()
    site.write("messages.md", messages.page(root))
    headers = site.reference()
    site.landing_page()
    site.file_pages()
    shutil.copyfile(root / "docs/site/conf.py", site.source / "conf.py")
    site.write("site.css", (root / "docs/site/site.css").read_text(encoding="utf-8") + dark_by_itself())
    (work / "headers.txt").write_text("\n".join(headers) + "\n")
    print(f"{len(site.known)} documents, {len(site.shown)} files, {len(headers)} headers.")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the rules, laws and their core wrong in one place at a time, and sees whether the tests without LibTorch notice.

    mutate.py CHECKOUT WORK [--torch] [--part FOLDER_OR_FILE]... [--program NAME]... [--share N] [--seconds N] [--slowest N] [--jobs N] [--unexplained]
              [--only FILE] [--list]

An operator becomes its opposite (+ and -, * and /, < and >=, == and !=), a comparison its neighbour (< and <=), a sign turns, a literal is another, an if is the other
way round. All mutants are compiled into one set of programs, each behind a switch (switches.hpp), and a run has one of them on; it is shown the test cases that reach it
alone, under the address sanitizer, and with each piece of work space fenced, so that an index out of bounds is noticed. A mutant that no test fails for survives. WORK is a
folder to build in; minutes the first time.

--torch     the nodes in autograd's graph (backward) in place of rules, laws and core, before tests with LibTorch, without the sanitizer; an hour to build, so give it a
            WORK of its own, and --share
--part      only mutants of this folder or file of include/fuller, such as gates or calibrators/mgda.hpp (default: calibrators, gates, core)
--program   only this one of the test programs, which takes a part of the time and notices less
--share N   every N-th mutant, for a sample (default: 1, all of them)
--seconds   stop after so long, and say how far it came
--slowest   leaves out the test cases that take longer than so many seconds: what is noticed without them is noticed
--unexplained  leaves out those that survivors.txt explains, which take the longest
--only      only mutants of this list, such as WORK/survivors.txt of the last run
--list      prints the mutants and ends

Survivors that survivors.txt explains are counted apart. Ends with 1 where another survives. Mutants that no case of these programs reaches are counted and listed
in WORK/unreached.txt: most of them are in code that runs on a device, or on tensors, whose tests need LibTorch.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

CORE_PROGRAMS = ["calibrators_unit", "calibrators_property", "calibrators_reference"]
TORCH_PROGRAMS = ["autograd_equality", "autograd_surfaces", "autograd_gates", "autograd_steps", "autograd_heads", "gate_laws", "ranks"]
CORE_PARTS = ["calibrators", "gates", "core"]
TORCH_PARTS = ["backward"]
# Not built: it compares a rule on 32 lanes with the same rule on one, both with the mutant, and takes longer to compile than all the rest.
NOT_BUILT = "property/lanes_test.cpp"
# Headers whose mistakes these programs are not there to see.
LEFT_OUT = {"core/error.hpp", "core/stable_subset.hpp", "core/standard.hpp", "core/host_device.hpp", "core/halves.hpp", "core/lanes.hpp"}
# Work space is dealt out in pieces that an address sanitizer tells apart: what is written into core/scratch.hpp in place of what.
FENCES = {"    return piece;": "    return ::fuller_mutation::fenced(piece, count);",
          "return reinterpret_cast<std::uint8_t*>(doubles(doubles_for_bytes(count)));": "return ::fuller_mutation::fenced_bytes(doubles(doubles_for_bytes(count)), count);"}
INFIX = {"+": "p", "-": "m", "*": "t", "/": "d", "<": "l", "<=": "k", ">": "g", ">=": "h", "==": "e", "!=": "n"}
BECOMES = {"+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"], "==": ["!="], "!=": ["=="]}
# Lines that are no statement of a function that runs.
NO_STATEMENT = re.compile(r"^\s*(#|template\b|using\b|case\b|struct\b|enum\b|static_assert|friend\b)|\b(constexpr|static_assert|decltype|noexcept|enable_if_t|operator\s*[-+*/<>=!]=?)")
BINARY = re.compile(r"(?<=[\w)\]}]) (<=|>=|==|!=|[-+*/<>])(?=\s|$)")
LITERAL = re.compile(r"(?<![\w.<\"'])(?<!p-)(\d+(?:\.\d*)?(?:e-?\d+)?)(?![\w.>\"'])")
SIGN = re.compile(r"(?:(?<=[(\[,=?:] )|(?<=\()|(?<=\[)|(?<=return ))-(?=[A-Za-z_(])")
COMPOUND = re.compile(r"^(\s*[\w.\[\]() ,>*+-]+? [-+]= )([^;]+);\s*$")
IF = re.compile(r"^(\s*(?:\} else )?if \()(.*)(\) \{\s*)$")


class Mutant:
    def __init__(self, number, file, line, text, what):
        self.number, self.file, self.line, self.text, self.what = number, file, line, text, what
        self.nth = 0

    def key(self):
        return f"{self.file} | {self.text} | {self.what}" + (f" | {self.nth}" if self.nth else "")


def blanked(line):
    """The line with strings, characters and the comment at its end made blank, as long as before."""
    line = re.sub(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\'', lambda m: '"' + "_" * (len(m.group()) - 2) + '"', line)
    return re.sub(r"//.*$", lambda m: " " * len(m.group()), line)


def statement_lines(lines):
    """Numbers of lines inside function bodies that may be evaluated when the program runs."""
    stack, found = [], []
    head = ""
    for number, raw in enumerate(lines):
        line = blanked(raw)
        inside = bool(stack) and stack[-1] == "body" and "constant" not in stack
        if inside and not NO_STATEMENT.search(line):
            found.append(number)
        for char in line:
            if char == "{":
                text = head.strip()
                if "constant" in stack or ("constexpr" in text and "if constexpr" not in text):
                    kind = "constant"
                elif re.search(r"\b(namespace|struct|class|enum)\b", text) and "(" not in text.split(":")[0]:
                    kind = "outer"
                elif ")" in text or text.endswith(("else", "do", "const")) or (stack and stack[-1] == "body"):
                    kind = "body"
                else:
                    kind = "outer"
                stack.append(kind)
                head = ""
            elif char == "}":
                if stack:
                    stack.pop()
                head = ""
            elif char == ";":
                head = ""
            else:
                head += char
        if not line.strip().startswith("template"):
            head += " "
        else:
            head = ""
    return found


def mutate(name, lines, first, excluded):
    """The lines with switches, and the mutants, numbered from `first`."""
    mutants, out = [], list(lines)
    number = first

    def add(line, *whats):
        nonlocal number
        given = number
        for what in whats:
            mutants.append(Mutant(number, name, line + 1, lines[line].strip(), what))
            number += 1
        return given

    for k in statement_lines(lines):
        if (name, k + 1) in excluded:
            continue
        line, plain = lines[k], blanked(lines[k])
        edits = []  # (from, to, text): disjoint
        for found in BINARY.finditer(plain):
            operator = found.group(1)
            column = found.start(1)
            numbers = [f"{operator} at {column - (len(line) - len(line.lstrip()))} is {other}" for other in BECOMES[operator]]
            if operator in ("==", "!="):  # the first slot is of numbers, the second of anything that compares
                given = add(k, numbers[0])
                number += 1
                mutants[-1].number += 1
            else:
                given = add(k, *numbers)
            edits.append((found.end(1), found.end(1), f" ::fuller_mutation::Infix<'{INFIX[operator]}', {given}>() {operator}"))
        if "for (" not in plain and not re.search(r"\[[^\]]*\d[^\]]*\];|^\s*return \{", plain):
            for found in LITERAL.finditer(plain):
                given = add(k, f"{found.group(1)} at {found.start(1) - (len(line) - len(line.lstrip()))} is another")
                edits.append((found.start(1), found.end(1), f"::fuller_mutation::literal<{given}>({found.group(1)})"))
        for found in SIGN.finditer(plain):
            given = add(k, f"- at {found.start() - (len(line) - len(line.lstrip()))} is gone")
            edits.append((found.start(), found.end(), f"::fuller_mutation::minus<{given}>() * "))
        if (found := COMPOUND.match(plain)) and "for (" not in plain:
            given = add(k, f"{found.group(1).split()[-1]} is the other")
            edits.append((found.start(2), found.start(2), f"::fuller_mutation::plus<{given}>() * ("))
            edits.append((found.end(2), found.end(2), ")"))
        if (found := IF.match(plain)) and ";" not in plain and "constexpr" not in plain:
            given = add(k, "if is if not")
            edits.append((found.end(1), found.end(1), f"::fuller_mutation::condition<{given}>("))
            edits.append((found.start(3), found.start(3), ")"))
        # Insertions at one place keep their order: what closes before what opens.
        for start, end, text in sorted(edits, key=lambda edit: (edit[0], edit[1]), reverse=True):
            line = line[:start] + text + line[end:]
        out[k] = line
    count = {}
    for mutant in mutants:
        key = mutant.key()
        mutant.nth = count.get(key, 0)
        count[key] = mutant.nth + 1
    return out, mutants, number


def write_mutated(checkout, source, parts, excluded):
    mutants, number = [], 0
    headers = checkout / "include/fuller"
    switches = Path(__file__).resolve().parent / "switches.hpp"
    for path in sorted(headers.rglob("*.hpp")):
        name = str(path.relative_to(headers))
        target = source / "include/fuller" / name
        text = path.read_text(encoding="utf-8")
        if name == "core/scratch.hpp" and name.split("/")[0] in parts:
            for whole, fenced in FENCES.items():
                if whole not in text:
                    sys.exit(f"mutate: {name} has no line '{whole.strip()}' to fence")
                text = text.replace(whole, fenced)
        if name not in LEFT_OUT and any(name == part or name.startswith(part + "/") for part in parts):
            lines, some, number = mutate(name, text.split("\n"), number, excluded)
            mutants += some
            if some:  # lines keep their numbers
                text = "\n".join(lines).replace("#pragma once\n", f'#pragma once\n#include "{switches}"\n#line 3 "{target}"\n', 1)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    return mutants


def at_fault(said):
    """Lines of headers that the compiler complains of; where it complains of the switches, the line that used them."""
    found, used = set(), None
    for line in said.split("\n"):
        if "In instantiation of" in line or "In substitution of" in line:
            used = None
        place = re.search(r"include/fuller/([\w/]+\.hpp):(\d+):\d+:(\s+required from| error:)", line)
        if place and "error:" in place.group(3):
            found.add((place.group(1), int(place.group(2))))
        elif place and used is None:
            used = (place.group(1), int(place.group(2)))
        elif "switches.hpp" in line and " error:" in line and used:
            found.add(used)
    return found


def build(checkout, work, parts, programs, torch, jobs):
    """Programs with all mutants that compile; those of lines that do not are left out."""
    source, tree = work / "source", work / "tree"
    files = subprocess.run(["git", "-C", str(checkout), "ls-files", "-co", "--exclude-standard"], check=True, capture_output=True, text=True).stdout.split("\n")
    for file in filter(None, files):
        if file.startswith("include/fuller/") or file == "tests/CMakeLists.txt" or not (checkout / file).is_file():
            continue
        target = source / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (checkout / file).read_bytes():
            shutil.copyfile(checkout / file, target)
            shutil.copymode(checkout / file, target)
    tests = source / "tests/CMakeLists.txt"
    tests.parent.mkdir(parents=True, exist_ok=True)
    wanted = (checkout / "tests/CMakeLists.txt").read_text(encoding="utf-8").replace(" " + NOT_BUILT, "")
    if not tests.exists() or tests.read_text(encoding="utf-8") != wanted:
        tests.write_text(wanted, encoding="utf-8")
    excluded = set()
    for attempt in range(12):
        mutants = write_mutated(checkout, source, parts, excluded)
        if attempt == 0:
            flags = ["-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DCMAKE_CXX_FLAGS=-w -fmax-errors=0" + ("" if torch else " -fsanitize=address -fno-omit-frame-pointer"),
                     *(["-DFULLER_WITH_TORCH=ON", "-DFULLER_TORCH_ROOT=" + os.environ.get("FULLER_TORCH_ROOT", "/usr"), "-DFULLER_TEST_CORE=OFF"] if torch else ["-DFULLER_WITH_TORCH=OFF"]),
                     "-DFULLER_WITH_CUDA=OFF", "-DFULLER_BUILD_EXAMPLES=OFF", "-DFULLER_TEST_EXAMPLES=OFF", "-DFULLER_BUILD_BENCH=OFF", "-DFULLER_INSTALL=OFF"]
            subprocess.run(["cmake", "-G", "Ninja", "-S", str(source), "-B", str(tree), *flags], check=True, stdout=subprocess.DEVNULL)
        ended = subprocess.run(["ninja", "-C", str(tree), "-k", "0", f"-j{jobs}", *programs], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C", "CCACHE_DISABLE": "1"})
        if ended.returncode == 0:
            return mutants
        wrong = at_fault(ended.stdout) & {(mutant.file, mutant.line) for mutant in mutants}
        if not wrong:
            sys.exit("mutate: the programs do not compile:\n" + ended.stdout[-6000:])
        excluded |= wrong
        print(f"mutate: {len(wrong)} lines with switches do not compile, and are left out", flush=True)
    sys.exit("mutate: the programs do not compile after all")


def run(program, names, folder, mutant=-1, seen=None, timeout=600, fenced=True):
    """Whether the cases pass, and how long they took; a crash or a run without end is a failure."""
    listing = folder / f"{os.getpid()}_{program.name}_{mutant}.txt"
    # Catch2 takes a comma for the end of a name, and a bracket for a tag.
    listing.write_text("".join(re.sub(r"([\\,\[])", r"\\\1", name) + "\n" for name in names))
    environment = {**os.environ, "FULLER_MUTANT": str(mutant), "OMP_NUM_THREADS": "1", "ASAN_OPTIONS": "detect_leaks=0:hard_rss_limit_mb=4096:allocator_may_return_null=1"}
    if not fenced:
        environment["FULLER_UNFENCED"] = "1"
    if seen:
        environment["FULLER_MUTANTS_SEEN"] = str(seen)
    since = time.monotonic()
    try:
        ended = subprocess.run([str(program), "-f", str(listing), "-a", "-w", "NoTests"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=timeout)
        passed = ended.returncode == 0
    except subprocess.TimeoutExpired:
        passed = False
    listing.unlink()
    return passed, time.monotonic() - since


def cases_of(program):
    listed = subprocess.run([str(program), "--list-test-names-only"], capture_output=True, text=True).stdout
    return [line for line in listed.split("\n") if line.strip()]


def reaching(work, programs, slowest, jobs):
    """For each mutant the cases that reach it: (seconds, program, name)."""
    folder = work / "runs"
    folder.mkdir(exist_ok=True)
    tasks = [(work / "tree/bin" / program, name) for program in programs for name in cases_of(work / "tree/bin" / program)]

    def one(number):
        program, name = tasks[number]
        seen = folder / f"seen_{number}.txt"
        passed, seconds = run(program, [name], folder, -1000 - number, seen)
        if not passed:
            sys.exit(f"mutate: '{name}' of {program.name} fails without a mutant")
        numbers = [int(text) for text in seen.read_text().split()]
        seen.unlink()
        return numbers, seconds, program, name

    reached = {}
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for numbers, seconds, program, name in pool.map(one, range(len(tasks))):
            for number in numbers:
                reached.setdefault(number, [])
                if seconds <= slowest:
                    reached[number].append((seconds, program, name))
    return {number: sorted(cases, key=lambda case: case[0]) for number, cases in reached.items()}, len(tasks)


def survives(mutant, cases, folder):
    """The quick cases first, then all the others; then once more where pieces of work space that overlap do so."""
    quick, slow, spent = [], [], 0.0
    for case in cases:
        spent += case[0]
        (quick if spent < 1.5 or not quick else slow).append(case)
    for some, fenced in ((quick, True), (slow, True), (quick + slow, False)):
        for program in {case[1] for case in some}:
            mine = [case for case in some if case[1] == program]
            passed, _ = run(program, [case[2] for case in mine], folder, mutant.number, timeout=10 + 20 * sum(case[0] for case in mine), fenced=fenced)
            if not passed:
                return False
    return True


def known(path):
    """Survivors with their reasons: lines `key`, each after the reason that it has, `# ...`."""
    reasons, reason = {}, ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.startswith("#"):
            reason = line[1:].strip()
        elif line.strip():
            reasons[line.strip()] = reason
    return reasons


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("checkout", type=lambda text: Path(text).resolve())
    arguments.add_argument("work", type=lambda text: Path(text).resolve())
    arguments.add_argument("--torch", action="store_true")
    arguments.add_argument("--part", action="append")
    arguments.add_argument("--program", action="append", choices=CORE_PROGRAMS + TORCH_PROGRAMS)
    arguments.add_argument("--share", type=int, default=1)
    arguments.add_argument("--seconds", type=float, default=float("inf"))
    arguments.add_argument("--slowest", type=float, default=float("inf"))
    arguments.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments.add_argument("--unexplained", action="store_true")
    arguments.add_argument("--only", type=Path)
    arguments.add_argument("--list", action="store_true")
    given = arguments.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    since = time.monotonic()
    all_parts = TORCH_PARTS if given.torch else CORE_PARTS
    if given.list:
        for mutant in write_mutated(given.checkout, given.work / "listed", all_parts, set()):
            print(f"{mutant.file}:{mutant.line}: {mutant.text} | {mutant.what}")
        return
    programs = given.program or (TORCH_PROGRAMS if given.torch else CORE_PROGRAMS)
    mutants = build(given.checkout, given.work, all_parts, programs, given.torch, given.jobs)
    print(f"mutate: {len(mutants)} mutants in {len(programs)} programs, built in {time.monotonic() - since:.0f} s", flush=True)
    reached, cases = reaching(given.work, programs, given.slowest, given.jobs)
    print(f"mutate: {cases} cases reach {sum(mutant.number in reached for mutant in mutants)} of them", flush=True)
    parts = given.part or all_parts
    mutants = [mutant for mutant in mutants if any(mutant.file == part or mutant.file.startswith(part + "/") for part in parts)]
    (given.work / "unreached.txt").write_text("".join(mutant.key() + "\n" for mutant in mutants if mutant.number not in reached))
    unreached = sum(mutant.number not in reached for mutant in mutants)
    reasons = known(given.checkout / "tests/mutation/survivors.txt")
    only = set(given.only.read_text(encoding="utf-8").split("\n")) if given.only else None
    chosen = [mutant for mutant in mutants if mutant.number in reached and not (given.unexplained and mutant.key() in reasons) and (only is None or mutant.key() in only)][:: given.share]
    folder = given.work / "runs"
    noticed, explained, survivors, tried = 0, 0, [], 0

    def one(mutant):
        if time.monotonic() - since > given.seconds:
            return mutant, None
        return mutant, survives(mutant, reached[mutant.number], folder)

    with concurrent.futures.ThreadPoolExecutor(given.jobs) as pool:
        for mutant, alive in pool.map(one, chosen):
            if alive is None:
                continue
            tried += 1
            if not alive:
                noticed += 1
            elif mutant.key() in reasons:
                explained += 1
            else:
                survivors.append(mutant)
                print(f"survives: {mutant.file}:{mutant.line}: {mutant.key()}", flush=True)
    (given.work / "survivors.txt").write_text("".join(mutant.key() + "\n" for mutant in survivors))
    share = 100 * noticed / max(tried - explained, 1)
    print(f"mutate: {tried} of {len(chosen)} mutants tried in {time.monotonic() - since:.0f} s: {noticed} noticed, {explained} survive with a reason, {len(survivors)} survive: "
          f"{share:.1f} % of those without a reason are noticed; {unreached} of {len(mutants)} are not reached by these programs")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()

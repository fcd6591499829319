#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads registers, stack and code size of every kernel out of a compiled unit, and compares them with a budget.

    kernel_budget.py BUDGET OBJECT...

The object holds the device code uncompressed (nvcc --no-compress), one ELF file for each architecture. Its section .nv.info says
what the assembler decided; .text.<kernel> is the code itself. No tool of the CUDA toolkit is needed. A budget line is

    <part of a kernel's name> | <registers at most> | <bytes of stack at most> | <bytes of code at least>

and the first one that fits a kernel counts. A kernel without a line is an error, and so is a line without a kernel, or no kernel
at all: a kernel of next to no code is how decompositions fail that do not compile for a device.
"""
import struct
import sys

EM_CUDA = 190
REGCOUNT, FRAME_SIZE, MIN_STACK_SIZE = 0x2F, 0x11, 0x12


def elf_files(data):
    """Every 64-bit ELF file of the device inside `data`."""
    at = data.find(b"\x7fELF\x02", 1)
    while at >= 0:
        if struct.unpack_from("<H", data, at + 18)[0] == EM_CUDA:
            yield data[at:]
        at = data.find(b"\x7fELF\x02", at + 1)


def sections(elf):
    """(name, type, link, info, content) of each section."""
    offset = struct.unpack_from("<Q", elf, 40)[0]
    size, count, names = struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, offset + k * size) for k in range(count)]
    strings = headers[names]
    table = elf[strings[4] : strings[4] + strings[5]]
    for name, kind, _, _, begin, length, link, info, _, _ in headers:
        text = table[name : table.index(b"\0", name)].decode()
        yield text, kind, link, info, b"" if kind == 8 else elf[begin : begin + length]


def kernels_of(elf):
    """{name: {registers, stack, code}} of one architecture's ELF file."""
    listed = list(sections(elf))
    by_name = {name: content for name, _, _, _, content in listed}
    symbols = by_name[".symtab"]
    strings = by_name[".strtab"]
    names = []
    for k in range(0, len(symbols), 24):
        at = struct.unpack_from("<I", symbols, k)[0]
        names.append(strings[at : strings.index(b"\0", at)].decode())
    kernels = {}
    entries = {name[len(".nv.info.") :] for name in by_name if name.startswith(".nv.info.")}
    info = by_name[".nv.info"]
    at = 0
    while at + 4 <= len(info):
        form, attribute, value = struct.unpack_from("<BBH", info, at)
        at += 4
        if form != 4:  # the value is in the header itself
            continue
        if attribute in (REGCOUNT, FRAME_SIZE, MIN_STACK_SIZE) and value == 8:
            symbol, number = struct.unpack_from("<II", info, at)
            name = names[symbol]
            if name in entries and ".text." + name in by_name:
                kernel = kernels.setdefault(name, {"registers": None, "stack": 0, "code": len(by_name[".text." + name])})
                if attribute == REGCOUNT:
                    kernel["registers"] = number
                else:
                    kernel["stack"] = max(kernel["stack"], number)
        at += value
    return kernels


def read_budget(path):
    lines = []
    with open(path, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                part, registers, stack, code = (field.strip() for field in line.split("|"))
                lines.append((part, int(registers), int(stack), int(code)))
    return lines


def main():
    budget = read_budget(sys.argv[1])
    used = set()
    complaints = []
    seen = 0
    for path in sys.argv[2:]:
        with open(path, "rb") as file:
            data = file.read()
        for elf in elf_files(data):
            # Flags hold the architecture: bits 8-15 in newer files, 0-7 in older ones.
            flags = struct.unpack_from("<I", elf, 48)[0]
            architecture = flags >> 8 & 0xFF if flags & 0xFF == 0 or flags >> 8 & 0xFF in range(50, 200) else flags & 0xFF
            for name, kernel in sorted(kernels_of(elf).items()):
                seen += 1
                line = next((entry for entry in budget if entry[0] in name), None)
                text = "sm_%d %4s registers %5d stack %7d bytes  %s" % (
                    architecture, kernel["registers"], kernel["stack"], kernel["code"], name)
                print(text)
                if line is None:
                    complaints.append("no budget: " + text)
                    continue
                used.add(line[0])
                if kernel["registers"] is None or kernel["registers"] > line[1]:
                    complaints.append("more than %d registers: %s" % (line[1], text))
                if kernel["stack"] > line[2]:
                    complaints.append("more than %d bytes of stack: %s" % (line[2], text))
                if kernel["code"] < line[3]:
                    complaints.append("less than %d bytes of code: %s" % (line[3], text))
    complaints += ["no kernel fits the line " + part for part, *_ in budget if part not in used]
    if seen == 0:
        complaints.append("no device code was found")
    for complaint in complaints:
        print(complaint)
    print("%d kernels, %d beyond budget" % (seen, len(complaints)))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

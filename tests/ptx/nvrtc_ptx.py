#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PTX of the kernels as NVRTC compiles them: with the prelude that fuller/engine/nvrtc.hpp gives it instead of the standard headers.

    nvrtc_ptx.py CHECKOUT OUT LIBNVRTC...

The library asks NVRTC for machine code; this asks for the PTX of the same source with the same options. The first of the libraries that
can be loaded is taken; with none of them the status is 77.
"""
import ctypes
import pathlib
import re
import sys

SPACE = "fuller::cuda::detail::"


def load(names):
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            pass
    print("skipped: there is none of " + ", ".join(names))
    sys.exit(77)


def kernel_names():
    names = [f"gram_kernel<{SPACE}FewTasks<{T}>>" for T in (2, 3, 4)] + [f"gram_kernel<{SPACE}ManyTasks>"]
    names += [f"call_kernel<fuller::cuda::{call}>" for call in ("RuleCall", "GateCall")]
    for element in ("float", "double", "fuller::cuda::Half", "fuller::cuda::BFloat16"):
        names += [f"norm_kernel<{SPACE}SliceNorms<{M}, {element}>>" for M in (2, 8)]
        names += [f"sum_kernel<{SPACE}WeightedSum<{element}>>", f"scale_kernel<{SPACE}SliceScales<{element}>>"]
    return [SPACE + name for name in names]


def strings(texts):
    return (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])


def main():
    checkout, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    nvrtc = load(sys.argv[3:])
    text = (checkout / "include/fuller/engine/nvrtc.hpp").read_text()
    source = re.search(r'nvrtc_prelude = R"\((.*?)\)";', text, re.S).group(1)
    replaced = re.findall(r'"([^"]+)"', re.search(r"replaced\{(.*?)\};", text, re.S).group(1))
    options = re.findall(r'"(--[^"]+)"', re.search(r"options\[\] = \{(.*?)\};", text, re.S).group(1))
    options += ["--gpu-architecture=compute_75", f"--include-path={checkout}/include", "--generate-line-info"]
    program = ctypes.c_void_p()
    size = ctypes.c_size_t()

    def expect(status, what):
        if status != 0:
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            nvrtc.nvrtcGetProgramLog(program, log)
            sys.exit(f"{what} ended with status {status}\n{log.value.decode()}")

    names = kernel_names()
    expect(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"fuller_kernels.cu", len(replaced),
                                    strings([""] * len(replaced)), strings(replaced)), "nvrtcCreateProgram")
    for name in names:
        expect(nvrtc.nvrtcAddNameExpression(program, name.encode()), name)
    expect(nvrtc.nvrtcCompileProgram(program, len(options), strings(options)), "nvrtcCompileProgram")
    expect(nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size)), "nvrtcGetPTXSize")
    ptx = ctypes.create_string_buffer(size.value)
    expect(nvrtc.nvrtcGetPTX(program, ptx), "nvrtcGetPTX")
    out.write_bytes(ptx.value)
    print(f"{len(names)} kernels by NVRTC, {size.value} bytes of PTX")


if __name__ == "__main__":
    main()

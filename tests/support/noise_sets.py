#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes small data sets of noise in the formats of CIFAR-100's binary version and of CelebA into a folder:

    tests/support/noise_sets.py FOLDER
"""
import pathlib
import random
import struct
import sys

SUPERCLASS_OF = [int(n) for n in """
     4  1 14  8  0  6  7  7 18  3  3 14  9 18  7 11  3  9  7 11  6 11  5 10  7  6 13 15  3 15  0 11  1 10 12 14 16  9 11  5
     5 19  8  8 15 13 14 17 18 10 16  4 17  4  2  0 17  4 18 17 10  3  2 12 12 16 12  1  9 19  2 10  0  1 16 12  9 13 15 13
    16 19  2  4  6 19  5  5  8 19 18  1  2 15  6  0 17  8 14 13""".split()]


def cifar100(path, of_each):
    """`of_each` pictures of each class, in a random order."""
    fine = [c for c in range(100) for _ in range(of_each)]
    random.shuffle(fine)
    path.write_bytes(b"".join(bytes([SUPERCLASS_OF[c], c]) + random.randbytes(3072) for c in fine))


def jpeg(across, down):
    """A grey JPEG of plain squares of 8 x 8 pixels: of each block's coefficients only the first is not zero. Its differences are
    coded by four bits for their length, and the end of a block by one."""
    def segment(marker, body):
        return bytes([0xff, marker]) + struct.pack(">H", len(body) + 2) + body

    bits, last = "", 0
    for _ in range(across * down):
        level = random.randrange(-64, 64)  # times 16, over 8: a brightness of 128 + 2 level
        difference, last = level - last, level
        length = abs(difference).bit_length()
        low = difference if difference >= 0 else difference + (1 << length) - 1
        bits += f"{length:04b}" + (f"{low:0{length}b}" if length else "") + "0"
    bits += "1" * (-len(bits) % 8)
    scan = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\x00")
    return (b"\xff\xd8" + segment(0xdb, b"\0" + bytes([16] * 64)) + segment(0xc0, struct.pack(">BHHB", 8, 8 * down, 8 * across, 1) + b"\1\x11\0")
            + segment(0xc4, b"\0" + bytes([0, 0, 0, 12] + [0] * 12) + bytes(range(12))) + segment(0xc4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
            + segment(0xda, b"\1\1\0\0\x3f\0") + scan + b"\xff\xd9")


def celeba(folder, train, test):
    """Faces of noise, each with forty attributes by chance."""
    names = [f"{i:06d}.jpg" for i in range(1, train + test + 1)]
    pictures = folder / "img_align_celeba"
    pictures.mkdir(parents=True, exist_ok=True)
    for name in names:
        (pictures / name).write_bytes(jpeg(22, 27))
    lines = [str(len(names)), " ".join(f"Attribute_{i}" for i in range(40))]
    lines += [name + " " + " ".join(random.choice(["1", "-1"]).rjust(2) for _ in range(40)) for name in names]
    (folder / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {0 if i < train else 2}\n" for i, n in enumerate(names)), encoding="utf-8")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    random.seed(1)
    cifar100(folder / "train.bin", 4)
    cifar100(folder / "test.bin", 3)
    celeba(folder, 32, 16)


if __name__ == "__main__":
    main()

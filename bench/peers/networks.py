# SPDX-License-Identifier: Apache-2.0
"""The networks of the step benchmark (bench/step/network.hpp) in plain PyTorch: conv, fusion, wide, narrow."""
import torch
from torch import nn

SIDE, BATCH, CLASSES = 48, 2, 4


def convolution(first, width):
    return nn.Conv2d(first, width, 3, padding=1)


def convolutions(first, width, count):
    layers = []
    for k in range(count):
        layers += [convolution(first if k == 0 else width, width), nn.ReLU()]
    return layers


class Network:
    """A shared network with a head for each task; `loudness` are factors that set the losses apart, so that weights matter."""

    def __init__(self, trunk, tasks, heavy):
        torch.manual_seed(1)
        self.branches, self.fusion, self.heads, self.targets = [], None, [], []
        if trunk in ("wide", "narrow"):
            self.make_linear(*((1024, 3, 64) if trunk == "wide" else (256, 6, 512)), tasks, heavy)
        else:
            self.make_convolutions(trunk == "fusion", tasks, heavy)
        self.loudness = [1 + 2.0 * k for k in range(tasks)]
        parts = [*self.branches, *([self.fusion] if self.fusion else []), self.trunk, self.last]
        self.shared_modules = parts
        self.shared = [parameter for part in parts for parameter in part.parameters()]
        self.parameters = self.shared + [parameter for head in self.heads for parameter in head.parameters()]

    def make_convolutions(self, fused, tasks, heavy):
        width = 32
        if fused:
            self.branches = [nn.Sequential(*convolutions(3, 12, 3)), nn.Sequential(*convolutions(3, 20, 3))]
            self.fusion = convolution(32, width)
        self.trunk = nn.Sequential(*(convolutions(width, width, 5) if fused else convolutions(3, width, 11)))
        self.inputs = [torch.randn(BATCH, 3, SIDE, SIDE) for _ in range(2 if fused else 1)]
        self.last = convolution(width, width)
        for k in range(tasks):
            self.heads.append(nn.Sequential(*convolutions(width, width, 3 if heavy else 1), nn.Conv2d(width, CLASSES, 1)))
            self.targets.append(torch.randn(BATCH, CLASSES, SIDE, SIDE) * (k + 1))

    def make_linear(self, width, layers, batch, tasks, heavy):
        self.trunk = nn.Sequential(*(layer for _ in range(1, layers) for layer in (nn.Linear(width, width), nn.ReLU())))
        self.last = nn.Linear(width, width)
        self.inputs = [torch.randn(batch, width)]
        hidden = width // 2 if heavy else width // 16
        for k in range(tasks):
            head = [layer for i in range(3 if heavy else 1) for layer in (nn.Linear(width if i == 0 else hidden, hidden), nn.ReLU())]
            self.heads.append(nn.Sequential(*head, nn.Linear(hidden, CLASSES)))
            self.targets.append(torch.randn(batch, CLASSES) * (k + 1))

    def to(self, device):
        """Parameters stay the same objects."""
        for part in (*self.shared_modules, *self.heads):
            part.to(device)
        self.inputs = [tensor.to(device) for tensor in self.inputs]
        self.targets = [tensor.to(device) for tensor in self.targets]
        return self

    def shared_output(self):
        if self.fusion is None:
            return self.last(self.trunk(self.inputs[0]))
        joined = torch.cat([branch(tensor) for branch, tensor in zip(self.branches, self.inputs)], 1)
        return self.last(self.trunk(torch.relu(self.fusion(joined))))

    def losses_of(self, of_tasks):
        """@param of_tasks  z, as each head reads it"""
        return [(head(z) - target).pow(2).mean() * loud
                for head, z, target, loud in zip(self.heads, of_tasks, self.targets, self.loudness)]

    def losses(self):
        z = self.shared_output()
        return z, self.losses_of([z] * len(self.heads))

    def drop_gradients(self):
        for parameter in self.parameters:
            parameter.grad = None

# SPDX-License-Identifier: Apache-2.0
"""The sparse encoder as a user of Python has it: layers of spconv; and the same network as dense convolutions with masks."""
import logging

import torch
from torch import nn
from torch.nn import functional

CHANNELS = (16, 32, 64, 128)
CUBE, COLUMN = (3, 3, 3), (1, 1, 3)


def norm(channels):
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


def padding_before(stage):
    return (1, 1, 0 if stage + 1 == len(CHANNELS) else 1)


def spconv_mended():
    """spconv's layers and version. 2.3.8 asks for a CUDA stream in its CPU backward, which has no use for it: it is given one."""
    logging.getLogger("torch.fx._symbolic_trace").setLevel(logging.ERROR)  # of a name that it imports
    import spconv
    import spconv.pytorch as layers
    from spconv.pytorch import ops

    if not torch.cuda.is_available():
        ops.get_current_stream = lambda: 0
    return layers, spconv.__version__


class SpconvNet(nn.Module):
    """VoxelNet, with the names of the reference model's parts."""

    def __init__(self):
        super().__init__()
        layers, _ = spconv_mended()
        self.tensor = layers.SparseConvTensor
        same = lambda i, o, key: layers.SubMConv3d(i, o, 3, bias=False, indice_key=key)
        self.parts = nn.ModuleDict({"input_conv": same(5, CHANNELS[0], "0"), "input_norm": norm(CHANNELS[0])})
        for stage, channels in enumerate(CHANNELS):
            if stage > 0:
                self.parts[f"down{stage}_conv"] = layers.SparseConv3d(CHANNELS[stage - 1], channels, 3, 2, padding=padding_before(stage), bias=False)
                self.parts[f"down{stage}_norm"] = norm(channels)
            for block in (1, 2):
                for k in (1, 2):
                    self.parts[f"stage{stage + 1}_block{block}-conv{k}"] = same(channels, channels, str(stage))
                    self.parts[f"stage{stage + 1}_block{block}-norm{k}"] = norm(channels)
        self.parts["output_conv"] = layers.SparseConv3d(CHANNELS[-1], CHANNELS[-1], COLUMN, (1, 1, 2), padding=0, bias=False)
        self.parts["output_norm"] = norm(CHANNELS[-1])

    def load(self, state):
        for name, module in self.parts.items():
            load(module, name, state, lambda weight, shape: weight.view(*shape[1:], shape[0]).permute(4, 0, 1, 2, 3))

    def layer(self, name, x):
        x = self.parts[f"{name}_conv"](x)
        return x.replace_feature(torch.relu_(self.parts[f"{name}_norm"](x.features)))

    def block(self, name, x):
        y = self.parts[f"{name}-conv1"](x)
        y = y.replace_feature(torch.relu_(self.parts[f"{name}-norm1"](y.features)))
        y = self.parts[f"{name}-conv2"](y)
        return y.replace_feature(torch.relu(self.parts[f"{name}-norm2"](y.features) + x.features))

    def forward(self, features, sites, shape):
        x = self.layer("input", self.tensor(features, sites, shape, 1))
        for stage in range(len(CHANNELS)):
            if stage > 0:
                x = self.layer(f"down{stage}", x)
            x = self.block(f"stage{stage + 1}_block2", self.block(f"stage{stage + 1}_block1", x))
        dense = self.layer("output", x).dense()
        return dense.permute(0, 1, 4, 2, 3).flatten(1, 2)

    def gradients(self):
        """By the reference model's names, in its layout."""
        found = {}
        for name, module in self.parts.items():
            for key, parameter in module.named_parameters():
                gradient = parameter.grad
                found[f"{name}.{key}".replace("-", ".")] = gradient if gradient.dim() == 1 else gradient.permute(1, 2, 3, 4, 0).flatten(0, 3)
        return found


def load(module, name, state, weight_of):
    with torch.no_grad():
        for key, own in [*module.named_parameters(), *module.named_buffers()]:
            if key == "num_batches_tracked":
                continue
            value = state[f"{name}.{key}".replace("-", ".")]
            own.copy_(value if own.dim() == 1 else weight_of(value, own.shape))


class DenseNet:
    """The same in inference, as convolutions of the whole grid; a cell that is not active in the sparse network is zero here."""

    def __init__(self, state):
        self.state = state

    def weight(self, name, kernel, channels):
        return self.state[f"{name}.weight"].view(*kernel, channels, -1).permute(4, 3, 0, 1, 2).contiguous()

    def normed(self, name, x):
        s = self.state
        return functional.batch_norm(x, s[f"{name}.running_mean"], s[f"{name}.running_var"], s[f"{name}.weight"], s[f"{name}.bias"], False, 0, 1e-3)

    def prepare(self):
        self.weights = {}
        for name in self.state:
            if name.endswith("conv.weight") or name.endswith(("conv1.weight", "conv2.weight")):
                kernel = COLUMN if name.startswith("output") else CUBE
                rows = self.state[name].shape[0] // (kernel[0] * kernel[1] * kernel[2])
                self.weights[name[: -len(".weight")]] = self.weight(name[: -len(".weight")], kernel, rows)
        return self

    def layer(self, x, active, conv, norm_name, **how):
        return self.normed(norm_name, functional.conv3d(x, self.weights[conv], **how)) * active

    def __call__(self, x, active):
        x = self.layer(x, active, "input_conv", "input_norm", padding=1).relu_()
        for stage in range(len(CHANNELS)):
            if stage > 0:
                how = {"stride": 2, "padding": padding_before(stage)}
                active = reached(active, CUBE, **how)
                x = self.layer(x, active, f"down{stage}_conv", f"down{stage}_norm", **how).relu_()
            for block in (1, 2):
                name = f"stage{stage + 1}_block{block}"
                y = self.layer(x, active, f"{name}.conv1", f"{name}.norm1", padding=1).relu_()
                x = (self.layer(y, active, f"{name}.conv2", f"{name}.norm2", padding=1) + x).relu_()
        how = {"stride": (1, 1, 2), "padding": 0}
        active = reached(active, COLUMN, **how)
        x = self.layer(x, active, "output_conv", "output_norm", **how).relu_()
        return x.permute(0, 1, 4, 2, 3).flatten(1, 2)


def reached(active, kernel, stride, padding):
    """Where a strided convolution reads an active cell."""
    return functional.max_pool3d(active, kernel, stride, padding)


def dense_grid(features, sites, shape):
    """The voxels as a grid [1, C, X, Y, Z], and where it is active [1, 1, X, Y, Z]."""
    b, x, y, z = sites.unbind(1)
    grid = torch.zeros(1, *shape, features.shape[1])
    grid[b, x, y, z] = features
    active = torch.zeros(1, *shape, 1)
    active[b, x, y, z] = 1
    return grid.permute(0, 4, 1, 2, 3).contiguous(), active.permute(0, 4, 1, 2, 3).contiguous()

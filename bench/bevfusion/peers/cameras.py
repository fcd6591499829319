# SPDX-License-Identifier: Apache-2.0
"""The camera branch as a user of Python has it: torchvision's Swin-T, and BEVFusion's view transform in plain PyTorch."""
import re
from pathlib import Path

import torch
from torch import nn

NAMES = Path(__file__).resolve().parents[3] / "examples/bevfusion/weights/torchvision_swin.names"


class SwinMaps(nn.Module):
    """torchvision's swin_t without its classifier and without stochastic depth: the normalised maps of stages 2, 3 and 4, as detectors take them."""

    def __init__(self):
        super().__init__()
        from torchvision.models.swin_transformer import SwinTransformer

        network = SwinTransformer([4, 4], 96, [2, 2, 6, 2], [3, 6, 12, 24], [7, 7], stochastic_depth_prob=0.0)
        self.features = network.features
        self.norms = nn.ModuleDict({"3": nn.LayerNorm(192), "5": nn.LayerNorm(384), "7": network.norm})

    def forward(self, pictures):
        maps = []
        for k, layer in enumerate(self.features):
            pictures = layer(pictures)
            if str(k) in self.norms:
                maps.append(self.norms[str(k)](pictures).permute(0, 3, 1, 2).contiguous())
        return maps

    def names(self):
        """From the reference model's names of parameters to parameters here, by the map that its program reads."""
        rules = [line.split() for line in NAMES.read_text().splitlines() if line.strip() and not line.startswith("#")]
        found = {}
        for own, parameter in self.named_parameters():
            if own.startswith("norms."):
                stage = {"3": 2, "5": 3, "7": 4}[own.split(".")[1]]
                found[f"stage{stage}_norm.{own.split('.')[2]}"] = parameter
                continue
            for theirs, ours in rules:
                match = re.fullmatch(re.escape(theirs).replace(r"\*", "(.*)"), own)
                if match:
                    found[filled(ours, match.groups()).removeprefix("images.swin.")] = parameter
                    break
        return found

    def load(self, state):
        with torch.no_grad():
            for name, parameter in self.names().items():
                parameter.copy_(state[name])


def filled(pattern, parts):
    """The pattern with its stars replaced; `*+1` is a number and one more."""
    parts = iter(parts)
    return re.sub(r"\*(\+1)?", lambda star: str(int(next(parts)) + 1) if star[1] else next(parts), pattern)


class ViewTransform(nn.Module):
    """BEVFusion's LSSTransform: a volume of depth by context, the frustum's places, and the sum of what falls into a cell.

    Its published sum is a CUDA kernel. Here it is what PyTorch has for it: `index_add_`, or LSS's own cumulative sum over sorted
    rows ("cumsum"). Places are floored, where BEVFusion cuts the fraction off (its cells at the lower edges are two wide).
    """

    DEPTHS, CHANNELS, RANGE, CELL, LOWEST, HIGHEST = 59, 80, 51.2, 0.4, -10.0, 10.0
    SIZE = (256, 704)

    def __init__(self, inputs, pooling):
        super().__init__()
        self.cells = round(2 * self.RANGE / self.CELL)
        self.pool = {"index_add": self.index_add, "cumsum": self.cumsum}[pooling]
        self.lift = nn.Conv2d(inputs, self.DEPTHS + self.CHANNELS, 1)
        self.convolve = nn.ModuleList()
        for stride in (1, 2, 1):
            self.convolve.append(nn.ModuleDict({"conv": nn.Conv2d(self.CHANNELS, self.CHANNELS, 3, stride, 1, bias=False),
                                                "norm": nn.BatchNorm2d(self.CHANNELS)}))

    def frustum(self, rows, columns, kind):
        depth = torch.arange(1, 1 + self.DEPTHS, dtype=kind).view(-1, 1, 1).expand(-1, rows, columns)
        u = torch.linspace(0, self.SIZE[1] - 1, columns, dtype=kind).view(1, 1, columns).expand_as(depth)
        v = torch.linspace(0, self.SIZE[0] - 1, rows, dtype=kind).view(1, rows, 1).expand_as(depth)
        return torch.stack((u, v, depth), -1)

    def places(self, rows, columns, geometry):
        """BEVFusion's get_geometry, in the type of the matrices: [B, N, D, H, W, 3]."""
        intrinsics, to_lidar, augmented, moved = (geometry[name] for name in ("intrinsics", "camera_to_lidar", "image_augmentation", "lidar_augmentation"))
        batch, cameras = intrinsics.shape[:2]
        at = lambda matrix: matrix.view(batch, -1, 1, 1, 1, 3, 3)
        offset = lambda matrix: matrix[..., :3, 3].view(batch, -1, 1, 1, 1, 3)
        points = self.frustum(rows, columns, intrinsics.dtype) - offset(augmented)
        points = at(torch.inverse(augmented[..., :3, :3])).matmul(points.unsqueeze(-1))
        points = torch.cat((points[..., :2, :] * points[..., 2:3, :], points[..., 2:3, :]), -2)
        combined = to_lidar[..., :3, :3].matmul(torch.inverse(intrinsics))
        points = at(combined).matmul(points).squeeze(-1) + offset(to_lidar)
        points = at(moved[:, :3, :3]).matmul(points.unsqueeze(-1)).squeeze(-1)
        return points + offset(moved)

    def forward(self, features, geometry):
        batch, cameras = geometry["intrinsics"].shape[:2]
        rows, columns = features.shape[2:]
        x = self.lift(features)
        depth = x[:, : self.DEPTHS].softmax(1)
        x = depth.unsqueeze(1) * x[:, self.DEPTHS :].unsqueeze(2)
        x = x.view(batch, cameras, self.CHANNELS, self.DEPTHS, rows, columns).permute(0, 1, 3, 4, 5, 2).reshape(-1, self.CHANNELS)
        with torch.no_grad():
            points = self.places(rows, columns, geometry).view(-1, 3)
            cell = torch.div(points[:, :2] + self.RANGE, self.CELL).floor().long()
            sample = torch.arange(batch).repeat_interleave(len(points) // batch)
            inside = ((cell >= 0) & (cell < self.cells)).all(1) & (points[:, 2] >= self.LOWEST) & (points[:, 2] < self.HIGHEST)
            rank = ((sample * self.cells + cell[:, 0]) * self.cells + cell[:, 1])[inside]
        grid = self.pool(x[inside], rank, batch * self.cells**2)
        x = grid.view(batch, self.cells, self.cells, self.CHANNELS).permute(0, 3, 1, 2).contiguous()
        for block in self.convolve:
            x = block["norm"](block["conv"](x)).relu_()
        return x

    @staticmethod
    def index_add(x, rank, cells):
        return x.new_zeros(cells, x.shape[1]).index_add(0, rank, x)

    @staticmethod
    def cumsum(x, rank, cells):
        rank, order = rank.sort()
        last = torch.ones(len(rank), dtype=torch.bool)
        last[:-1] = rank[1:] != rank[:-1]
        return x.new_zeros(cells, x.shape[1]).index_put((rank[last],), QuickCumsum.apply(x[order], last))


class QuickCumsum(torch.autograd.Function):
    """LSS's: the sums of runs of rows, each of which ends where `last` is set."""

    @staticmethod
    def forward(context, x, last):
        context.save_for_backward(last)
        x = x.cumsum(0)[last]
        return torch.cat((x[:1], x[1:] - x[:-1]))

    @staticmethod
    def backward(context, gradient):
        (last,) = context.saved_tensors
        run = last.cumsum(0)
        run[last] -= 1
        return gradient[run], None

# SPDX-License-Identifier: Apache-2.0
"""Writes python_state.bin, what tests read of Python's torch.save: run in this folder with PyTorch (2.11 wrote it)."""
import torch
layer = torch.nn.Linear(3, 2)
with torch.no_grad():
    layer.weight.copy_(torch.arange(6.0).reshape(2, 3) / 4)
    layer.bias.copy_(torch.tensor([-1.0, 2.5]))
torch.save({"model": layer.state_dict(), "epoch": 7, "loss": 0.5, "view": torch.arange(10.0)[2:8].reshape(2, 3).t(),
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "betas": (0.9, 0.99)},
            "halves": torch.tensor([0.5, -2.0]).half(), "counts": torch.tensor([1, -2]), "flags": torch.tensor([True, False]),
            "parameter": torch.nn.Parameter(torch.ones(2)), "none": None, "empty": torch.zeros(0, 4)},
           "python_state.bin")

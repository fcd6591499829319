# SPDX-License-Identifier: Apache-2.0
"""What torchvision's Swin block makes of maps that are no larger than its window, and of others, for swin_shift_test.cpp.

    pip install torch torchvision && python3 torchvision_swin.py > torchvision_swin.json

Made with torchvision 0.14.1. Weights and tokens are sines, so that the test can make the same.
"""
import json

import torch
from torchvision.models.swin_transformer import SwinTransformerBlock

CHANNELS, HEADS, WINDOW = 4, 2, 4
ORDER = ["norm1.weight", "norm1.bias", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight", "attn.proj.bias",
         "attn.relative_position_bias_table", "norm2.weight", "norm2.bias", "mlp.0.weight", "mlp.0.bias", "mlp.3.weight",
         "mlp.3.bias"]


def sines(shape, start):
    count = torch.Size(shape).numel()
    return torch.sin(start + 0.37 * torch.arange(count, dtype=torch.float64)).reshape(shape)


cases = []
for height, width in [(4, 4), (3, 2), (4, 11), (11, 3), (8, 11)]:
    block = SwinTransformerBlock(CHANNELS, HEADS, [WINDOW, WINDOW], [WINDOW // 2, WINDOW // 2], mlp_ratio=2.0).double().eval()
    parameters = dict(block.named_parameters())
    assert sorted(parameters) == sorted(ORDER)
    with torch.no_grad():
        for number, name in enumerate(ORDER):
            parameters[name].copy_(sines(parameters[name].shape, 1 + 10 * number))
        tokens = sines((1, height, width, CHANNELS), 0.5)
        cases.append({"height": height, "width": width, "second_channel": block(tokens)[0, :, :, 1].flatten().tolist()})
print(json.dumps({"channels": CHANNELS, "heads": HEADS, "window": WINDOW, "mlp_ratio": 2, "cases": cases}, indent=1))

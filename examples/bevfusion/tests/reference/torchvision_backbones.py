# SPDX-License-Identifier: Apache-2.0
"""What torchvision's ResNet-50 and EfficientNet-B0 make of two pictures, evaluated and trained, for image_backbones_test.cpp.

    pip install torch torchvision && python3 torchvision_backbones.py > torchvision_backbones.json

Made with torchvision 0.26.0. Weights, pictures and cotangents are noise of whole numbers, so that the test can make the same; maps, gradients
and running statistics are kept as their products with such noise. In training EfficientNet drops no path, which is random; what it would
drop stands beside it.
"""
import json
import math

import torch
from torchvision.models import efficientnet_b0, resnet50

PICTURES = (2, 3, 40, 56)  # no multiples of 16
NUMBER_OF_PICTURES, NUMBER_OF_COTANGENTS, NUMBER_OF_PRODUCTS = 1000, 2000, 3000


def noise(shape, number):
    """In (-1/2, 1/2): the cubes of whole numbers modulo the prime 65537."""
    step = torch.arange(torch.Size(shape).numel()) + 1 + 7919 * number
    return ((step * step % 65537 * step % 65537).double() / 65537 - 0.5).reshape(shape)


def fill(net):
    """By kind: convolutions scaled for their inputs, other weights and variances about 1, biases and means about 0."""
    with torch.no_grad():
        for number, (name, value) in enumerate(net.state_dict().items()):
            if value.dim() == 4:
                value.copy_(noise(value.shape, number) * math.sqrt(24 / value[0].numel()))
            elif name.endswith(("weight", "running_var")):
                value.copy_(1 + noise(value.shape, number))
            elif value.dim() == 1:
                value.copy_(noise(value.shape, number) / 5)


def product(value, number):
    """With noise of another number than a weight's own, along which normalisation leaves no gradient."""
    return float((value.detach() * noise(value.shape, NUMBER_OF_PRODUCTS + number)).sum())


def described(net, maps_of, drops):
    fill(net.double())
    pictures = 4 * noise(PICTURES, NUMBER_OF_PICTURES)
    with torch.no_grad():
        evaluated = [product(one, level) for level, one in enumerate(maps_of(net.eval(), pictures))]
    maps = maps_of(net.train(), pictures)
    trained = [product(one, level) for level, one in enumerate(maps)]
    torch.autograd.backward(maps, [noise(one.shape, NUMBER_OF_COTANGENTS + level) for level, one in enumerate(maps)])
    parameters = dict(net.named_parameters())
    state = []
    for number, (name, value) in enumerate(net.state_dict().items()):
        entry = {"name": name, "sizes": list(value.shape)}
        if name in parameters and parameters[name].grad is not None:
            entry["gradient"] = product(parameters[name].grad, number)
        elif name.endswith(("running_mean", "running_var")):
            entry["after"] = product(value, number)
        state.append(entry)
    return {"maps": [list(one.shape) for one in maps], "evaluated": evaluated, "trained": trained, "drops": drops, "state": state}


def resnet_maps(net, pictures):
    x = net.maxpool(net.relu(net.bn1(net.conv1(pictures))))
    maps = []
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        maps.append(x)
    return maps


def efficientnet_maps(net, pictures):
    maps = []
    for k, layer in enumerate(net.features):
        pictures = layer(pictures)
        if k in (2, 3, 5, 8):
            maps.append(pictures)
    return maps


def main():
    drops = [block.stochastic_depth.p for stage in efficientnet_b0(weights=None).features[1:8] for block in stage]
    nets = {"resnet50": described(resnet50(weights=None), resnet_maps, []),
            "efficientnet_b0": described(efficientnet_b0(weights=None, stochastic_depth_prob=0.0), efficientnet_maps, drops)}
    parts = []
    for name, net in nets.items():
        state = ",\n".join(json.dumps(entry) for entry in net.pop("state"))
        parts.append(f'"{name}": {json.dumps(net)[:-1]}, "state": [\n{state}\n]}}')
    print("{" + ",\n".join(parts) + "}")


if __name__ == "__main__":
    main()

"""The nets of memory.py in torch, with torch's own ways to recompute."""
from __future__ import annotations

import math

import torch
from memory_nets import DEPTH, UNITS
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential


class TorchEncoder(nn.Module):
    def __init__(self, units: int):
        super().__init__()
        self.qkv = nn.Linear(units, 3 * units)
        self.up, self.down = nn.Linear(units, 4 * units), nn.Linear(4 * units, units)
        self.norm1, self.norm2, self.scale = nn.LayerNorm(units), nn.LayerNorm(units), units ** -0.5

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, 2)
        x = self.norm1(x + torch.softmax(q @ k.transpose(1, 2) * self.scale, 2) @ v)
        return self.norm2(x + self.down(torch.relu(self.up(x))))


class TorchBottleneck(nn.Module):
    """He et al.'s v1 block as MXNet's zoo has it: the stride in the first 1x1."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        inner = channels // 4
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, stride), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, inner, 3, 1, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(),
            nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))
        self.skip = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)) \
            if stride > 1 or inputs != channels else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


def torch_blocks(name: str) -> nn.Sequential:
    """The net as a sequence of blocks: what checkpointing is given."""
    if name == "mlp":
        units = UNITS[name]
        return nn.Sequential(*(nn.Sequential(nn.Linear(units, units), nn.Tanh()) for _ in range(DEPTH[name])))
    if name == "transformer":
        return nn.Sequential(*(TorchEncoder(UNITS[name]) for _ in range(DEPTH[name])))
    blocks: list = [nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
                                  nn.MaxPool2d(3, 2, 1))]
    inputs = 64
    for stage, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            blocks.append(TorchBottleneck(inputs, 256 * 2 ** stage, 2 if stage and not block else 1))
            inputs = 256 * 2 ** stage
    return nn.Sequential(*blocks, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, 10)))


def torch_forward(name: str, how: str):
    """(parameters' module, forward).  how: "eager", "checkpoint" (sqrt(n) segments) or "compile:BUDGET"."""
    net = torch_blocks(name)
    if how == "checkpoint":
        return net, lambda x: checkpoint_sequential(net, round(math.sqrt(len(net))), x, use_reentrant=False)
    if how.startswith("compile"):
        import torch._functorch.config
        torch._functorch.config.activation_memory_budget = float(how.split(":")[1])
        return net, torch.compile(net)
    return net, net

"""The nets of memory.py in torch, with torch's own ways to recompute."""
from __future__ import annotations

import math

import torch
from memory_nets import CLASSES, DEPTH, SHAPES, STAGES, UNET_CHANNELS, UNITS
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
            nn.Conv2d(inputs, inner, 1, stride), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, inner, 3, 1, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))
        self.skip = nn.Sequential(nn.Conv2d(inputs, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)) \
            if stride > 1 or inputs != channels else nn.Identity()

    def forward(self, x):
        return torch.relu_(self.body(x) + self.skip(x))


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int):
        super().__init__()
        self.new = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), nn.Conv2d(inputs, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(inplace=True), nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False))

    def forward(self, x):
        return torch.cat([x, self.new(x)], 1)


class Level(nn.Module):
    """One level of the U-Net, from (x, skips) to the same.   first: what comes before the two convolutions.
    skips: "push" what it gives for later, "pop" what an earlier level gave, or neither."""

    def __init__(self, inputs: int, channels: int, first: nn.Module, skips: str = ""):
        super().__init__()
        self.first, self.skips = first, skips
        self.body = nn.Sequential(*(layer for count in (inputs, channels) for layer in (
            nn.Conv2d(count, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))))

    def forward(self, carried):
        x, *skips = carried if isinstance(carried, tuple) else (carried,)
        x = self.first(x)
        x = self.body(torch.cat([skips.pop(), x], 1) if self.skips == "pop" else x)
        return (x, *skips, x) if self.skips == "push" else (x, *skips)


class LstmStep(nn.Module):
    """One step in time of all layers: (input, total, states...)."""

    def __init__(self, cells: nn.ModuleList, t: int):
        super().__init__()
        self.cells, self.t = cells, t

    def forward(self, carried):
        x, total, *states = carried if isinstance(carried, tuple) else (carried, None)
        now = x[self.t]
        states = states or [torch.zeros_like(now)] * (2 * len(self.cells))
        for i, cell in enumerate(self.cells):
            now, states[2 * i + 1] = cell(now, (states[2 * i], states[2 * i + 1]))
            states[2 * i] = now
        return (x, now if total is None else total + now, *states)


class Pick(nn.Module):
    """One of what is carried, through a module."""

    def __init__(self, index: int, then: nn.Module):
        super().__init__()
        self.index, self.then = index, then

    def forward(self, carried):
        return self.then(carried[self.index])


def stem() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
                         nn.MaxPool2d(3, 2, 1))


def resnet(counts: tuple) -> list:
    blocks, inputs = [stem()], 64
    for stage, count in enumerate(counts):
        for block in range(count):
            blocks.append(TorchBottleneck(inputs, 256 * 2 ** stage, 2 if stage and not block else 1))
            inputs = 256 * 2 ** stage
    return [*blocks, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))]


def densenet121() -> list:
    blocks, inputs, growth = [stem()], 64, 32
    for stage, count in enumerate((6, 12, 24, 16)):
        for _ in range(count):
            blocks.append(DenseLayer(inputs, growth))
            inputs += growth
        last = stage == 3
        blocks.append(nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(inplace=True),
            *([nn.AvgPool2d(7), nn.Flatten(), nn.Linear(inputs, CLASSES)] if last else
              [nn.Conv2d(inputs, inputs // 2, 1, bias=False), nn.AvgPool2d(2, 2)])))
        inputs //= 2
    return blocks


def unet() -> list:
    blocks: list = []
    inputs = 3
    for channels in UNET_CHANNELS:
        blocks.append(Level(inputs, channels, nn.MaxPool2d(2, 2) if blocks else nn.Identity(),
                            "push" if channels != UNET_CHANNELS[-1] else ""))
        inputs = channels
    for channels in UNET_CHANNELS[-2::-1]:
        blocks.append(Level(2 * channels, channels, nn.ConvTranspose2d(inputs, channels, 2, 2), "pop"))
        inputs = channels
    return [*blocks, Pick(0, nn.Conv2d(inputs, CLASSES, 1))]


def torch_blocks(name: str) -> nn.Sequential:
    """The net as a sequence of blocks: what checkpointing is given."""
    if name == "mlp":
        units = UNITS[name]
        return nn.Sequential(*(nn.Sequential(nn.Linear(units, units), nn.Tanh()) for _ in range(DEPTH[name])))
    if name == "transformer":
        return nn.Sequential(*(TorchEncoder(UNITS[name]) for _ in range(DEPTH[name])))
    if name == "lstm":
        cells = nn.ModuleList(nn.LSTMCell(UNITS[name], UNITS[name]) for _ in range(DEPTH[name]))
        return nn.Sequential(*(LstmStep(cells, t) for t in range(SHAPES[name][0])), Pick(1, nn.Identity()))
    made = {"densenet121": densenet121, "unet": unet}
    return nn.Sequential(*(made[name]() if name in made else resnet(STAGES[name])))


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

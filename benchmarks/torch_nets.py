"""The benchmarks' nets in PyTorch, as a careful PyTorch user writes them: channels-last, fused SGD, SDPA attention."""
from __future__ import annotations

import cases
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def mlp(case):
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                         nn.Linear(512, case.classes))


def lenet(case):
    return nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, case.classes))


class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x), inplace=True)


def norm_relu(channels):
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)


def shortcut(inside, outside, stride):
    if inside == outside and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))


def resnet20(case):
    layers, inside = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), *norm_relu(16)], 16
    for channels in (16, 32, 64):
        for i in range(3):
            stride = 2 if i == 0 and channels > 16 else 1
            body = nn.Sequential(nn.Conv2d(inside, channels, 3, stride, 1, bias=False), *norm_relu(channels),
                                 nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
            layers.append(Residual(body, shortcut(inside, channels, stride)))
            inside = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, case.classes))


def resnet50(case):
    """The model zoo's resnet50_v1: the stride is in the first 1x1 convolution, and the 1x1 ones have biases."""
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), *norm_relu(64), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for stage, (count, channels) in enumerate(((3, 256), (4, 512), (6, 1024), (3, 2048))):
        for i in range(count):
            stride, narrow = 2 if i == 0 and stage > 0 else 1, channels // 4
            body = nn.Sequential(nn.Conv2d(inside, narrow, 1, stride), *norm_relu(narrow),
                                 nn.Conv2d(narrow, narrow, 3, 1, 1, bias=False), *norm_relu(narrow),
                                 nn.Conv2d(narrow, channels, 1), nn.BatchNorm2d(channels))
            layers.append(Residual(body, shortcut(inside, channels, stride)))
            inside = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, case.classes))


class LanguageModel(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.embed = nn.Embedding(case.tokens, cases.LSTM_UNITS)
        self.rnn = nn.LSTM(cases.LSTM_UNITS, cases.LSTM_UNITS, cases.LSTM_LAYERS, batch_first=True)
        self.decoder = nn.Linear(cases.LSTM_UNITS, case.classes)

    def forward(self, tokens):
        return self.decoder(self.rnn(self.embed(tokens))[0])


class EncoderLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.out = nn.Linear(cases.UNITS, 3 * cases.UNITS), nn.Linear(cases.UNITS, cases.UNITS)
        self.ffn1, self.ffn2 = nn.Linear(cases.UNITS, cases.HIDDEN), nn.Linear(cases.HIDDEN, cases.UNITS)
        self.norm1, self.norm2 = nn.LayerNorm(cases.UNITS), nn.LayerNorm(cases.UNITS)

    def forward(self, x):  # x: [N, T, C]
        q, k, v = (y.unflatten(2, (cases.HEADS, -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, 2))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.norm1(x + self.out(y))
        return self.norm2(x + self.ffn2(F.relu(self.ffn1(x))))


class Transformer(nn.Module):
    def __init__(self, case):
        super().__init__()
        self.embed = nn.Embedding(case.tokens, cases.UNITS)
        self.position = nn.Parameter(0.02 * torch.randn(1, case.shape[0], cases.UNITS))
        self.layers = nn.Sequential(*(EncoderLayer() for _ in range(cases.ENCODER_LAYERS)))
        self.decoder = nn.Linear(cases.UNITS, case.classes)

    def forward(self, tokens):
        return self.decoder(self.layers(self.embed(tokens) + self.position))


NETS = {"mlp": mlp, "lenet": lenet, "resnet20": resnet20, "resnet50": resnet50, "lstm": LanguageModel,
        "transformer": Transformer}


def batch(case):
    rng = np.random.RandomState(0)
    if case.tokens:
        x = torch.from_numpy(rng.randint(0, case.tokens, (case.batch, *case.shape)))
        return x, torch.from_numpy(rng.randint(0, case.classes, tuple(x.shape)))
    x = torch.from_numpy(rng.uniform(-1, 1, (case.batch, *case.shape)).astype("float32"))
    return x, torch.from_numpy(rng.randint(0, case.classes, case.batch))


def training_step(name: str, compiled: bool):
    """(function that trains one step, function that tells)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    case = cases.CASES[name]
    net, (x, y) = NETS[name](case), batch(case)
    if len(case.shape) == 3:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), 1e-3, momentum=0.9, fused=True)

    def forward(x, y):
        return F.cross_entropy(net(x).flatten(0, -2), y.flatten())

    run = torch.compile(forward) if compiled else forward

    def step():
        optimizer.zero_grad(set_to_none=True)
        run(x, y).backward()
        optimizer.step()

    return step, lambda: {"parameters": sum(p.numel() for p in net.parameters())}

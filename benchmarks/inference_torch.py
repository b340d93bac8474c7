"""The nets of inference_sequence.py in torch, for torch itself and (by its exporter) for ONNX Runtime."""
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class LanguageModel(nn.Module):
    def __init__(self, cell, vocabulary: int, size: int):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(vocabulary, size), cell(size, size, 2)
        self.decode = nn.Linear(size, vocabulary)

    def forward(self, tokens):
        return self.decode(self.rnn(self.embed(tokens))[0])


class EncoderLayer(nn.Module):
    def __init__(self, size: int, hidden: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.project = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.up, self.down = nn.Linear(size, hidden), nn.Linear(hidden, size)
        self.norms = nn.ModuleList(nn.LayerNorm(size) for _ in range(2))

    def forward(self, x, mask):
        n, t, c = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attention = torch.softmax(q @ k.transpose(2, 3) * (c // self.heads) ** -0.5 + mask, -1)
        x = self.norms[0](x + self.project((attention @ v).transpose(1, 2).reshape(n, t, c)))
        return self.norms[1](x + self.down(F.gelu(self.up(x))))


class BERT(nn.Module):
    def __init__(self, layers: int, size: int, hidden: int, heads: int, vocabulary: int, longest: int):
        super().__init__()
        self.word, self.kind = nn.Embedding(vocabulary, size), nn.Embedding(2, size)
        self.position, self.norm = nn.Parameter(torch.randn(longest, size)), nn.LayerNorm(size)
        self.layers = nn.ModuleList(EncoderLayer(size, hidden, heads) for _ in range(layers))
        self.pool = nn.Linear(size, size)

    def forward(self, tokens, kinds, lengths):
        x = self.norm(self.word(tokens) + self.kind(kinds) + self.position[:tokens.shape[1]])
        mask = ((torch.arange(tokens.shape[1])[None] < lengths[:, None]).float() - 1)[:, None, None] * 1e9
        for layer in self.layers:
            x = layer(x, mask)
        return x, torch.tanh(self.pool(x[:, 0]))


class Unit(nn.Module):
    """A residual unit of ResNet-18 v1."""

    def __init__(self, inner: int, filters: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(inner, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters),
                                  nn.ReLU(), nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters))
        self.side = nn.Sequential(nn.Conv2d(inner, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)) \
            if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.body(x) + self.side(x))


class SSD(nn.Module):
    """Class probabilities and offsets: the peers are spared the priors, the decoding and the suppression."""

    def __init__(self, scales, classes: int, width: int):
        super().__init__()
        self.classes = classes
        self.body = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
            *(Unit(*sizes) for sizes in ((64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2),
                                         (256, 256, 1), (256, 512, 2), (512, 512, 1))))
        self.extras, self.heads, inner = nn.ModuleList(), nn.ModuleList(), 512
        for i, (sizes, ratios) in enumerate(scales):
            if i:
                self.extras.append(nn.Sequential(nn.Conv2d(inner, width, 1), nn.ReLU(),
                                                 nn.Conv2d(width, 2 * width, 3, 2, 1), nn.ReLU()))
                inner = 2 * width
            anchors = len(sizes) + len(ratios) - 1
            self.heads.append(nn.ModuleList(nn.Conv2d(inner, anchors * n, 3, padding=1) for n in (classes + 1, 4)))

    def forward(self, x):
        x = self.body(x)
        scores, offsets = [], []
        for i, (score, offset) in enumerate(self.heads):
            x = self.extras[i - 1](x) if i else x
            scores.append(score(x).permute(0, 2, 3, 1).flatten(1))
            offsets.append(offset(x).permute(0, 2, 3, 1).flatten(1))
        scores = torch.cat(scores, 1).reshape(len(x), -1, self.classes + 1)
        return torch.softmax(scores, 2), torch.cat(offsets, 1)

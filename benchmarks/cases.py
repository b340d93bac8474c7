"""The nets of the training benchmarks, as figures that both descriptions (gluon_nets.py, torch_nets.py) read."""
from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """batch: samples (sequences) a step.   shape: of one sample's input.   classes: of the softmax.
    tokens: None for float inputs, else the size of the vocabulary (inputs and labels are token ids)."""

    batch: int
    shape: tuple
    classes: int
    tokens: int | None = None


LSTM_UNITS, LSTM_LAYERS = 200, 2
UNITS, HEADS, HIDDEN, ENCODER_LAYERS = 512, 8, 2048, 6  # Transformer base; dropout is off: peers draw other masks

CASES = {
    "mlp": Case(64, (784,), 10),
    "lenet": Case(64, (1, 28, 28), 10),
    "resnet20": Case(32, (3, 32, 32), 10),
    "resnet50": Case(8, (3, 224, 224), 1000),
    "lstm": Case(20, (35,), 10000, tokens=10000),
    "transformer": Case(8, (64,), 8000, tokens=8000),
}

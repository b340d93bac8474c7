"""What a task supplies to the loops of train.py and evaluate.py; everything else they do themselves."""
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .schema import Recipe

TRAIN, VALID = "train", "valid"


@dataclass(frozen=True)
class Batch:
    """Arrays of one step, as numpy; `size` is what speed and the loss's mean are counted in."""
    data: np.ndarray
    label: np.ndarray
    size: int


def generator(*seeds: int) -> np.random.Generator:
    """Randomness that is a function of (seed, epoch, batch), not of what was drawn before: so a run resumes exactly."""
    return np.random.default_rng(np.random.SeedSequence(seeds))


class Task:
    """Supplies data, net, loss and measures.

    A measure is a pair (sum, count) of plain numbers, so that measures of batches add up; `report` turns the sums into
    what is shown.  `facts` is what the net needs to know of the data (classes, shapes, vocabulary), in plain JSON; it
    is kept in the run folder, so a trained net is rebuilt without the data.
    """
    measures: ClassVar[dict[str, bool]]  # name: is larger better; the first decides which checkpoint is `best`
    unit = "examples"                    # what Batch.size counts
    batch_axis = 0                       # the axis of a batch that is divided among devices

    def __init__(self, recipe: Recipe, facts: dict[str, Any] | None = None):
        self.recipe = recipe
        self.facts = facts or {}

    @classmethod
    def better(cls, name: str, value: float, than: float | None) -> bool:
        return than is None or (value > than if cls.measures[name] else value < than)

    def open(self, synthetic: bool = False) -> None:
        """Reads the data (or makes a little that looks like it) and sets `facts`.  Raises DataMissing."""
        raise NotImplementedError

    def build(self):
        """The net, not yet initialised."""
        raise NotImplementedError

    def initializer(self):
        """What initialises the net's weights."""
        from mxdl import init
        return init.Xavier(magnitude=2.24)

    def num_batches(self, split: str) -> int:
        raise NotImplementedError

    def batches(self, split: str, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `start` on, the same ones for the same epoch in every run."""
        raise NotImplementedError

    def start_epoch(self, net, batch_size: int, contexts: list) -> None:
        """Called before the first batch of an epoch (and of an evaluation)."""

    def loss(self, net, data, label, slot: int = 0):
        """(loss summed over the batch, outputs) of one device's part; `slot` numbers the device."""
        raise NotImplementedError

    def measure(self, outputs, label) -> dict[str, tuple[float, float]]:
        """Measures of one part beside its loss."""
        return {}

    def carried(self) -> dict[str, Any]:
        """Arrays that go from one batch to the next (hidden states), by name, for the checkpoint."""
        return {}

    def restore(self, carried: dict[str, Any]) -> None:
        """Takes back what `carried` gave."""

    def report(self, means: dict[str, float]) -> dict[str, float]:
        """Measures from their means; the loss's mean is under `loss`."""
        return means

    def example(self) -> tuple[np.ndarray, ...]:
        """The net's inputs for a batch of one, for tracing and export."""
        raise NotImplementedError

    def page(self) -> dict[str, Any] | None:
        """What a page around the exported net should know, in plain JSON (mxdl.codegen.web.page); None: numbers."""
        return None

    def predict(self, net, items: list[str]) -> Iterator[dict[str, Any]]:
        """One plain answer for each item (a file, a text), for `mxdl predict`."""
        raise NotImplementedError

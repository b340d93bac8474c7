"""Learning-rate schedules by name.

Each is built from the optimizer's learning rate, the steps of an epoch and the epochs, and gives the rate of a step as
a function of that step alone, so that a resumed run needs nothing restored.
"""
from collections.abc import Callable

from ..check import Fraction, NonNegative, Positive
from ..components import component


def _warm(rate: float, warmup_epochs: float, epoch_steps: int, rest: Callable[[int], float]) -> Callable[[int], float]:
    """Rises linearly to `rate` during the first epochs, then follows `rest`."""
    warmup = round(warmup_epochs * epoch_steps)
    return lambda step: rate * (step + 1) / warmup if step < warmup else rest(step)


@component("schedule")
def constant(rate: float, epoch_steps: int, epochs: int, *, warmup_epochs: NonNegative = 0.0):
    """The same rate throughout."""
    return _warm(rate, warmup_epochs, epoch_steps, lambda step: rate)


@component("schedule")
def cosine(rate: float, epoch_steps: int, epochs: int, *, warmup_epochs: NonNegative = 0.0, final: Fraction = 0.0):
    """Half a cosine, from the rate down to `final` times the rate."""
    from mxdl.lr_scheduler import CosineScheduler
    warmup = round(warmup_epochs * epoch_steps)
    curve = CosineScheduler(max(1, epoch_steps * epochs - warmup), base_lr=rate, final_lr=rate * final)
    return _warm(rate, warmup_epochs, epoch_steps, lambda step: curve(step - warmup))


@component("schedule")
def steps(rate: float, epoch_steps: int, epochs: int, *, at: list[float], factor: Fraction = 0.1,
          warmup_epochs: NonNegative = 0.0):
    """Multiplied by `factor` after each of the epochs `at`."""
    return _warm(rate, warmup_epochs, epoch_steps,
                 lambda step: rate * factor ** sum(step >= round(epoch * epoch_steps) for epoch in at))


@component("schedule")
def exponential(rate: float, epoch_steps: int, epochs: int, *, factor: Fraction, after: Positive = 1,
                warmup_epochs: NonNegative = 0.0):
    """The same rate for the first `after` epochs, then multiplied by `factor` once an epoch."""
    return _warm(rate, warmup_epochs, epoch_steps,
                 lambda step: rate * factor ** max(0, step // epoch_steps - after + 1))

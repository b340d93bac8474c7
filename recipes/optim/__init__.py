"""Optimizers and learning-rate schedules that recipes may name."""
from . import optimizers, schedules

__all__ = ["optimizers", "schedules"]

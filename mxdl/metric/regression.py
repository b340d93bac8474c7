"""Distances of predicted values: the mean over batches of each batch's distance."""
from __future__ import annotations

import numpy as np

from .base import EvalMetric, alias, paired


class _Distance(EvalMetric):
    """The mean over batches of `distance`.  A label or prediction of shape [N] is taken as [N, 1]."""

    def __init__(self, name, output_names, label_names):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def distance(self, error: np.ndarray) -> float:
        raise NotImplementedError

    def update(self, labels, preds) -> None:
        for label, pred in paired(labels, preds):
            label, pred = (array[:, None] if array.ndim == 1 else array for array in (label, pred))
            self.accumulate(float(self.distance(label - pred)), 1)


@alias("mae")
class MAE(_Distance):
    """Mean absolute error."""

    def __init__(self, name: str = "mae", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def distance(self, error):
        return np.abs(error).mean()


@alias("mse")
class MSE(_Distance):
    """Mean squared error."""

    def __init__(self, name: str = "mse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def distance(self, error):
        return np.square(error).mean()


@alias("rmse")
class RMSE(_Distance):
    """Root of the mean squared error, of each batch."""

    def __init__(self, name: str = "rmse", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)

    def distance(self, error):
        return np.sqrt(np.square(error).mean())

"""Correlations: Pearson's of values, and the many-class form of Matthews'."""
from __future__ import annotations

import math

import numpy as np

from .base import EvalMetric, alias, check_label_shapes, paired


class _Moments:
    """Sums over pairs (x, y), enough for their correlation."""

    def __init__(self) -> None:
        self.count, self.mean, self.comoment = 0, np.zeros(2), np.zeros((2, 2))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Joins a batch by the parallel form of Welford's update, which stays exact far from 0."""
        pairs = np.stack([x.ravel(), y.ravel()]).astype(np.float64)
        count, mean = pairs.shape[1], pairs.mean(axis=1)
        centred = pairs - mean[:, None]
        shift, total = mean - self.mean, self.count + count
        self.comoment += centred @ centred.T + np.outer(shift, shift) * self.count * count / total
        self.mean += shift * count / total
        self.count = total

    def correlation(self) -> float:
        scale = math.sqrt(self.comoment[0, 0] * self.comoment[1, 1])
        return float(self.comoment[0, 1] / scale) if scale else math.nan


@alias("pearsonr", "pearsoncorrelation")
class PearsonCorrelation(EvalMetric):
    """Pearson's correlation of labels and predictions of the same shape.

    Args:
        average: "macro": mean of the batches' correlations; "micro": of all values.
    """

    def __init__(self, name: str = "pearsonr", output_names=None, label_names=None, average: str = "macro"):
        if average not in ("macro", "micro"):
            raise ValueError(f"PearsonCorrelation: average is 'macro' or 'micro'; got {average!r}")
        self.average = average
        super().__init__(name, output_names, label_names, has_global_stats=True, average=average)

    def update(self, labels, preds) -> None:
        for label, pred in paired(labels, preds):
            check_label_shapes(label, pred, shape=True)
            if self.average == "macro":
                self.accumulate(float(np.corrcoef(pred.ravel(), label.ravel())[0, 1]), 1)
                continue
            for moments in (self._local, self._global):
                moments.add(label, pred)
            self.num_inst, self.sum_metric = 1, self._local.correlation()
            self.global_num_inst, self.global_sum_metric = 1, self._global.correlation()

    def reset(self) -> None:
        super().reset()
        self._local, self._global = _Moments(), _Moments()

    def reset_local(self) -> None:
        super().reset_local()
        self._local = _Moments()


def _matthews(confusion: np.ndarray) -> float:
    """The correlation of the one-hot predictions and labels.  confusion: int[C, C], rows predictions"""
    total = confusion.sum()
    chosen, wanted = confusion.sum(axis=1), confusion.sum(axis=0)
    spread = math.sqrt(float((chosen * (total - chosen)).sum()) * float((wanted * (total - wanted)).sum()))
    return float(np.trace(confusion) * total - (chosen * wanted).sum()) / spread if spread else math.nan


@alias("pcc")
class PCC(EvalMetric):
    """Matthews' correlation of any number of classes.  labels: int[N];  preds: float[N, C]"""

    def __init__(self, name: str = "pcc", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, labels, preds) -> None:
        for label, pred in paired(labels, preds):
            label = label.astype(np.int64).ravel()
            chosen = pred.astype(np.int64).ravel() if pred.shape == label.shape else pred.argmax(axis=1).ravel()
            check_label_shapes(label, chosen)
            self._local, self._global = (_count(confusion, chosen, label)
                                         for confusion in (self._local, self._global))
        self.num_inst, self.sum_metric = 1, _matthews(self._local)
        self.global_num_inst, self.global_sum_metric = 1, _matthews(self._global)

    def reset(self) -> None:
        super().reset()
        self._local = self._global = np.zeros((0, 0), np.int64)

    def reset_local(self) -> None:
        super().reset_local()
        self._local = np.zeros((0, 0), np.int64)


def _count(confusion: np.ndarray, chosen: np.ndarray, label: np.ndarray) -> np.ndarray:
    """`confusion` with a batch added, grown to the classes seen."""
    num_classes = max(len(confusion), int(chosen.max(initial=-1)) + 1, int(label.max(initial=-1)) + 1)
    grown = np.zeros((num_classes, num_classes), np.int64)
    grown[:len(confusion), :len(confusion)] = confusion
    np.add.at(grown, (chosen, label), 1)
    return grown

"""Metrics of two classes: F1 and Matthews' correlation."""
from __future__ import annotations

import math

import numpy as np

from .base import EvalMetric, alias, paired


class Counts:
    """Confusion counts of a binary classifier; class 1 is the positive one."""

    def __init__(self) -> None:
        self.true_positives = self.false_positives = self.true_negatives = self.false_negatives = 0

    def add(self, label: np.ndarray, pred: np.ndarray) -> None:
        """label: int[N] of 0 and 1;  pred: float[N, 2] scores."""
        label = label.astype(np.int64).ravel()
        if len(label) != len(pred):
            raise ValueError(f"metric: labels and predictions do not fit together; got {len(label)} and {len(pred)}")
        if len(np.unique(label)) > 2:
            raise ValueError(f"metric: labels must be of two classes; got {np.unique(label).tolist()}")
        positive, chosen = label == 1, pred.argmax(axis=1) == 1
        self.true_positives += int((chosen & positive).sum())
        self.false_positives += int((chosen & ~positive).sum())
        self.true_negatives += int((~chosen & ~positive).sum())
        self.false_negatives += int((~chosen & positive).sum())

    @property
    def total(self) -> int:
        return self.true_positives + self.false_positives + self.true_negatives + self.false_negatives

    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 0 where nothing is positive."""
        denominator = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / denominator if denominator else 0.0

    def matthews(self) -> float:
        """(TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)), factors of 0 left out; 0 when empty."""
        if not self.total:
            return 0.0
        tp, fp, tn, fn = self.true_positives, self.false_positives, self.true_negatives, self.false_negatives
        factors = [factor for factor in (tp + fp, tp + fn, tn + fp, tn + fn) if factor]
        return (tp * tn - fp * fn) / math.sqrt(math.prod(factors))


class _BinaryMetric(EvalMetric):
    """A function of the confusion counts: averaged over batches ("macro") or of all instances ("micro")."""

    def __init__(self, name, output_names, label_names, average):
        if average not in ("macro", "micro"):
            raise ValueError(f"{type(self).__name__}: average is 'macro' or 'micro'; got {average!r}")
        self.average = average
        super().__init__(name, output_names, label_names, has_global_stats=True, average=average)

    def value(self, counts: Counts) -> float:
        raise NotImplementedError

    def update(self, labels, preds) -> None:
        batch = Counts()
        for label, pred in paired(labels, preds):
            for counts in (batch, self._local, self._global):
                counts.add(label, pred)
        if self.average == "macro":
            self.accumulate(self.value(batch), 1)
        else:
            self.num_inst, self.sum_metric = self._local.total, self.value(self._local) * self._local.total
            self.global_num_inst = self._global.total
            self.global_sum_metric = self.value(self._global) * self._global.total

    def reset(self) -> None:
        super().reset()
        self._local, self._global = Counts(), Counts()

    def reset_local(self) -> None:
        super().reset_local()
        self._local = Counts()


@alias("f1")
class F1(_BinaryMetric):
    """Harmonic mean of precision and recall.  labels: int[N] of 0 and 1;  preds: float[N, 2]

    Args:
        average: "macro": mean over batches; "micro": of all instances.
    """

    def __init__(self, name: str = "f1", output_names=None, label_names=None, average: str = "macro"):
        super().__init__(name, output_names, label_names, average)

    def value(self, counts: Counts) -> float:
        return counts.f1()


@alias("mcc")
class MCC(_BinaryMetric):
    """Matthews' correlation of two classes, from -1 to 1.  Arguments as in `F1`."""

    def __init__(self, name: str = "mcc", output_names=None, label_names=None, average: str = "macro"):
        super().__init__(name, output_names, label_names, average)

    def value(self, counts: Counts) -> float:
        return counts.matthews()

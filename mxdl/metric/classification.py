"""Shares of right classes."""
from __future__ import annotations

import numpy as np

from .base import EvalMetric, alias, as_list, as_numpy, check_label_shapes, paired


@alias("acc", "accuracy")
class Accuracy(EvalMetric):
    """Share of instances whose class is right.

    Predictions are scores with the classes along `axis`, float[N, C, ...], or classes already, in the labels' shape.
    """

    def __init__(self, axis: int = 1, name: str = "accuracy", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True, axis=axis)
        self.axis = axis

    def update(self, labels, preds) -> None:
        labels, preds = check_label_shapes(as_list(labels), as_list(preds))
        for label, pred in zip(labels, preds, strict=True):
            # argmax where the array lives: one number an instance is then fetched, not the scores of every class
            classes = pred if tuple(pred.shape) == tuple(label.shape) else pred.argmax(axis=self.axis)
            right, wanted = (as_numpy(array).astype(np.int64).ravel() for array in (classes, label))
            check_label_shapes(wanted, right)
            self.accumulate(int((right == wanted).sum()), len(wanted))


@alias("top_k_accuracy", "top_k_acc", "topkaccuracy")
class TopKAccuracy(EvalMetric):
    """Share of instances whose label is among the `top_k` highest scores.  preds: float[N, C], labels: int[N]"""

    def __init__(self, top_k: int = 1, name: str = "top_k_accuracy", output_names=None, label_names=None):
        if top_k <= 1:
            raise ValueError(f"TopKAccuracy: top_k must be at least 2; got {top_k}; use Accuracy for 1")
        super().__init__(f"{name}_{top_k}" if name == "top_k_accuracy" else name, output_names, label_names,
                         has_global_stats=True, top_k=top_k)
        self.top_k = top_k

    def update(self, labels, preds) -> None:
        for label, pred in paired(labels, preds):
            if pred.ndim > 2:
                raise ValueError(f"TopKAccuracy: predictions must be float[N, C]; got shape {pred.shape}")
            label = label.astype(np.int64).ravel()
            check_label_shapes(label, pred)
            if pred.ndim == 1:      # classes already
                self.accumulate(int((pred.astype(np.int64) == label).sum()), len(label))
                continue
            k = min(self.top_k, pred.shape[1])
            best = np.argpartition(pred.astype(np.float32), -k, axis=1)[:, -k:]
            self.accumulate(int((best == label[:, None]).sum()), len(label))

"""Metrics of the probability given to the right class."""
from __future__ import annotations

import math

import numpy as np

from .base import EvalMetric, alias, paired


class _LogLikelihood(EvalMetric):
    """Mean of -log(probability of the label + eps).  labels: int[N];  preds: float[N, C]"""

    def __init__(self, eps, name, output_names, label_names):
        super().__init__(name, output_names, label_names, has_global_stats=True, eps=eps)
        self.eps = eps

    def update(self, labels, preds) -> None:
        for label, pred in paired(labels, preds):
            label = label.ravel().astype(np.int64)
            if pred.ndim != 2 or len(label) != len(pred):
                raise ValueError(f"{type(self).__name__}: needs labels int[N] and predictions float[N, C]; "
                                 f"got {len(label)} labels and predictions of shape {pred.shape}")
            probability = pred[np.arange(len(label)), label]
            self.accumulate(float(-np.log(probability + self.eps).sum()), len(label))


@alias("ce", "cross-entropy", "crossentropy")
class CrossEntropy(_LogLikelihood):
    """Mean of -log(probability of the label + eps).  labels: int[N];  preds: float[N, C]"""

    def __init__(self, eps: float = 1e-12, name: str = "cross-entropy", output_names=None, label_names=None):
        super().__init__(eps, name, output_names, label_names)


@alias("nll_loss", "nll-loss", "negativeloglikelihood")
class NegativeLogLikelihood(_LogLikelihood):
    """Mean of -log(probability of the label + eps).  labels: int[N];  preds: float[N, C]"""

    def __init__(self, eps: float = 1e-12, name: str = "nll-loss", output_names=None, label_names=None):
        super().__init__(eps, name, output_names, label_names)


@alias("perplexity")
class Perplexity(EvalMetric):
    """exp(mean of -log(probability of the label)) over all positions whose label is not `ignore_label`.

    labels: int[*S];  preds: float[*S, C] with the classes along `axis`
    """

    def __init__(self, ignore_label: int | None, axis: int = -1, name: str = "perplexity", output_names=None,
                 label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True, ignore_label=ignore_label, axis=axis)
        self.ignore_label = ignore_label
        self.axis = axis

    def update(self, labels, preds) -> None:
        for label, pred in paired(labels, preds):
            pred = np.moveaxis(pred, self.axis, -1)
            if label.size != pred.size // pred.shape[-1]:
                raise ValueError(f"Perplexity: labels and predictions do not fit together; "
                                 f"got shapes {label.shape} and {pred.shape}")
            label = label.ravel().astype(np.int64)
            probability = pred.reshape(len(label), -1)[np.arange(len(label)), label]
            if self.ignore_label is not None:
                probability = probability[label != self.ignore_label]
            self.accumulate(float(-np.log(np.maximum(probability, 1e-10)).sum()), len(probability))

    def get(self):
        name, mean = super().get()
        return name, math.exp(mean)

    def get_global(self):
        name, mean = super().get_global()
        return name, math.exp(mean)

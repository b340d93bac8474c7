"""Losses.  Each is a hybrid block of (pred, label, ...) that gives one number a sample.

Letters: N samples, C classes.  Common arguments: weight, a factor on the whole loss; sample_weight, an array that
broadcasts to the loss of each entry; batch_axis, the axis of samples, over all others of which the mean is taken.
"""
from __future__ import annotations

import math
from typing import Any

from .hybrid import HybridBlock


def _apply_weighting(F: Any, loss: Any, weight: float | None = None, sample_weight: Any = None) -> Any:
    """loss times both weights, as far as they are given.  Losses of users call it by this name."""
    if sample_weight is not None:
        loss = F.broadcast_mul(loss, sample_weight)
    if weight is None:
        return loss
    if not isinstance(weight, (int, float)):
        raise AssertionError(f"Loss: weight is one number; got {weight!r}; weigh samples with sample_weight")
    return loss * weight


def _reshape_like(F: Any, x: Any, y: Any) -> Any:
    """x in y's shape.  Losses of users call it by this name."""
    return F.reshape_like(x, y)


class Loss(HybridBlock):
    """The base of losses."""

    def __init__(self, weight: float | None, batch_axis: int, **kwargs: Any):
        super().__init__(**kwargs)
        self._weight, self._batch_axis = weight, batch_axis

    def __repr__(self) -> str:
        return f"{type(self).__name__}(batch_axis={self._batch_axis}, w={self._weight})"

    def _weighted(self, F: Any, loss: Any, sample_weight: Any) -> Any:
        return _apply_weighting(F, loss, self._weight, sample_weight)

    def _mean(self, F: Any, loss: Any) -> Any:
        return F.mean(loss, axis=self._batch_axis, exclude=True)


def softplus_of_negative_abs(F: Any, x: Any) -> Any:
    """log(1 + exp(-|x|)): the part of log-sigmoids that never overflows."""
    return F.Activation(-F.abs(x), act_type="softrelu")


class L2Loss(Loss):
    """mean of (label - pred)^2 / 2, times weight."""

    def __init__(self, weight: float = 1.0, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        loss = F.square(_reshape_like(F, label, pred) - pred)
        return self._mean(F, _apply_weighting(F, loss, self._weight / 2, sample_weight))


class L1Loss(Loss):
    """mean of |label - pred|."""

    def __init__(self, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        loss = F.abs(_reshape_like(F, label, pred) - pred)
        return self._mean(F, self._weighted(F, loss, sample_weight))


class SigmoidBinaryCrossEntropyLoss(Loss):
    """mean of -(label log p + (1 - label) log(1 - p)), p = sigmoid(pred), or pred itself with from_sigmoid.

    pos_weight: a factor on the first term, broadcast to label.
    """

    def __init__(self, from_sigmoid: bool = False, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._from_sigmoid = from_sigmoid

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None, pos_weight: Any = None) -> Any:
        label = _reshape_like(F, label, pred)
        entropy = self._from_probability if self._from_sigmoid else self._from_logit
        return self._mean(F, self._weighted(F, entropy(F, pred, label, pos_weight), sample_weight))

    @staticmethod
    def _from_logit(F: Any, pred: Any, label: Any, pos_weight: Any) -> Any:
        if pos_weight is None:
            return F.relu(pred) - pred * label + softplus_of_negative_abs(F, pred)
        factor = 1 + F.broadcast_mul(pos_weight - 1, label)
        return pred - pred * label + factor * (softplus_of_negative_abs(F, pred) + F.relu(-pred))

    @staticmethod
    def _from_probability(F: Any, pred: Any, label: Any, pos_weight: Any) -> Any:
        eps = 1e-12
        positive = F.log(pred + eps) * label
        if pos_weight is not None:
            positive = F.broadcast_mul(positive, pos_weight)
        return -(positive + F.log(1.0 - pred + eps) * (1.0 - label))


SigmoidBCELoss = SigmoidBinaryCrossEntropyLoss


class SoftmaxCrossEntropyLoss(Loss):
    """mean of -log softmax(pred)[label] (sparse_label), or of -sum label log softmax(pred).

    pred: float[N, ..., C] with classes along `axis`;   label: number[N, ...] of classes, or float[N, ..., C]
    from_logits: pred holds log-probabilities already.
    """

    def __init__(self, axis: int = -1, sparse_label: bool = True, from_logits: bool = False,
                 weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._axis, self._sparse_label, self._from_logits = axis, sparse_label, from_logits

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        if not self._from_logits:
            pred = F.log_softmax(pred, axis=self._axis)
        if self._sparse_label:
            loss = -F.pick(pred, label, axis=self._axis, keepdims=True)
        else:
            loss = -F.sum(pred * _reshape_like(F, label, pred), axis=self._axis, keepdims=True)
        return self._mean(F, self._weighted(F, loss, sample_weight))


SoftmaxCELoss = SoftmaxCrossEntropyLoss


class KLDivLoss(Loss):
    """sum of label (log label - pred), pred log-probabilities (from_logits) or scores along `axis`."""

    def __init__(self, from_logits: bool = True, axis: int = -1, weight: float | None = None, batch_axis: int = 0,
                 **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._from_logits, self._axis = from_logits, axis

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        if not self._from_logits:
            pred = F.log_softmax(pred, self._axis)
        loss = self._weighted(F, label * (F.log(label + 1e-12) - pred), sample_weight)
        return F.sum(loss, axis=self._batch_axis, exclude=True)


class CTCLoss(Loss):
    """Connectionist temporal classification (Graves 2006): -log of the label sequence's probability.

    pred: float[N, T, C] of scores (layout NTC), the last class the blank;   label: number[N, L], -1 after its end
    pred_lengths, label_lengths: number[N];   out: float[N]
    """

    def __init__(self, layout: str = "NTC", label_layout: str = "NT", weight: float | None = None, **kwargs: Any):
        for what, value, choices in (("layout", layout, ("NTC", "TNC")), ("label_layout", label_layout, ("NT", "TN"))):
            if value not in choices:
                raise AssertionError(f"CTCLoss: {what} must be one of {choices}; got {value!r}")
        self._layout, self._label_layout = layout, label_layout
        super().__init__(weight, label_layout.find("N"), **kwargs)

    def hybrid_forward(self, F: Any, pred: Any, label: Any, pred_lengths: Any = None, label_lengths: Any = None,
                       sample_weight: Any = None) -> Any:
        if self._layout == "NTC":
            pred = F.swapaxes(pred, 0, 1)
        if self._batch_axis == 1:
            label = F.swapaxes(label, 0, 1)
        lengths = [x for x in (pred_lengths, label_lengths) if x is not None]
        loss = F.CTCLoss(pred, label, *lengths, use_data_lengths=pred_lengths is not None,
                         use_label_lengths=label_lengths is not None, blank_label="last")
        return self._weighted(F, loss, sample_weight)


class HuberLoss(Loss):
    """mean of d^2 / (2 rho) where d = |label - pred| <= rho, else d - rho / 2."""

    def __init__(self, rho: float = 1, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._rho = rho

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        distance = F.abs(_reshape_like(F, label, pred) - pred)
        loss = F.where(distance > self._rho, distance - 0.5 * self._rho, (0.5 / self._rho) * F.square(distance))
        return self._mean(F, self._weighted(F, loss, sample_weight))


class HingeLoss(Loss):
    """mean of max(0, margin - pred label), label -1 or 1."""

    def __init__(self, margin: float = 1, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._margin = margin

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        loss = F.relu(self._margin - pred * _reshape_like(F, label, pred))
        return self._mean(F, self._weighted(F, loss, sample_weight))


class SquaredHingeLoss(Loss):
    """mean of max(0, margin - pred label)^2, label -1 or 1."""

    def __init__(self, margin: float = 1, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._margin = margin

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        loss = F.square(F.relu(self._margin - pred * _reshape_like(F, label, pred)))
        return self._mean(F, self._weighted(F, loss, sample_weight))


class LogisticLoss(Loss):
    """mean of log(1 + exp(-pred label)), label -1 or 1 (label_format "signed") or 0 or 1 ("binary")."""

    def __init__(self, weight: float | None = None, batch_axis: int = 0, label_format: str = "signed", **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        if label_format not in ("signed", "binary"):
            raise ValueError(f"LogisticLoss: label_format is 'signed' or 'binary'; got {label_format!r}")
        self._label_format = label_format

    def hybrid_forward(self, F: Any, pred: Any, label: Any, sample_weight: Any = None) -> Any:
        label = _reshape_like(F, label, pred)
        if self._label_format == "signed":
            label = (label + 1.0) / 2.0
        loss = F.relu(pred) - pred * label + softplus_of_negative_abs(F, pred)
        return self._mean(F, self._weighted(F, loss, sample_weight))


class TripletLoss(Loss):
    """max(0, sum (positive - pred)^2 - sum (negative - pred)^2 + margin)."""

    def __init__(self, margin: float = 1, weight: float | None = None, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._margin = margin

    def hybrid_forward(self, F: Any, pred: Any, positive: Any, negative: Any, sample_weight: Any = None) -> Any:
        near = F.square(_reshape_like(F, positive, pred) - pred)
        far = F.square(_reshape_like(F, negative, pred) - pred)
        loss = F.relu(F.sum(near - far, axis=self._batch_axis, exclude=True) + self._margin)
        return self._weighted(F, loss, sample_weight)


class PoissonNLLLoss(Loss):
    """mean over everything of rate - target log rate, rate = exp(pred) (from_logits) or pred.

    compute_full: adds Stirling's formula for log(target!) where target > 1.
    """

    def __init__(self, weight: float | None = None, from_logits: bool = True, batch_axis: int = 0,
                 compute_full: bool = False, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._from_logits, self._compute_full = from_logits, compute_full

    def hybrid_forward(self, F: Any, pred: Any, target: Any, sample_weight: Any = None, epsilon: float = 1e-8) -> Any:
        target = _reshape_like(F, target, pred)
        loss = F.exp(pred) - target * pred if self._from_logits else pred - target * F.log(pred + epsilon)
        if self._compute_full:
            safe = F.maximum(target, 1.0)  # log(0) * 0 would be NaN
            stirling = safe * F.log(safe) - safe + 0.5 * F.log(2 * safe * math.pi)
            loss = loss + stirling * (target > 1)
        return F.mean(self._weighted(F, loss, sample_weight))


class CosineEmbeddingLoss(Loss):
    """1 - cos(input1, input2) where label is 1, max(0, cos - margin) where it is -1, cos along the last axis."""

    def __init__(self, weight: float | None = None, batch_axis: int = 0, margin: float = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self._margin = margin

    def hybrid_forward(self, F: Any, input1: Any, input2: Any, label: Any, sample_weight: Any = None) -> Any:
        cosine = self._cosine(F, _reshape_like(F, input1, input2), input2)
        label = F.reshape(label, shape=(-1, 1))
        loss = (label == 1) * (1 - cosine) + (label == -1) * F.relu(cosine - self._margin)
        return self._weighted(F, loss, sample_weight)

    @staticmethod
    def _cosine(F: Any, x: Any, y: Any) -> Any:
        norms = F.norm(x, axis=-1).reshape((-1, 1)) * F.norm(y, axis=-1).reshape((-1, 1))
        return F.sum(x * y, axis=-1).reshape((-1, 1)) / F.maximum(norms, 1e-12)


class SDMLLoss(Loss):
    """Smoothed deep metric learning (Bonadiman 2019): x1[i] and x2[i] belong together, x2[j] are the wrong ones.

    x1, x2: float[N, C];   smoothing_parameter: probability given to the wrong ones together;   out: float[N]
    """

    def __init__(self, smoothing_parameter: float = 0.3, weight: float = 1.0, batch_axis: int = 0, **kwargs: Any):
        super().__init__(weight, batch_axis, **kwargs)
        self.kl_loss = KLDivLoss(from_logits=True)
        self.smoothing_parameter = smoothing_parameter

    def hybrid_forward(self, F: Any, x1: Any, x2: Any) -> Any:
        difference = F.broadcast_sub(F.expand_dims(x1, 1), F.expand_dims(x2, 0))
        log_probabilities = F.log_softmax(-F.sum(F.square(difference), axis=2), axis=1)
        return self.kl_loss(log_probabilities, self._labels(F, x1))

    def _labels(self, F: Any, x1: Any) -> Any:
        """1 - s on the diagonal, s / (N - 1) elsewhere: float[N, N]."""
        number = F.contrib.arange_like(x1, axis=0)
        same = F.broadcast_equal(F.expand_dims(number, 1), F.expand_dims(number, 0))
        share = self.smoothing_parameter / (F.sum(F.ones_like(number)) - 1)
        return same * (1 - self.smoothing_parameter) + F.broadcast_mul(1 - same, share)

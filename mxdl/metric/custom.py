"""The mean of a loss, and functions of your own as metrics."""
from __future__ import annotations

from collections.abc import Callable

from .base import EvalMetric, alias, as_list, as_numpy, check_label_shapes, register


@alias("loss")
class Loss(EvalMetric):
    """Mean of all elements of the outputs; labels are ignored."""

    def __init__(self, name: str = "loss", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def update(self, _, preds) -> None:
        for pred in as_list(preds):
            array = as_numpy(pred)
            self.accumulate(float(array.sum()), array.size)


@alias("torch")
class Torch(Loss):
    """`Loss` under the name "torch"."""

    def __init__(self, name: str = "torch", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)


@alias("caffe")
class Caffe(Loss):
    """`Loss` under the name "caffe"."""

    def __init__(self, name: str = "caffe", output_names=None, label_names=None):
        super().__init__(name, output_names, label_names)


@register
class CustomMetric(EvalMetric):
    """A function of NumPy arrays as a metric.

    Args:
        feval: ``feval(label, pred)`` -> the batch's value, or (sum of values, number of instances).
        allow_extra_outputs: outputs may be more than labels; those at the end are ignored.
    """

    def __init__(self, feval: Callable, name: str | None = None, allow_extra_outputs: bool = False,
                 output_names=None, label_names=None):
        if name is None:
            name = feval.__name__
            if "<" in name:     # a lambda
                name = f"custom({name})"
        super().__init__(name, output_names, label_names, has_global_stats=True)
        self._feval = feval
        self._allow_extra_outputs = allow_extra_outputs

    def update(self, labels, preds) -> None:
        labels, preds = as_list(labels), as_list(preds)
        if not self._allow_extra_outputs:
            check_label_shapes(labels, preds)
        for label, pred in zip(labels, preds, strict=False):
            value = self._feval(as_numpy(label), as_numpy(pred))
            total, count = value if isinstance(value, tuple) else (value, 1)
            self.accumulate(total, count)

    def get_config(self):
        raise NotImplementedError("CustomMetric holds a Python function and cannot be written as a config")


def np(numpy_feval: Callable, name: str | None = None, allow_extra_outputs: bool = False) -> CustomMetric:
    """A metric from ``numpy_feval(label, pred)``; see `CustomMetric`."""
    def feval(label, pred):
        return numpy_feval(label, pred)
    feval.__name__ = numpy_feval.__name__
    return CustomMetric(feval, name, allow_extra_outputs)

"""What every metric is: a running value over batches, once since the last local reset and once since the last reset."""
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import registry


class EvalMetric:
    """A value accumulated over batches.  A metric of your own defines ``update`` and adds to ``sum_metric`` and
    ``num_inst`` (and, if it passes ``has_global_stats=True``, to ``global_sum_metric`` and ``global_num_inst``).

    Args:
        name: what `get` calls the value.
        output_names, label_names: which outputs and labels `update_dict` uses; default all.
        has_global_stats: the metric keeps global values; without, `get_global` gives the local ones.
        kwargs: what `get_config` must add to make the same metric again.
    """

    def __init__(self, name: str, output_names: list[str] | None = None, label_names: list[str] | None = None,
                 has_global_stats: bool = False, **kwargs: Any):
        self.name = str(name)
        self.output_names = output_names
        self.label_names = label_names
        self._has_global_stats = has_global_stats
        self._kwargs = kwargs
        self.reset()

    def __str__(self) -> str:
        return f"EvalMetric: {dict(self.get_name_value())}"

    def get_config(self) -> dict[str, Any]:
        """What `create` needs to make this metric again (without its values)."""
        return {**self._kwargs, "metric": type(self).__name__, "name": self.name, "output_names": self.output_names,
                "label_names": self.label_names}

    def update_dict(self, label: Mapping[str, Any], pred: Mapping[str, Any]) -> None:
        """Updates from named labels and outputs, choosing those this metric was made for."""
        preds = [pred[name] for name in self.output_names] if self.output_names is not None else list(pred.values())
        labels = [label[name] for name in self.label_names] if self.label_names is not None else list(label.values())
        self.update(labels, preds)

    def update(self, labels, preds) -> None:
        """Takes a batch: a list of label arrays and the list of outputs that belong to them."""
        raise NotImplementedError(f"{type(self).__name__} must define update(labels, preds)")

    def accumulate(self, value: float, count: int) -> None:
        """Adds a sum over `count` instances to the local and the global value."""
        self.sum_metric += value
        self.global_sum_metric += value
        self.num_inst += count
        self.global_num_inst += count

    def reset(self) -> None:
        """Forgets everything."""
        self.num_inst = 0
        self.sum_metric = 0.0
        self.global_num_inst = 0
        self.global_sum_metric = 0.0

    def reset_local(self) -> None:
        """Forgets the local value; the global one stays."""
        self.num_inst = 0
        self.sum_metric = 0.0

    def get(self):
        """(name, value since the last local reset); nan before the first batch."""
        return self.name, self.sum_metric / self.num_inst if self.num_inst else math.nan

    def get_global(self):
        """(name, value since the last reset); nan before the first batch."""
        if not self._has_global_stats:
            return self.get()
        return self.name, self.global_sum_metric / self.global_num_inst if self.global_num_inst else math.nan

    def get_name_value(self) -> list[tuple[str, float]]:
        """`get` as a list of pairs."""
        return _as_pairs(*self.get())

    def get_global_name_value(self) -> list[tuple[str, float]]:
        """`get_global` as a list of pairs."""
        return _as_pairs(*self.get_global())


register = registry.get_register_func(EvalMetric, "metric")
alias = registry.get_alias_func(EvalMetric, "metric")
create_by_name = registry.get_create_func(EvalMetric, "metric")


def check_label_shapes(labels, preds, wrap: bool = False, shape: bool = False):
    """`labels`, `preds` if they fit together: of the same length, or of the same shape if `shape`.

    wrap: put a single array into a list.   Raises ValueError where they do not fit.
    """
    got = (labels.shape, preds.shape) if shape else (len(labels), len(preds))
    if got[0] != got[1]:
        raise ValueError(f"metric: labels and predictions do not fit together; got {got[0]} and {got[1]}")
    if wrap:
        labels, preds = as_list(labels), as_list(preds)
    return labels, preds


def as_list(arrays) -> list:
    return list(arrays) if isinstance(arrays, (list, tuple)) else [arrays]


def as_numpy(array) -> np.ndarray:
    """The NumPy array of an NDArray, or of anything that NumPy reads."""
    return array.asnumpy() if hasattr(array, "asnumpy") else np.asarray(array)


def paired(labels, preds) -> list[tuple[np.ndarray, np.ndarray]]:
    """(label, prediction) arrays of a batch, after checking that there is one label for each prediction."""
    labels, preds = check_label_shapes(as_list(labels), as_list(preds))
    return [(as_numpy(label), as_numpy(pred)) for label, pred in zip(labels, preds, strict=True)]


def _as_pairs(names, values) -> list[tuple[str, float]]:
    return list(zip(as_list(names), as_list(values), strict=True))

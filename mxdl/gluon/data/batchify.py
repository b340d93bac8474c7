"""Making a batch of samples, and sending batches from one process to another through shared memory."""
from __future__ import annotations

import pickle
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch

from ... import ndarray
from ...errors import MXNetError
from ...ndarray import NDArray


def default_batchify_fn(data: list) -> Any:
    """A batch of samples: arrays and numbers T[*S] as NDArray T[N, *S]; of tuples a list, of dicts a dict."""
    first = data[0]
    if isinstance(first, NDArray):
        return NDArray.from_torch(torch.stack([sample.to_torch() for sample in data]))
    if isinstance(first, tuple):
        return [default_batchify_fn(list(parts)) for parts in zip(*data, strict=True)]
    if isinstance(first, dict):
        return {name: default_batchify_fn([sample[name] for sample in data]) for name in first}
    values = np.asarray(data)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"default_batchify_fn: cannot make a batch of {type(first).__name__}; got {first!r}; "
                        "give the DataLoader a batchify_fn, or transform the samples to numbers")
    return ndarray.array(values, dtype=values.dtype)


#: what worker processes use; the arrays of its batches travel through shared memory all the same
default_mp_batchify_fn = default_batchify_fn


def _reduce(array: NDArray) -> tuple[Callable, tuple]:
    return NDArray.from_torch, (array.to_torch().cpu(),)


# between processes an NDArray travels as its tensor, which torch puts into shared memory
ForkingPickler.register(NDArray, _reduce)


class Sendable:
    """A batchify function in a worker process: says there and then what cannot be sent back."""

    def __init__(self, batchify: Callable[[list], Any]):
        self._batchify = batchify

    def __call__(self, samples: list) -> Any:
        batch = self._batchify(samples)
        _check(batch)
        return batch


def _check(value: Any) -> None:
    if isinstance(value, (list, tuple)):
        for part in value:
            _check(part)
    elif isinstance(value, dict):
        for part in value.values():
            _check(part)
    elif not isinstance(value, (NDArray, np.ndarray, np.generic, int, float, str, bytes, type(None))):
        try:
            pickle.dumps(value)
        except Exception as error:      # whatever an object's own pickling raises
            raise MXNetError(f"DataLoader: a batch holds a {type(value).__name__} that cannot be sent from a worker "
                             f"process ({error}); return arrays, or use thread_pool=True") from error

"""FeedForward: the model class before Module, for scripts that still use it (``mx.model.FeedForward``)."""
from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import model
from ..io import NDArrayIter
from ..ndarray.ndarray import NDArray
from .base_module import DEFAULT_INITIALIZER
from .module import Module


class FeedForward:
    """``FeedForward(net, num_epoch=10, learning_rate=0.1).fit(X, y)``

    numpy_batch_size: batch size where arrays are given in place of iterators.   epoch_size: batches an epoch; None:
    all.   kwargs: settings of the optimizer.   arg_params, aux_params: the parameters, after `fit` or `load`.
    """

    def __init__(self, symbol: Any, ctx: Any = None, num_epoch: int | None = None, epoch_size: int | None = None,
                 optimizer: Any = "sgd", initializer: Any = DEFAULT_INITIALIZER, numpy_batch_size: int = 128,
                 arg_params: Mapping[str, NDArray] | None = None, aux_params: Mapping[str, NDArray] | None = None,
                 allow_extra_params: bool = False, begin_epoch: int = 0, **kwargs: Any):
        self.symbol, self.ctx = symbol, ctx
        self.num_epoch, self.epoch_size, self.begin_epoch = num_epoch, epoch_size, begin_epoch
        self.optimizer, self.initializer, self.kwargs = optimizer, initializer, kwargs
        self.numpy_batch_size = numpy_batch_size
        self.arg_params, self.aux_params = arg_params, aux_params
        self.allow_extra_params = allow_extra_params

    @staticmethod
    def create(symbol: Any, X: Any, y: Any = None, ctx: Any = None, num_epoch: int | None = None,
               epoch_size: int | None = None, optimizer: Any = "sgd", initializer: Any = DEFAULT_INITIALIZER,
               eval_data: Any = None, eval_metric: Any = "acc", epoch_end_callback: Any = None,
               batch_end_callback: Any = None, kvstore: Any = "local", logger: Any = None,
               work_load_list: Any = None, **kwargs: Any) -> FeedForward:
        """A model that has been fitted."""
        made = FeedForward(symbol, ctx, num_epoch, epoch_size, optimizer, initializer, **kwargs)
        made.fit(X, y, eval_data, eval_metric, epoch_end_callback, batch_end_callback, kvstore, logger)
        return made

    @staticmethod
    def load(prefix: str, epoch: int, ctx: Any = None, **kwargs: Any) -> FeedForward:
        """A model from a checkpoint; training goes on at `epoch`."""
        symbol, arg_params, aux_params = model.load_checkpoint(prefix, epoch)
        return FeedForward(symbol, ctx=ctx, arg_params=arg_params, aux_params=aux_params, begin_epoch=epoch, **kwargs)

    def save(self, prefix: str, epoch: int | None = None, remove_amp_cast: bool = True) -> None:
        """Write a checkpoint, numbered by `num_epoch` unless `epoch` is given."""
        epoch = self.num_epoch if epoch is None else epoch
        if epoch is None:
            raise ValueError("FeedForward.save: which number? got epoch=None and num_epoch=None; give epoch")
        model.save_checkpoint(prefix, epoch, self.symbol, self.arg_params or {}, self.aux_params or {},
                              remove_amp_cast=remove_amp_cast)

    def fit(self, X: Any, y: Any = None, eval_data: Any = None, eval_metric: Any = "acc",
            epoch_end_callback: Any = None, batch_end_callback: Any = None, kvstore: Any = "local",
            logger: Any = None, work_load_list: Any = None, monitor: Any = None, eval_end_callback: Any = None,
            eval_batch_end_callback: Any = None) -> None:
        """Train on a data iterator, or on arrays X and y.   eval_data: an iterator, or a pair of arrays."""
        train = self._iterator(X, y, shuffle=True)
        if isinstance(eval_data, (tuple, list)) and len(eval_data) == 2:
            eval_data = self._iterator(*eval_data, shuffle=False)
        module = self._module(train, logger or logging)
        module.fit(_Epoch(train, self.epoch_size) if self.epoch_size else train, eval_data, eval_metric,
                   epoch_end_callback, batch_end_callback, kvstore, self.optimizer, tuple(self.kwargs.items()),
                   eval_end_callback, eval_batch_end_callback, self.initializer, self.arg_params, self.aux_params,
                   allow_missing=True, begin_epoch=self.begin_epoch, num_epoch=self.num_epoch, monitor=monitor)
        self.arg_params, self.aux_params = module.get_params()

    def predict(self, X: Any, num_batch: int | None = None, return_data: bool = False, reset: bool = True) -> Any:
        """The outputs as NumPy arrays (one, or a list of several); with `return_data`, (outputs, data, labels)."""
        iterator = self._iterator(X, None, shuffle=False)
        module = self._bound(iterator)
        outputs, data, labels = [], [], []
        for out, _, batch in module.iter_predict(iterator, num_batch, reset):
            outputs.append([o.asnumpy() for o in out])
            rows = slice(len(outputs[-1][0]))
            data.append([x.asnumpy()[rows] for x in batch.data])
            labels.append([x.asnumpy()[rows] for x in batch.label or []])
        joined = _joined(outputs)
        return (joined, _joined(data), _joined(labels)) if return_data else joined

    def score(self, X: Any, eval_metric: Any = "acc", num_batch: int | None = None, batch_end_callback: Any = None,
              reset: bool = True) -> float:
        """The value of a metric over a data iterator."""
        iterator = self._iterator(X, None, shuffle=False)
        [(_, value), *_] = self._bound(iterator).score(iterator, eval_metric, num_batch, batch_end_callback,
                                                       reset=reset)
        return value

    def _module(self, iterator: Any, logger: Any) -> Module:
        data_names = [desc[0] for desc in iterator.provide_data]
        labels = [desc[0] for desc in iterator.provide_label or [] if desc[0] in self.symbol.list_arguments()]
        return Module(self.symbol, data_names, labels or ("softmax_label",), logger=logger, context=self.ctx)

    def _bound(self, iterator: Any) -> Module:
        module = self._module(iterator, logging)
        module.bind(iterator.provide_data, iterator.provide_label, for_training=False)
        module.init_params(self.initializer, self.arg_params, self.aux_params, allow_extra=self.allow_extra_params)
        return module

    def _iterator(self, X: Any, y: Any, shuffle: bool) -> Any:
        """An iterator over arrays; an iterator is returned as it is."""
        if not isinstance(X, (np.ndarray, NDArray)):
            return X
        if y is None and shuffle:
            raise ValueError("FeedForward.fit: arrays need their labels; got y=None; give y")
        size = min(len(X), self.numpy_batch_size)
        return NDArrayIter(X, y, batch_size=size, shuffle=shuffle, last_batch_handle="roll_over" if shuffle else "pad")


class _Epoch:
    """An iterator that ends an epoch after `size` batches, beginning anew where the data ends before."""

    def __init__(self, iterator: Any, size: int):
        self._iterator, self._size = iterator, size
        self.provide_data, self.provide_label = iterator.provide_data, iterator.provide_label

    def reset(self) -> None:
        """Epochs go on where the last one ended."""

    def __iter__(self) -> Any:
        for _ in range(self._size):
            try:
                batch = next(self._iterator)
            except StopIteration:
                self._iterator.reset()
                batch = next(self._iterator)
            yield batch


def _joined(batches: list[list[np.ndarray]]) -> Any:
    arrays = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return arrays[0] if len(arrays) == 1 else arrays

"""What every module does with its forward, backward and update: fit, score, predict."""
from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import initializer as init
from .. import metric as metrics
from .. import model
from ..errors import MXNetError
from ..ndarray.ndarray import NDArray
from .arrays import merged

OPTIMIZER_SETTINGS = (("learning_rate", 0.01),)
DEFAULT_INITIALIZER = init.Uniform(0.01)


class BaseModule:
    """A computation that is bound to shapes, has parameters, and runs on batches.

    Order of calls: bind, init_params, init_optimizer; then for each batch forward, backward, update.  `fit`, `score`
    and `predict` do all of that.   A module of your own defines what raises NotImplementedError here.
    """

    def __init__(self, logger: Any = logging):
        self.logger = logger
        self.binded = self.for_training = self.inputs_need_grad = False
        self.params_initialized = self.optimizer_initialized = False
        self._symbol: Any = None

    # -- what a module defines --------------------------------------------------------------------------------
    data_names: Sequence[str]
    output_names: Sequence[str]
    data_shapes: Sequence[Any]
    label_shapes: Sequence[Any] | None
    output_shapes: Sequence[Any]

    @property
    def symbol(self) -> Any:
        return self._symbol

    def bind(self, data_shapes: Any, label_shapes: Any = None, for_training: bool = True,
             inputs_need_grad: bool = False, force_rebind: bool = False, shared_module: Any = None,
             grad_req: Any = "write") -> None:
        raise NotImplementedError(f"{type(self).__name__} must define bind")

    def init_params(self, initializer: Any = DEFAULT_INITIALIZER, arg_params: Any = None, aux_params: Any = None,
                    allow_missing: bool = False, force_init: bool = False, allow_extra: bool = False) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define init_params")

    def init_optimizer(self, kvstore: Any = "local", optimizer: Any = "sgd",
                       optimizer_params: Any = OPTIMIZER_SETTINGS, force_init: bool = False) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define init_optimizer")

    def get_params(self) -> tuple[dict, dict]:
        raise NotImplementedError(f"{type(self).__name__} must define get_params")

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define forward")

    def backward(self, out_grads: Any = None) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define backward")

    def update(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define update")

    def get_outputs(self, merge_multi_context: bool = True) -> list:
        raise NotImplementedError(f"{type(self).__name__} must define get_outputs")

    def get_input_grads(self, merge_multi_context: bool = True) -> list:
        raise NotImplementedError(f"{type(self).__name__} must define get_input_grads")

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define update_metric")

    def install_monitor(self, mon: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define install_monitor")

    def get_states(self, merge_multi_context: bool = True) -> list:
        """The states carried from batch to batch: none, unless a module has some."""
        return []

    def set_states(self, states: Any = None, value: Any = None) -> None:
        """Set the states carried from batch to batch.  Raises MXNetError where the module has none."""
        if states or value:
            raise MXNetError(f"{type(self).__name__}: it carries no states; got some; name them in state_names")

    def prepare(self, data_batch: Any, sparse_row_id_fn: Callable | None = None) -> None:
        """Called with the next batch before it is run; nothing to prepare unless a module says so."""

    # -- parameters -------------------------------------------------------------------------------------------
    def set_params(self, arg_params: Any, aux_params: Any, allow_missing: bool = False, force_init: bool = True,
                   allow_extra: bool = False) -> None:
        """Overwrite the parameters.  `allow_missing`: others stay; `allow_extra`: unknown names are skipped."""
        self.init_params(initializer=None, arg_params=arg_params, aux_params=aux_params, allow_missing=allow_missing,
                         force_init=force_init, allow_extra=allow_extra)

    def save_params(self, fname: str) -> None:
        """Write the parameters to a ``.params`` file."""
        model.save_params(fname, *self.get_params())

    def load_params(self, fname: str) -> None:
        """Read what `save_params` wrote."""
        self.set_params(*model.read_params(fname))

    # -- loops ------------------------------------------------------------------------------------------------
    def forward_backward(self, data_batch: Any) -> None:
        """Forward in training mode, then backward."""
        self.forward(data_batch, is_train=True)
        self.backward()

    def fit(self, train_data: Any, eval_data: Any = None, eval_metric: Any = "acc", epoch_end_callback: Any = None,
            batch_end_callback: Any = None, kvstore: Any = "local", optimizer: Any = "sgd",
            optimizer_params: Any = OPTIMIZER_SETTINGS, eval_end_callback: Any = None,
            eval_batch_end_callback: Any = None, initializer: Any = DEFAULT_INITIALIZER, arg_params: Any = None,
            aux_params: Any = None, allow_missing: bool = False, force_rebind: bool = False, force_init: bool = False,
            begin_epoch: int = 0, num_epoch: int | None = None, validation_metric: Any = None, monitor: Any = None,
            sparse_row_id_fn: Callable | None = None) -> None:
        """Train for epochs `begin_epoch` to `num_epoch` on a data iterator, scoring `eval_data` after each.

        epoch_end_callback(epoch, symbol, arguments, states) after each epoch; batch_end_callback(BatchEndParam) after
        each batch; one or a list.   validation_metric: default `eval_metric`.   Raises ValueError without num_epoch.
        """
        if num_epoch is None:
            raise ValueError("fit: how many epochs? got num_epoch=None; give num_epoch")
        self.bind(data_shapes=train_data.provide_data, label_shapes=train_data.provide_label, for_training=True,
                  force_rebind=force_rebind)
        if monitor is not None:
            self.install_monitor(monitor)
        self.init_params(initializer=initializer, arg_params=arg_params, aux_params=aux_params,
                         allow_missing=allow_missing, force_init=force_init)
        self.init_optimizer(kvstore=kvstore, optimizer=optimizer, optimizer_params=optimizer_params)
        eval_metric = _metric(eval_metric)
        for epoch in range(begin_epoch, num_epoch):
            start = time.time()
            self._train_epoch(epoch, train_data, eval_metric, batch_end_callback, monitor, sparse_row_id_fn)
            for name, value in eval_metric.get_global_name_value():
                self.logger.info("Epoch[%d] Train-%s=%f", epoch, name, value)
            self.logger.info("Epoch[%d] Time cost=%.3f", epoch, time.time() - start)
            arg_params, aux_params = self.get_params()
            for callback in _as_list(epoch_end_callback):
                callback(epoch, self.symbol, arg_params, aux_params)
            if eval_data is not None:
                scores = self.score(eval_data, validation_metric or eval_metric, epoch=epoch,
                                    score_end_callback=eval_end_callback, batch_end_callback=eval_batch_end_callback)
                for name, value in scores:
                    self.logger.info("Epoch[%d] Validation-%s=%f", epoch, name, value)
            train_data.reset()

    def _train_epoch(self, epoch: int, train_data: Any, eval_metric: Any, batch_end_callback: Any, monitor: Any,
                     sparse_row_id_fn: Callable | None) -> None:
        eval_metric.reset()
        for nbatch, batch in enumerate(train_data):
            self.prepare(batch, sparse_row_id_fn)
            if monitor is not None:
                monitor.tic()
            self.forward_backward(batch)
            self.update()
            self._show(eval_metric, batch)
            if monitor is not None:
                monitor.toc_print()
            for callback in _as_list(batch_end_callback):
                callback(model.BatchEndParam(epoch=epoch, nbatch=nbatch, eval_metric=eval_metric, locals=locals()))

    def _show(self, eval_metric: Any, batch: Any) -> None:
        if isinstance(batch, list):
            self.update_metric(eval_metric, [one.label for one in batch], pre_sliced=True)
        else:
            self.update_metric(eval_metric, batch.label)

    def score(self, eval_data: Any, eval_metric: Any, num_batch: int | None = None, batch_end_callback: Any = None,
              score_end_callback: Any = None, reset: bool = True, epoch: int = 0,
              sparse_row_id_fn: Callable | None = None) -> list[tuple[str, float]]:
        """[(name, value)] of a metric over a data iterator."""
        self._require_parameters("score")
        if reset:
            eval_data.reset()
        eval_metric = _metric(eval_metric)
        eval_metric.reset()
        count = 0
        for nbatch, batch in enumerate(eval_data):
            if nbatch == num_batch:
                break
            self.prepare(batch, sparse_row_id_fn)
            self.forward(batch, is_train=False)
            self._show(eval_metric, batch)
            for callback in _as_list(batch_end_callback):
                callback(model.BatchEndParam(epoch=epoch, nbatch=nbatch, eval_metric=eval_metric, locals=locals()))
            count = nbatch + 1
        for callback in _as_list(score_end_callback):
            callback(model.BatchEndParam(epoch=epoch, nbatch=count, eval_metric=eval_metric, locals=locals()))
        return eval_metric.get_global_name_value()

    def iter_predict(self, eval_data: Any, num_batch: int | None = None, reset: bool = True,
                     sparse_row_id_fn: Callable | None = None) -> Iterator[tuple[list[NDArray], int, Any]]:
        """(outputs without padding, number of the batch, batch) for each batch."""
        self._require_parameters("predict")
        if reset:
            eval_data.reset()
        for nbatch, batch in enumerate(eval_data):
            if nbatch == num_batch:
                return
            self.prepare(batch, sparse_row_id_fn)
            self.forward(batch, is_train=False)
            yield [_unpadded(out, getattr(batch, "pad", 0) or 0) for out in self.get_outputs()], nbatch, batch

    def predict(self, eval_data: Any, num_batch: int | None = None, merge_batches: bool = True, reset: bool = True,
                always_output_list: bool = False, sparse_row_id_fn: Callable | None = None) -> Any:
        """The outputs for an array or over a data iterator.

        One array where there is one output (a list with `always_output_list`); without `merge_batches`, a list of
        outputs for each batch.
        """
        if isinstance(eval_data, (NDArray, np.ndarray)):
            self._require_parameters("predict")
            self.forward(_OneArray(eval_data), is_train=False)
            batches = [[NDArray._wrap(out._data.clone(), out._ctx) for out in self.get_outputs()]]
        else:
            batches = [outputs for outputs, _, _ in
                       self.iter_predict(eval_data, num_batch, reset, sparse_row_id_fn)]
        if not batches or not merge_batches:
            return batches
        if len({len(outputs) for outputs in batches}) > 1:
            raise MXNetError(f"predict: batches have different numbers of outputs; got "
                             f"{[len(outputs) for outputs in batches]}; pass merge_batches=False (bucketing does this)")
        outputs = [merged(parts) for parts in zip(*batches, strict=True)]
        return outputs[0] if len(outputs) == 1 and not always_output_list else outputs

    def _require_parameters(self, where: str) -> None:
        if not (self.binded and self.params_initialized):
            raise AssertionError(f"{where}: the module has no parameters yet; call bind and init_params (or fit) first")


class _OneArray:
    """A batch of one input without labels."""

    def __init__(self, array: Any):
        self.data, self.label, self.pad = [array], None, 0


def _unpadded(array: NDArray, pad: int) -> NDArray:
    data = array._data
    return NDArray._wrap(data[:data.shape[0] - pad].clone(), array._ctx)


def _metric(wanted: Any) -> metrics.EvalMetric:
    return wanted if isinstance(wanted, metrics.EvalMetric) else metrics.create(wanted)


def _as_list(callbacks: Any) -> list:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]

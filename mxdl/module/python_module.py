"""Modules written in Python: no parameters, the computation is the subclass's."""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import MXNetError
from ..ndarray.ndarray import NDArray
from .arrays import shape_of
from .base_module import DEFAULT_INITIALIZER, OPTIMIZER_SETTINGS, BaseModule


class PythonModule(BaseModule):
    """A module without parameters.  A subclass defines forward, backward, get_outputs, get_input_grads and
    `_compute_output_shapes`."""

    def __init__(self, data_names: Sequence[str], label_names: Sequence[str] | None, output_names: Sequence[str],
                 logger: Any = logging):
        super().__init__(logger)
        self.data_names, self.label_names = list(data_names), list(label_names or [])
        self.output_names = list(output_names)
        self.data_shapes, self.label_shapes, self.output_shapes = [], None, []

    def bind(self, data_shapes: Any, label_shapes: Any = None, for_training: bool = True,
             inputs_need_grad: bool = False, force_rebind: bool = False, shared_module: Any = None,
             grad_req: Any = "write") -> None:
        """Remember the shapes."""
        if self.binded and not force_rebind:
            self.logger.warning("PythonModule.bind: bound before and left so; force_rebind=True binds anew")
            return
        names = [shape_of(desc)[0] for desc in data_shapes]
        if names != self.data_names:
            raise ValueError(f"{type(self).__name__}: data shapes do not match the data names; got {names}; need "
                             f"{self.data_names}")
        self.for_training, self.inputs_need_grad = for_training, inputs_need_grad
        self.data_shapes, self.label_shapes = list(data_shapes), label_shapes
        self.output_shapes = self._compute_output_shapes()
        self.binded = True

    def _compute_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        raise NotImplementedError(f"{type(self).__name__} must define _compute_output_shapes")

    def init_params(self, initializer: Any = DEFAULT_INITIALIZER, arg_params: Any = None, aux_params: Any = None,
                    allow_missing: bool = False, force_init: bool = False, allow_extra: bool = False) -> None:
        """Nothing to set."""
        self.params_initialized = True

    def get_params(self) -> tuple[dict, dict]:
        return {}, {}

    def init_optimizer(self, kvstore: Any = "local", optimizer: Any = "sgd",
                       optimizer_params: Any = OPTIMIZER_SETTINGS, force_init: bool = False) -> None:
        """Nothing to update."""
        self.optimizer_initialized = True

    def update(self) -> None:
        """Nothing to update."""

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        """Show the metric the outputs, where the module takes labels."""
        if self.label_shapes is None:
            return
        if pre_sliced:
            raise MXNetError(f"{type(self).__name__}: labels cut over devices are not taken; got pre_sliced=True")
        eval_metric.update(labels, self.get_outputs())

    def install_monitor(self, mon: Any) -> None:
        """Nothing to watch."""


class PythonLossModule(PythonModule):
    """A loss at the end of a SequentialModule: its output is its input, its gradient is `grad_func(scores, labels)`."""

    def __init__(self, name: str = "pyloss", data_names: Sequence[str] = ("data",),
                 label_names: Sequence[str] | None = ("softmax_label",), logger: Any = logging,
                 grad_func: Callable[[NDArray, NDArray], Any] | None = None):
        super().__init__(data_names, label_names, [f"{name}_output"], logger)
        self._grad_func = grad_func
        self._scores: NDArray | None = None
        self._labels: NDArray | None = None
        self._scores_grad: NDArray | None = None

    def _compute_output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        return [(self.output_names[0], shape_of(self.data_shapes[0])[1])]

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        self._scores = data_batch.data[0]
        if self.for_training if is_train is None else is_train:
            self._labels = data_batch.label[0]

    def get_outputs(self, merge_multi_context: bool = True) -> list:
        return [self._scores]

    def backward(self, out_grads: Any = None) -> None:
        if out_grads is not None:
            raise MXNetError(f"{type(self).__name__}: a loss takes no gradients; got out_grads")
        self._backward_impl()

    def _backward_impl(self) -> None:
        """The gradient of the scores; a subclass may define it instead of giving grad_func."""
        if self._grad_func is None:
            raise NotImplementedError(f"{type(self).__name__}: no gradient; give grad_func, or define _backward_impl")
        grad = self._grad_func(self._scores, self._labels)
        if not isinstance(grad, NDArray):
            raise MXNetError(f"{type(self).__name__}: grad_func must return an NDArray; got {type(grad).__name__}")
        self._scores_grad = grad

    def get_input_grads(self, merge_multi_context: bool = True) -> list:
        return [self._scores_grad]

"""SequentialModule: modules in a row, each fed with the outputs of the one before."""
from __future__ import annotations

import logging
from typing import Any, NamedTuple

from .arrays import shape_of
from .base_module import DEFAULT_INITIALIZER, OPTIMIZER_SETTINGS, BaseModule


class SequentialModule(BaseModule):
    """``SequentialModule().add(first).add(last, take_labels=True, auto_wiring=True)``

    take_labels: this module gets the labels.   auto_wiring: its data names are given the outputs before it in order.
    """

    META_TAKE_LABELS = "take_labels"
    META_AUTO_WIRING = "auto_wiring"

    def __init__(self, logger: Any = logging):
        super().__init__(logger)
        self._modules: list[BaseModule] = []
        self._metas: list[dict[str, Any]] = []
        self._label_shapes: Any = None

    def add(self, module: BaseModule, **kwargs: Any) -> SequentialModule:
        """Append a module.  Raises ValueError for an unknown keyword."""
        for key in kwargs:
            if key not in (self.META_TAKE_LABELS, self.META_AUTO_WIRING):
                raise ValueError(f"SequentialModule.add: no such setting; got {key}; there are take_labels and "
                                 f"auto_wiring")
        self._modules.append(module)
        self._metas.append(kwargs)
        self.binded = self.params_initialized = self.optimizer_initialized = False
        return self

    @property
    def data_names(self) -> list[str]:  # type: ignore[override]
        return list(self._modules[0].data_names)

    @property
    def output_names(self) -> list[str]:  # type: ignore[override]
        return list(self._modules[-1].output_names)

    @property
    def data_shapes(self) -> list:  # type: ignore[override]
        return list(self._modules[0].data_shapes)

    @property
    def label_shapes(self) -> Any:  # type: ignore[override]
        return self._label_shapes

    @property
    def output_shapes(self) -> list:  # type: ignore[override]
        return list(self._modules[-1].output_shapes)

    def bind(self, data_shapes: Any, label_shapes: Any = None, for_training: bool = True,
             inputs_need_grad: bool = False, force_rebind: bool = False, shared_module: Any = None,
             grad_req: Any = "write") -> None:
        """Bind the first to the data, each other to the outputs before it."""
        if self.binded and not force_rebind:
            self.logger.warning("SequentialModule.bind: bound before and left so; force_rebind=True binds anew")
            return
        shapes, self._label_shapes = list(data_shapes), label_shapes
        for i, (module, meta) in enumerate(zip(self._modules, self._metas, strict=True)):
            if meta.get(self.META_AUTO_WIRING):
                shapes = [(name, shape_of(desc)[1]) for name, desc in zip(module.data_names, shapes, strict=True)]
            labels = label_shapes if meta.get(self.META_TAKE_LABELS) else None
            module.bind(shapes, labels, for_training, inputs_need_grad or (for_training and i > 0), force_rebind,
                        grad_req=grad_req)
            shapes = list(module.output_shapes)
        self.for_training, self.inputs_need_grad, self.binded = for_training, inputs_need_grad, True

    def init_params(self, initializer: Any = DEFAULT_INITIALIZER, arg_params: Any = None, aux_params: Any = None,
                    allow_missing: bool = False, force_init: bool = False, allow_extra: bool = False) -> None:
        """Set the parameters of every module.  Raises ValueError where two modules have one of the same name."""
        seen: dict[str, int] = {}
        for i, module in enumerate(self._modules):
            module.init_params(initializer, arg_params, aux_params, allow_missing, force_init, allow_extra=True)
            for name in (name for params in module.get_params() for name in params):
                if name in seen:
                    raise ValueError(f"SequentialModule: modules {seen[name]} and {i} both have a parameter {name!r}; "
                                     f"give their symbols other names")
                seen[name] = i
        self.params_initialized = True

    def get_params(self) -> tuple[dict, dict]:
        arg_params: dict = {}
        aux_params: dict = {}
        for module in self._modules:
            arguments, states = module.get_params()
            arg_params.update(arguments)
            aux_params.update(states)
        return arg_params, aux_params

    def init_optimizer(self, kvstore: Any = "local", optimizer: Any = "sgd",
                       optimizer_params: Any = OPTIMIZER_SETTINGS, force_init: bool = False) -> None:
        """The same optimizer, with states of its own, for every module."""
        for module in self._modules:
            module.init_optimizer(kvstore, optimizer, optimizer_params, force_init)
        self.optimizer_initialized = True

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Run all in a row."""
        data = data_batch.data
        for i, module in enumerate(self._modules):
            module.forward(_Batch(data, data_batch.label, getattr(data_batch, "pad", 0)) if i else data_batch, is_train)
            data = module.get_outputs()

    def backward(self, out_grads: Any = None) -> None:
        """Run all backwards: each is given the input gradients of the one after it."""
        for i, module in reversed(list(enumerate(self._modules))):
            module.backward(out_grads)
            if i:
                out_grads = module.get_input_grads()

    def update(self) -> None:
        for module in self._modules:
            module.update()

    def get_outputs(self, merge_multi_context: bool = True) -> list:
        return self._modules[-1].get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> list:
        return self._modules[0].get_input_grads(merge_multi_context)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        for module, meta in zip(self._modules, self._metas, strict=True):
            if meta.get(self.META_TAKE_LABELS):
                module.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        for module in self._modules:
            module.install_monitor(mon)


class _Batch(NamedTuple):
    """What a module in the row is given: the outputs before it, and the labels."""

    data: list
    label: Any
    pad: int

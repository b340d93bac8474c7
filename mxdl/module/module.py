"""Module: a symbol with parameters, bound on one or more devices."""
from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from .. import initializer as init
from .. import model
from ..device import Context, cpu
from ..errors import suggest
from ..ndarray.ndarray import NDArray
from ..symbol.symbol import Symbol
from .arrays import Arrays, described, shape_of
from .base_module import DEFAULT_INITIALIZER, OPTIMIZER_SETTINGS, BaseModule
from .executors import ExecutorGroup
from .update import Updates

_DEFAULT_LABELS = ("softmax_label",)


class Module(BaseModule):
    """``mx.mod.Module(net, data_names=['data'], label_names=['softmax_label'], context=mx.cpu())``

    state_names: arguments carried from batch to batch, neither data nor parameters.   fixed_param_names: parameters
    that are not trained.   A module that is not bound when `forward` is first called binds itself to the batch and
    takes the default initializer.
    """

    def __init__(self, symbol: Symbol, data_names: Sequence[str] = ("data",),
                 label_names: Sequence[str] | None = _DEFAULT_LABELS, logger: Any = logging,
                 context: Context | Sequence[Context] | None = None, work_load_list: Any = None,
                 fixed_param_names: Sequence[str] | None = None, state_names: Sequence[str] | None = None,
                 group2ctxs: Any = None, compression_params: Any = None):
        super().__init__(logger)
        self._symbol = symbol
        self._context = [cpu()] if context is None else [context] if isinstance(context, Context) else list(context)
        arguments = symbol.list_arguments()
        self._data_names = _checked(arguments, data_names, "data")
        self._label_names = _labels(arguments, label_names)
        self._state_names = _checked(arguments, state_names or (), "state")
        self._fixed = frozenset(_checked(arguments, fixed_param_names or (), "fixed parameter"))
        inputs = {*self._data_names, *self._label_names, *self._state_names}
        self._param_names = [name for name in arguments if name not in inputs]
        self._aux_names = symbol.list_auxiliary_states()
        self._group: ExecutorGroup | None = None
        self._updates: Updates | None = None
        self._preload: str | None = None
        self._loaded: tuple[dict, dict] | None = None
        self._grad_req: Any = "write"

    @staticmethod
    def load(prefix: str, epoch: int, load_optimizer_states: bool = False, **kwargs: Any) -> Module:
        """A module from a checkpoint; `kwargs` as in the constructor.  Its parameters are set when it is bound."""
        symbol, arg_params, aux_params = model.load_checkpoint(prefix, epoch)
        module = Module(symbol=symbol, **kwargs)
        module._loaded = arg_params, aux_params
        module.params_initialized = True
        if load_optimizer_states:
            module._preload = f"{prefix}-{epoch:04d}.states"
        return module

    def save_checkpoint(self, prefix: str, epoch: int, save_optimizer_states: bool = False,
                        remove_amp_cast: bool = True) -> None:
        """Write ``PREFIX-symbol.json``, ``PREFIX-EPOCH.params`` and, if asked, ``PREFIX-EPOCH.states``."""
        model.save_checkpoint(prefix, epoch, self._symbol, *self.get_params(), remove_amp_cast=remove_amp_cast)
        if save_optimizer_states:
            self.save_optimizer_states(f"{prefix}-{epoch:04d}.states")

    # -- names and shapes -------------------------------------------------------------------------------------
    @property
    def data_names(self) -> list[str]:
        return self._data_names

    @property
    def label_names(self) -> list[str]:
        return self._label_names

    @property
    def output_names(self) -> list[str]:
        return self._symbol.list_outputs()

    @property
    def data_shapes(self) -> list:
        return self._bound("data_shapes").data_shapes

    @property
    def label_shapes(self) -> list:
        return self._bound("label_shapes").label_shapes

    @property
    def output_shapes(self) -> list[tuple[str, tuple[int, ...]]]:
        group = self._bound("output_shapes")
        shapes = dict(map(shape_of, (*group.data_shapes, *group.label_shapes)))
        _, outputs, _ = self._symbol.infer_shape(**{k: v for k, v in shapes.items() if k in self._symbol.list_inputs()})
        return list(zip(self.output_names, outputs, strict=True))

    def _bound(self, where: str) -> ExecutorGroup:
        if self._group is None:
            raise AssertionError(f"Module.{where}: it has no arrays yet; call bind first")
        return self._group

    # -- binding ----------------------------------------------------------------------------------------------
    def bind(self, data_shapes: Any, label_shapes: Any = None, for_training: bool = True,
             inputs_need_grad: bool = False, force_rebind: bool = False, shared_module: Module | None = None,
             grad_req: Any = "write") -> None:
        """Make executors for these shapes: DataDescs or (name, shape) pairs of a whole batch.

        grad_req: "write", "add" or "null" for the parameters, or a list or dict by name.   shared_module: take its
        arrays where name and shape are the same.
        """
        if self.binded and not force_rebind:
            self.logger.warning("Module.bind: bound before and left so; force_rebind=True binds anew")
            return
        values = self._group.averages([*self._param_names, *self._aux_names]) if self._group is not None else None
        self.for_training, self.inputs_need_grad, self._grad_req = for_training, inputs_need_grad, grad_req
        data_shapes, label_shapes = _ordered(self._data_names, data_shapes), list(label_shapes or [])
        shared = shared_module._bound("bind") if shared_module is not None else None
        self._group = ExecutorGroup(self._symbol, self._context, data_shapes, label_shapes, self._requests(), shared)
        self.binded = True
        if shared_module is not None and shared_module.params_initialized:
            self.params_initialized = True
        if values is not None:
            self._group.assign(values)
        elif self._loaded is not None:
            loaded, self._loaded = self._loaded, None
            self._group.assign(loaded[0] | loaded[1])

    def _requests(self) -> dict[str, str]:
        requests = dict.fromkeys(self._symbol.list_arguments(), "null")
        if not self.for_training:
            return requests
        given = self._grad_req
        if not isinstance(given, (str, Mapping)):
            given = dict(zip(self._symbol.list_arguments(), given, strict=True))
        for name in self._param_names:
            if name not in self._fixed:
                requests[name] = given if isinstance(given, str) else given.get(name, "write")
        if self.inputs_need_grad:
            requests.update(dict.fromkeys(self._data_names, "write"))
        return requests

    def reshape(self, data_shapes: Any, label_shapes: Any = None) -> None:
        """Bind to batches of other shapes; the parameters stay."""
        group = self._bound("reshape")
        self._group = ExecutorGroup(self._symbol, self._context, _ordered(self._data_names, data_shapes),
                                    list(label_shapes or []), self._requests(), group)

    # -- parameters -------------------------------------------------------------------------------------------
    def init_params(self, initializer: Any = DEFAULT_INITIALIZER, arg_params: Any = None, aux_params: Any = None,
                    allow_missing: bool = False, force_init: bool = False, allow_extra: bool = False) -> None:
        """Set the parameters: from the dicts given, the others by `initializer` (None: they stay as they are).

        allow_missing: with dicts given, names that they lack are initialized instead of being an error.
        allow_extra: unknown names in the dicts are skipped.   Raises RuntimeError, ValueError.
        """
        if self.params_initialized and not force_init:
            warnings.warn("init_params: parameters are initialized already; pass force_init=True to do it again",
                          stacklevel=2)
            return
        group = self._bound("init_params")
        attrs = self._symbol.attr_dict()
        for names, given, kind in ((self._param_names, arg_params, "arg_params"),
                                   (self._aux_names, aux_params, "aux_params")):
            if given is not None and not allow_extra:
                _refuse_unknown(given, {*names, *self._data_names, *self._label_names}, kind)
            for name in names:
                if given is not None and name in given:
                    group.assign({name: given[name]})
                elif given is not None and not allow_missing:
                    raise RuntimeError(f"init_params: {kind} lacks {name}; got {', '.join(list(given)[:5])}, ...; "
                                       f"pass allow_missing=True to initialize it")
                elif initializer is not None:
                    self._initialize(name, initializer, attrs.get(name, {}))
        self.params_initialized = True

    def _initialize(self, name: str, initializer: Any, attrs: dict[str, str]) -> None:
        arrays = self._bound("init_params").arrays([name])[0]
        initializer(init.InitDesc(name, attrs, global_init=initializer), arrays[0])
        for array in arrays[1:]:
            array._data.detach().copy_(arrays[0]._data.detach())

    def get_params(self) -> tuple[Arrays, Arrays]:
        """(arguments, auxiliary states) by name.  On one device they are the module's own arrays: writing to them
        changes the module."""
        if self._loaded is not None:
            return Arrays(self._loaded[0]), Arrays(self._loaded[1])
        group = self._bound("get_params")
        return Arrays(group.averages(self._param_names)), Arrays(group.averages(self._aux_names))

    def get_grads(self) -> tuple[Arrays, Arrays]:
        """Gradients of the arguments, and nothing for the auxiliary states: in step with `get_params`."""
        grads = self._bound("get_grads").grads(self._param_names)
        named = zip(self._param_names, grads, strict=True)
        return Arrays({name: _sum(parts) for name, parts in named if parts[0] is not None}), Arrays()

    # -- running ----------------------------------------------------------------------------------------------
    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Run on a batch (`data`, `label`); binds anew where its shapes are others.

        is_train: default what `bind` was told.
        """
        labels = data_batch.label or []
        data_shapes = getattr(data_batch, "provide_data", None) or described(
            "data arrays", self._data_names, data_batch.data)
        label_shapes = getattr(data_batch, "provide_label", None) or [
            (name, tuple(array.shape)) for name, array in zip(self._label_names, labels, strict=False)]
        self._bind_to(data_shapes, label_shapes, bool(labels))
        group = self._bound("forward")
        data = dict(zip((shape_of(d)[0] for d in data_shapes), data_batch.data, strict=True))
        group.forward([data[name] for name, _ in map(shape_of, group.data_shapes)], labels,
                      self.for_training if is_train is None else is_train)

    def _bind_to(self, data_shapes: Sequence[Any], label_shapes: Sequence[Any], has_labels: bool) -> None:
        if self._group is None:
            self.bind(data_shapes, label_shapes)
            if not self.params_initialized:
                self.init_params()
            return
        now = dict(map(shape_of, self._group.data_shapes))
        wanted = dict(map(shape_of, data_shapes))
        if now != wanted:
            self.reshape(data_shapes, label_shapes if has_labels else None)

    def backward(self, out_grads: Any = None) -> None:
        """Gradients of the last forward; `out_grads` where the outputs are no losses."""
        if isinstance(out_grads, NDArray):
            out_grads = [out_grads]
        self._bound("backward").backward(out_grads)

    def get_outputs(self, merge_multi_context: bool = True) -> list:
        """The outputs of the last forward; with `merge_multi_context=False`, a list of each device's."""
        return self._bound("get_outputs").outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> list:
        """Gradients of the data, where `bind` was given inputs_need_grad=True."""
        if not self.inputs_need_grad:
            raise AssertionError("get_input_grads: the module has none; call bind with inputs_need_grad=True")
        return self._bound("get_input_grads").input_grads(self._data_names, merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> list:
        """The states carried from batch to batch."""
        arrays = self._bound("get_states").arrays(self._state_names)
        return [parts[0] for parts in arrays] if merge_multi_context and len(self._context) == 1 else arrays

    def set_states(self, states: Any = None, value: Any = None) -> None:
        """Set the states to arrays (in the order of state_names) or all of them to a number."""
        for i, parts in enumerate(self._bound("set_states").arrays(self._state_names)):
            for k, array in enumerate(parts):
                if states is None:
                    array._data.detach().fill_(value)
                else:
                    given = states[i][k] if isinstance(states[i], (list, tuple)) else states[i]
                    array._data.detach().copy_(given._data.detach())

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        """Show a metric the outputs of the last forward with their labels."""
        self._bound("update_metric").update_metric(eval_metric, self._label_names, labels or [], pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        """Let a Monitor watch the outputs of every operator."""
        self._bound("install_monitor").install_monitor(mon)

    # -- updating ---------------------------------------------------------------------------------------------
    def init_optimizer(self, kvstore: Any = "local", optimizer: Any = "sgd",
                       optimizer_params: Any = OPTIMIZER_SETTINGS, force_init: bool = False) -> None:
        """Choose how parameters are updated.  rescale_grad is one over the batch size unless given."""
        if self.optimizer_initialized and not force_init:
            self.logger.warning("Module.init_optimizer: there is one, which stays; force_init=True replaces it")
            return
        group = self._bound("init_optimizer")
        self._updates = Updates(self._param_names, len(self._context), group.batch_size, kvstore, optimizer,
                                dict(optimizer_params), self._symbol, self.logger)
        self.optimizer_initialized = True
        if self._preload is not None:
            self._updates.load_states(self._preload)
            self._preload = None

    def borrow_optimizer(self, shared_module: Module) -> None:
        """Update with another module's optimizer and states."""
        self._updates = shared_module._optimized("borrow_optimizer")
        self.optimizer_initialized = True

    def _optimized(self, where: str) -> Updates:
        if self._updates is None:
            raise AssertionError(f"Module.{where}: no optimizer; call init_optimizer first")
        return self._updates

    def update(self) -> None:
        """Change the parameters by their gradients."""
        updates, group = self._optimized("update"), self._bound("update")
        updates.step(group.arrays(updates.names), group.grads(updates.names))

    def save_optimizer_states(self, fname: str) -> None:
        """Write the optimizer's states."""
        self._optimized("save_optimizer_states").save_states(fname)

    def load_optimizer_states(self, fname: str) -> None:
        """Read what `save_optimizer_states` wrote."""
        self._optimized("load_optimizer_states").load_states(fname)


def _checked(arguments: Sequence[str], names: Sequence[str], kind: str) -> list[str]:
    """`names`, which must be arguments of the symbol."""
    for name in names:
        if name not in arguments:
            raise ValueError(f"Module: no such {kind} argument; got {name!r}; the symbol has {', '.join(arguments)}"
                             f"{suggest(name, arguments)}")
    return list(names)


def _labels(arguments: Sequence[str], names: Sequence[str] | None) -> list[str]:
    """The label names; where the default is no argument, the arguments that end in "label"."""
    if names is None:
        return []
    if tuple(names) == _DEFAULT_LABELS and _DEFAULT_LABELS[0] not in arguments:
        return [name for name in arguments if name.endswith("_label")]
    missing = [name for name in names if name not in arguments]
    if missing:
        warnings.warn(f"Module: no such label argument; got {', '.join(missing)}; the symbol has "
                      f"{', '.join(arguments)}", stacklevel=4)
    return list(names)


def _ordered(names: Sequence[str], shapes: Sequence[Any]) -> list:
    """Descriptions in the order of `names`.  Raises ValueError where they do not match."""
    by_name = {shape_of(desc)[0]: desc for desc in shapes}
    if set(by_name) != set(names):
        raise ValueError(f"Module.bind: data shapes do not match the data names; got {', '.join(by_name)}; "
                         f"need {', '.join(names)}")
    return [by_name[name] for name in names]


def _refuse_unknown(given: Mapping[str, Any], known: set[str], kind: str) -> None:
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"init_params: {kind} holds parameters that the symbol does not have; got "
                         f"{', '.join(unknown)}; pass allow_extra=True to skip them{suggest(unknown[0], known)}")


def _sum(parts: Sequence[NDArray]) -> NDArray:
    """The sum over devices; on one device the array itself."""
    if len(parts) == 1:
        return parts[0]
    total = parts[0]._data.clone()
    for array in parts[1:]:
        total += array._data.to(total.device)
    return NDArray._wrap(total, parts[0]._ctx)



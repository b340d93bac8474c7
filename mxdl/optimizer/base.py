"""What every optimizer is: rates and decays per parameter, counts of updates, and the update of many at once."""
from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch

from ..errors import suggest, unknown_arguments
from ..lr_scheduler import LRScheduler
from ..ndarray import NDArray

LOW_PRECISION = (torch.float16, torch.bfloat16)
#: elements that a CPU's rules take at once
PIECE = 1 << 16


class Group(NamedTuple):
    """Parameters that one call of a rule updates: they share rate, decay, count and dtype.

    states: one list for each state array of the optimizer, each as long as `weights`.   t: number of this update.
    """

    indices: list
    weights: list[torch.Tensor]
    grads: list[torch.Tensor]
    states: list[list[torch.Tensor]]
    lr: float
    wd: float
    t: int


class Optimizer:
    """Base of all optimizers.

    One of your own defines ``create_state(index, weight)`` and ``update(index, weight, grad, state)`` on NDArrays, as
    in MXNet (call ``self._update_count(index)``, then ``self._get_lr(index)`` and ``self._get_wd(index)``).  The
    optimizers here define `num_states` and `apply(group)` instead, which changes many parameters in one call.

    Args:
        rescale_grad: gradients are multiplied by it first.
        param_idx2name: names by index, for multipliers given by name; biases and betas then get no weight decay.
        wd: weight decay.
        clip_gradient: gradients are clamped to this size, entry by entry, once rescaled.
        learning_rate: default the scheduler's base_lr, else `default_rate`; given, it becomes the scheduler's too.
        lr_scheduler: the rate as a function of the number of updates.
        sym: a Symbol whose variables carry __lr_mult__ and __wd_mult__.
        begin_num_update: the number of updates done before.
        multi_precision: keep a float32 copy of float16 and bfloat16 weights.
        param_dict: Gluon parameters by index; their lr_mult and wd_mult count.
    """

    opt_registry: ClassVar[dict[str, type[Optimizer]]] = {}
    #: how many arrays of the weight's shape one parameter's state has
    num_states = 0
    #: the rate where neither learning_rate nor a scheduler gives one
    default_rate = 0.01
    #: whether an element's update depends on nothing but that element of weight, gradient and states, so that arrays
    #: may be updated in parts.  It holds for the class that says it, not for those derived from it: they may add a norm
    is_elementwise = False

    def __init__(self, rescale_grad: float = 1.0, param_idx2name: Mapping[int, str] | None = None, wd: float = 0.0,
                 clip_gradient: float | None = None, learning_rate: float | None = None,
                 lr_scheduler: Callable[[int], float] | None = None, sym: Any = None, begin_num_update: int = 0,
                 multi_precision: bool = False, param_dict: Mapping[int, Any] | None = None, **unknown: Any):
        if unknown:
            raise TypeError(unknown_arguments(type(self), unknown))
        if param_idx2name is not None and not isinstance(param_idx2name, Mapping):
            raise TypeError(f"Optimizer: param_idx2name maps indices to names; got {param_idx2name!r}")
        self.rescale_grad = rescale_grad
        self.wd = wd
        self.clip_gradient = clip_gradient
        self.multi_precision = multi_precision
        self.aggregate_num = 0
        self.lr_scheduler = lr_scheduler
        self.lr = self._first_rate(learning_rate)
        self.begin_num_update = begin_num_update
        self.num_update = begin_num_update
        self._all_index_update_counts: dict[int, dict] = {0: {}}
        self._index_update_count = self._all_index_update_counts[0]
        self.idx2name = dict(param_idx2name or {})
        self.param_dict = param_dict or {}
        self.sym_info = (sym.attr_dict(), sym.list_arguments()) if sym is not None else ()
        self.set_lr_mult({})
        self.set_wd_mult({})

    def _first_rate(self, learning_rate: float | None) -> float | None:
        if self.lr_scheduler is None:
            return self.default_rate if learning_rate is None else learning_rate
        if learning_rate is not None and isinstance(self.lr_scheduler, LRScheduler):
            if self.lr_scheduler.base_lr != learning_rate:
                logging.getLogger(__name__).info("learning_rate=%g overwrites the scheduler's base_lr=%g",
                                                 learning_rate, self.lr_scheduler.base_lr)
            self.lr_scheduler.base_lr = learning_rate
        return learning_rate

    # -- registry ---------------------------------------------------------------------------------------------
    @staticmethod
    def register(klass: type[Optimizer]) -> type[Optimizer]:
        """Class decorator: makes ``create(klass.__name__)`` build this optimizer (the name is not case sensitive)."""
        if not (isinstance(klass, type) and issubclass(klass, Optimizer)):
            raise TypeError(f"Optimizer.register: needs a class derived from Optimizer; got {klass!r}")
        name = klass.__name__.lower()
        if name in Optimizer.opt_registry and Optimizer.opt_registry[name] is not klass:
            warnings.warn(f"optimizer {name!r} is registered anew: {klass.__module__} takes the place of "
                          f"{Optimizer.opt_registry[name].__module__}", stacklevel=2)
        Optimizer.opt_registry[name] = klass
        return klass

    @staticmethod
    def create_optimizer(name: str | Optimizer, **kwargs: Any) -> Optimizer:
        """The optimizer of that name; an instance is returned as it is."""
        if isinstance(name, Optimizer):
            if kwargs:
                raise ValueError(f"optimizer.create: {name!r} is made already; got {', '.join(kwargs)}")
            return name
        known = Optimizer.opt_registry
        if not isinstance(name, str) or name.lower() not in known:
            raise ValueError(f"optimizer.create: no optimizer is called {name!r}; there are {', '.join(sorted(known))}"
                             f"{suggest(str(name).lower(), known)}")
        return known[name.lower()](**kwargs)

    def make_updater(self) -> Any:
        """An updater of this optimizer: what a kvstore asks for."""
        from .updater import Updater
        return Updater(self)

    def describe(self) -> tuple[str, dict[str, Any]]:
        """Registered name and settings (JSON): how it travels to parameter servers.  Raises ValueError."""
        from .description import describe
        return describe(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g}, wd={self.wd:g})"

    # -- rates ------------------------------------------------------------------------------------------------
    @property
    def learning_rate(self) -> float:
        """The rate of the next update, before multipliers."""
        return self.lr if self.lr_scheduler is None else self.lr_scheduler(self.num_update)

    def set_learning_rate(self, lr: float) -> None:
        """Sets the rate.  Raises UserWarning where a scheduler gives it."""
        if self.lr_scheduler is not None:
            raise UserWarning("set_learning_rate: the rate comes from this optimizer's lr_scheduler; set its base_lr, "
                              "or make the optimizer without one")
        self.lr = lr

    def set_lr_mult(self, args_lr_mult: Mapping) -> None:
        """Multipliers of the rate by name or index; those of the symbol's variables count too."""
        self.lr_mult = {**self._multipliers_in_symbol("__lr_mult__"), **args_lr_mult}

    def set_wd_mult(self, args_wd_mult: Mapping) -> None:
        """Multipliers of the decay by name or index; known names other than weights and gammas begin at 0."""
        free = {name: 0.0 for name in self.idx2name.values() if not name.endswith(("_weight", "_gamma"))}
        self.wd_mult = {**free, **self._multipliers_in_symbol("__wd_mult__"), **args_wd_mult}

    def set_lr_scale(self, args_lrscale: Mapping) -> None:
        """The old name of `set_lr_mult`."""
        raise DeprecationWarning("set_lr_scale: use set_lr_mult")

    def _multipliers_in_symbol(self, attribute: str) -> dict[str, float]:
        if not self.sym_info:
            return {}
        attributes, names = self.sym_info
        return {name: float(attributes[name][attribute]) for name in names
                if attribute in attributes.get(name, {})}

    def _multiplier(self, index, own: str, named: Mapping) -> float:
        if index in self.param_dict:
            return getattr(self.param_dict[index], own)
        return named.get(index, named.get(self.idx2name.get(index), 1.0))

    def _get_lrs(self, indices: Sequence) -> list[float]:
        rate = self.learning_rate
        return [rate * self._multiplier(index, "lr_mult", self.lr_mult) for index in indices]

    def _get_lr(self, index) -> float:
        return self._get_lrs([index])[0]

    def _get_wds(self, indices: Sequence) -> list[float]:
        return [self.wd * self._multiplier(index, "wd_mult", self.wd_mult) for index in indices]

    def _get_wd(self, index) -> float:
        return self._get_wds([index])[0]

    # -- counts -----------------------------------------------------------------------------------------------
    def _set_current_context(self, device_id: int) -> None:
        """Counts are kept for each device: the same parameter is updated once on each."""
        self._index_update_count = self._all_index_update_counts.setdefault(device_id, {})

    def _update_count(self, index) -> None:
        for one in index if isinstance(index, (list, tuple)) else [index]:
            count = self._index_update_count.get(one, self.begin_num_update) + 1
            self._index_update_count[one] = count
            self.num_update = max(self.num_update, count)

    # -- states -----------------------------------------------------------------------------------------------
    def create_state(self, index, weight: NDArray) -> Any:
        """The state of a parameter before its first update: None, an NDArray or a tuple of them."""
        states = tuple(zeros_like(weight) for _ in range(self.num_states))
        return states if len(states) > 1 else states[0] if states else None

    def create_state_multi_precision(self, index, weight: NDArray) -> Any:
        """`create_state`; for a low-precision weight under multi_precision (its float32 copy, that copy's state)."""
        if self._keeps_float32(weight):
            weight32 = weight.astype("float32")
            return weight32, self.create_state(index, weight32)
        if weight._data.dtype in LOW_PRECISION and self.num_states:
            warnings.warn(f"{type(self).__name__} accumulates in {weight._data.dtype}, which loses small updates; "
                          "use multi_precision=True", stacklevel=2)
        return self.create_state(index, weight)

    def _keeps_float32(self, weight: NDArray) -> bool:
        return self.multi_precision and weight._data.dtype in LOW_PRECISION

    # -- updates ----------------------------------------------------------------------------------------------
    def update(self, index, weight, grad, state) -> None:
        """Updates a parameter, or lists of parameters, in place.

        Args:
            index: the parameter's index, or a list of indices; the others are then lists as long.
        """
        if not isinstance(index, (list, tuple)):
            index, weight, grad, state = [index], [weight], [grad], [state]
        self._update_count(index)
        self._update_counted(index, weight, grad, state)

    def _update_counted(self, index, weight, grad, state) -> None:
        with torch.no_grad():
            for group in self._groups(index, [x._data for x in weight], [x._data for x in grad],
                                      [_tensors(one) for one in state]):
                for piece in [group] if self.reads_once else _pieces(group):
                    self.apply(piece)

    def update_multi_precision(self, index, weight, grad, state) -> None:
        """`update`, on the float32 copies of low-precision weights where the optimizer keeps them."""
        if not isinstance(index, (list, tuple)):
            index, weight, grad, state = [index], [weight], [grad], [state]
            if not self._keeps_float32(weight[0]):      # an update of one's own may only know single parameters
                return self.update(index[0], weight[0], grad[0], state[0])
        self._on_copies(self.update, index, weight, grad, state)

    def update_counted(self, index, weight, grad, state) -> None:
        """`update_multi_precision` of lists whose updates were counted; an index may come again, for another part."""
        self._on_copies(self._update_counted, index, weight, grad, state)

    def _on_copies(self, update: Callable[..., None], index, weight, grad, state) -> None:
        low = [position for position, one in enumerate(weight) if self._keeps_float32(one)]
        if not low:
            update(index, weight, grad, state)
            return
        masters, grads, states = list(weight), list(grad), list(state)
        for position in low:
            masters[position], states[position] = state[position]
            grads[position] = grad[position].astype("float32")
        if self.takes_lists:
            update(index, masters, grads, states)
        else:
            update(index[0], masters[0], grads[0], states[0])
        with torch.no_grad():
            for position in low:
                weight[position]._data.copy_(masters[position]._data)

    @property
    def takes_lists(self) -> bool:
        """Whether `update` may be given lists: an ``update`` of one's own may not, unless it sets aggregate_num."""
        return type(self).update is Optimizer.update or self.aggregate_num > 0

    @property
    def reads_once(self) -> bool:
        """Whether `apply` brings no array into the cache twice: then a group goes through it in one call."""
        return False

    def apply(self, group: Group) -> None:
        """Updates the parameters of a group in place; called under no_grad."""
        raise NotImplementedError(f"{type(self).__name__} must define update(index, weight, grad, state)")

    def common(self, group: Group) -> dict[str, Any]:
        """The arguments that every rule takes."""
        return {"lr": group.lr, "wd": group.wd, "rescale_grad": self.rescale_grad, "clip": self.clip_gradient or None}

    def _groups(self, indices, weights, grads, states) -> list[Group]:
        groups: dict[tuple, Group] = {}
        rows = zip(indices, weights, grads, states, self._get_lrs(indices), self._get_wds(indices), strict=True)
        for index, weight, grad, state, lr, wd in rows:
            t = self._index_update_count[index]
            key = (lr, wd, t, weight.dtype, grad.dtype, weight.device, len(state))
            if key not in groups:
                groups[key] = Group([], [], [], [[] for _ in state], lr, wd, t)
            group = groups[key]
            group.indices.append(index)
            group.weights.append(weight)
            group.grads.append(grad if grad.dtype is weight.dtype else grad.to(weight.dtype))
            for column, tensor in zip(group.states, state, strict=True):
                column.append(tensor)
        return list(groups.values())


def _pieces(group: Group) -> list[Group]:
    """The group itself on a GPU; on a CPU parts of it, so that a rule's intermediate results stay in the cache."""
    if group.weights[0].is_cuda or len(group.weights) == 1:
        return [group]
    bounds, size = [0], 0
    for position, weight in enumerate(group.weights):
        if size and size + weight.numel() > PIECE:
            bounds.append(position)
            size = 0
        size += weight.numel()
    if len(bounds) == 1:
        return [group]
    return [Group(group.indices[a:b], group.weights[a:b], group.grads[a:b], [column[a:b] for column in group.states],
                  group.lr, group.wd, group.t) for a, b in zip(bounds, [*bounds[1:], None], strict=True)]


def zeros_like(weight: NDArray) -> NDArray:
    """Zeros of the weight's shape, dtype and memory layout, beside it."""
    return NDArray._wrap(torch.zeros_like(weight._data, requires_grad=False), weight.context)


def _tensors(state: Any) -> tuple[torch.Tensor, ...]:
    if state is None:
        return ()
    return tuple(one._data for one in state) if isinstance(state, (list, tuple)) else (state._data,)


register = Optimizer.register
create = Optimizer.create_optimizer

"""Trainer: after each backward, reduce the gradients over devices and workers and update the parameters."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import optimizer as opt
from ..device import Context
from ..errors import MXNetError
from ..files import atomic_write, existing
from ..ndarray import NDArray
from .hand_over import HandOver, stale_gradient
from .parameter import Parameter
from .parameter_dict import ParameterDict
from .store import Store, choose_store


class Trainer:
    """Updates `params` with `optimizer`: ``trainer = Trainer(net.collect_params(), 'sgd', {'learning_rate': 0.1})``.

    params: a ParameterDict, a dict or a list of Parameters.   optimizer: a name with optimizer_params, or an Optimizer.
    kvstore: the store that sums gradients over contexts and workers; not used on one context of one machine.
    update_on_kvstore: run the optimizer on the store; None chooses, as MXNet does.

    Subclasses of users override the steps between, under MXNet's names: _init_kvstore, _allreduce_grads, _update,
    _check_and_rescale_grad.
    """

    def __init__(self, params: Any, optimizer: str | opt.Optimizer, optimizer_params: dict | None = None,
                 kvstore: Any = "device", compression_params: dict | None = None,
                 update_on_kvstore: bool | None = None):
        self._params = _parameters(params)
        self._position = {param: i for i, param in enumerate(self._params)}
        self._kvstore_wanted = kvstore, update_on_kvstore, compression_params
        self._store: Store | None = None
        self._store_is_chosen = False
        for param in self._params:
            param._trainer = self
        self._init_optimizer(optimizer, dict(optimizer_params or {}))
        self._scale = self._optimizer.rescale_grad
        self._updaters: list[Any] = []
        self._amp_loss_scaler: Any = None       # set by contrib.amp.init_trainer
        self._amp_original_scale = self._scale

    def _init_optimizer(self, optimizer: str | opt.Optimizer, optimizer_params: dict) -> None:
        by_index = dict(enumerate(self._params))
        if isinstance(optimizer, opt.Optimizer):
            if optimizer_params:
                raise AssertionError(f"Trainer: an Optimizer object brings its settings along; got optimizer_params="
                                     f"{optimizer_params} as well; set them on the object, or give its name")
            optimizer.param_dict = by_index
            self._optimizer = optimizer
        else:
            self._optimizer = opt.create(optimizer, param_dict=by_index, **optimizer_params)

    # -- settings ---------------------------------------------------------------------------------------------
    @property
    def optimizer(self) -> opt.Optimizer:
        return self._optimizer

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self._optimizer.learning_rate

    def set_learning_rate(self, lr: float) -> None:
        """Set the learning rate.  Raises UserWarning where a scheduler sets it."""
        if self._store is not None and self._store.updates:
            self.wait()     # the store updates by the rate of the moment
        self._optimizer.set_learning_rate(lr)

    # -- the step ---------------------------------------------------------------------------------------------
    def step(self, batch_size: int, ignore_stale_grad: bool = False) -> None:
        """Reduce the gradients, divide them by `batch_size` and update every parameter.

        ignore_stale_grad: leave parameters alone whose gradient was not computed since the last step; otherwise that
        raises UserWarning.   With a loss scale (`contrib.amp.init_trainer`), a step whose gradients are not finite
        leaves every parameter and state as it is.
        """
        self.wait()
        self._check_and_rescale_grad(self._scale / batch_size)
        self._begin_step()
        if self._overflows_on_store():
            return
        self._allreduce_grads()
        self._update(ignore_stale_grad)

    def backward_and_step(self, losses: NDArray | Sequence[NDArray], batch_size: int,
                          ignore_stale_grad: bool = False, wait: bool = True) -> None:
        """``autograd.backward(losses)`` and ``step(batch_size)`` in one, with the same result and less memory: each
        gradient is given to the store and the optimizer as soon as it is complete on every context, and then freed.

        wait=False, with a store of workers that go in step: returns while sums over workers are under way.  A parameter
        is updated when it is read the next time (a layer's forward pass, `data()`), so that sums overlap with the next
        forward pass as well; `wait()` updates all.  An NDArray that `data()` returned earlier is old until then.

        losses: one, or one a context.   Afterwards the parameters' `grad()` is NaN.   Raises MXNetError where
        gradients cannot be handed over: grad_req "add", or a subclass that overrides a part of `step`.
        """
        heads = [losses] if isinstance(losses, NDArray) else list(losses)
        HandOver.check(self, Trainer)
        if self._amp_loss_scaler is not None:
            raise MXNetError("Trainer.backward_and_step: with a loss scale, no parameter may change before all "
                             "gradients are known to be finite; got a trainer of amp.init_trainer; call backward() and "
                             "step()")
        self.wait()
        self._check_and_rescale_grad(self._scale / batch_size)
        self._choose_store()
        HandOver(self, wait).run(heads, ignore_stale_grad)

    def wait(self) -> None:
        """Makes all updates that ``backward_and_step(..., wait=False)`` left for later."""
        if self._store is not None and self._store.early is not None:
            self._store.early.settle_all()

    def allreduce_grads(self) -> None:
        """Only the first half of `step`: sum gradients over contexts and workers; then change them, then `update`."""
        self.wait()
        self._init_kvstore()
        self._refuse_on_store("allreduce_grads")
        self._begin_step()
        self._allreduce_grads()

    def update(self, batch_size: int, ignore_stale_grad: bool = False) -> None:
        """Only the second half of `step`, after `allreduce_grads`."""
        self._init_kvstore()
        self._refuse_on_store("update")
        self._check_and_rescale_grad(self._scale / batch_size)
        self._update(ignore_stale_grad)

    def _refuse_on_store(self, what: str) -> None:
        if self._store is not None and self._store.updates:
            raise AssertionError(f"Trainer.{what}: the kvstore runs the optimizer, so the halves of a step cannot be "
                                 f"called apart; got update_on_kvstore=True; make the Trainer with "
                                 f"update_on_kvstore=False")

    def _check_and_rescale_grad(self, scale: float) -> None:
        if self._store is not None and self._store.holds_copy \
                and scale != self._optimizer.rescale_grad:
            raise UserWarning(f"Trainer.step: the servers hold the optimizer and keep the scale of the first step, "
                              f"{self._optimizer.rescale_grad:g}; got {scale:g}; keep batch_size the same, or use "
                              f"update_on_kvstore=False")
        self._optimizer.rescale_grad = scale

    def _trained(self) -> list[tuple[int, Parameter]]:
        return [(i, param) for i, param in enumerate(self._params) if param.grad_req != "null"]

    def _allreduce_grads(self) -> None:
        if self._store is not None:
            self._store.reduce(self._trained())

    def _update(self, ignore_stale_grad: bool = False) -> None:
        chosen = self._check_fresh(ignore_stale_grad)
        if self._store is not None and self._store.updates:
            self._store.fetch(chosen)
        elif chosen and not self._overflows(chosen):
            self._run_optimizer(chosen)
        self._mark_used(chosen)

    @staticmethod
    def _mark_used(chosen: list[tuple[int, Parameter]]) -> None:
        for _, param in chosen:
            for x in param._data:
                x._fresh_grad = False

    def _overflows(self, chosen: list[tuple[int, Parameter]]) -> bool:
        return self._amp_loss_scaler is not None and self._amp_loss_scaler.has_overflow([param for _, param in chosen])

    def _overflows_on_store(self) -> bool:
        """Whether the optimizer runs on the store and must not see this step's gradients.  Raises MXNetError for a
        store of workers, which would have to agree before any of them pushes."""
        if self._amp_loss_scaler is None or self._store is None or not self._store.updates:
            return False
        if self._store.is_distributed:
            raise MXNetError(f"Trainer.step: a loss scale skips steps that overflow, and a kvstore of workers that "
                             f"runs the optimizer cannot; got {self._store.kv.type!r}; make the Trainer with "
                             f"update_on_kvstore=False, or train in bfloat16 without init_trainer")
        chosen = self._trained()
        overflows = self._overflows(chosen)
        if overflows:
            self._mark_used(chosen)
        return overflows

    def _run_optimizer(self, chosen: list[tuple[int, Parameter]]) -> None:
        per_context = zip(*(param._data for _, param in chosen), strict=True)
        gradients = zip(*(param._grad for _, param in chosen), strict=True)
        indices = [i for i, _ in chosen]
        for updater, weights, grads in zip(self._updaters, per_context, gradients, strict=True):
            updater(indices, list(grads), list(weights))

    def _check_fresh(self, ignore_stale_grad: bool) -> list[tuple[int, Parameter]]:
        """The parameters whose gradients were computed since the last step."""
        fresh = []
        for i, param in self._trained():
            stale = [x for x in param.list_data() if not x._fresh_grad]
            if not stale:
                fresh.append((i, param))
            elif not ignore_stale_grad:
                raise stale_gradient(param, stale[0].ctx)
        return fresh

    # -- the store --------------------------------------------------------------------------------------------
    def _contexts(self) -> list[Context]:
        contexts: list[Context] | None = None
        for param in self._params:
            here = param.list_ctx()
            if contexts is not None and contexts != here:
                raise AssertionError(f"Trainer: its parameters live on different contexts; got {param.name!r} on "
                                     f"{here}, those before it on {contexts}; move them with reset_ctx()")
            contexts = here
        return contexts or []

    def _choose_store(self) -> None:
        if not self._store_is_chosen:
            contexts = self._contexts()
            kvstore, on_store, compression = self._kvstore_wanted
            self._store = choose_store(kvstore, len(contexts), on_store, compression, self._optimizer)
            while len(self._updaters) < len(contexts):
                self._updaters.append(opt.get_updater(self._optimizer))
            self._store_is_chosen = True

    def _init_kvstore(self) -> None:
        self._choose_store()
        if self._store is not None:
            self._store.take_new(enumerate(self._params))

    def _overwrite(self, param: Parameter) -> None:
        """A parameter was set by hand: the store's copy of it is old."""
        if self._store is not None:
            self._store.overwrite(self._position[param], param)

    def _begin_step(self) -> None:
        self._init_kvstore()
        if self._store is not None:
            self._store.begin_step(self._trained())

    # -- files ------------------------------------------------------------------------------------------------
    def save_states(self, fname: str) -> None:
        """Write the optimizer with its states (momenta, counts)."""
        self.wait()
        self._init_kvstore()
        if self._store is not None and self._store.updates:
            self._store.kv.save_optimizer_states(fname, dump_optimizer=True)
            return
        with atomic_write(fname) as stream:
            stream.write(self._updaters[0].get_states(dump_optimizer=True))

    def load_states(self, fname: str) -> None:
        """Read what `save_states` wrote."""
        self.wait()
        self._init_kvstore()
        if self._store is not None and self._store.updates:
            self._store.kv.load_optimizer_states(fname)
            return
        states = existing(fname, "Trainer.load_states").read_bytes()
        for updater in self._updaters:
            updater.set_states(states)


def _parameters(params: Any) -> list[Parameter]:
    if isinstance(params, (Mapping, ParameterDict)):
        params = list(params.values())
    if not isinstance(params, Iterable):
        raise ValueError(f"Trainer: params holds Parameters, in a list or by name; got {type(params).__name__}; pass "
                         f"net.collect_params()")
    params = list(params)
    for param in params:
        if not isinstance(param, Parameter):
            raise ValueError(f"Trainer: params holds Parameters only; got an object of type {type(param).__name__}; "
                             f"pass net.collect_params()")
    return list(dict.fromkeys(params))

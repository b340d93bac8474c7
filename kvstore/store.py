"""The protocol of a parameter store, the registry of stores and `create`."""
from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from . import spans
from .errors import KVStoreError, StoreNotBuiltError

#: Parts of MXNet's store names that mean a store this package does not have yet.
NOT_BUILT = ("dist", "byteps")


class Updater(Protocol):
    """What runs on the store when a value arrives: changes `weight` in place from the reduced `grad`.

    With ``takes_lists`` true it is called once a push, with lists of keys, gradients and weights.
    """

    def __call__(self, key: Any, grad: Any, weight: Any) -> None: ...


class KVStoreBase:
    """What every store can do.  Derive from it and decorate with ``KVStoreBase.register`` to add a store.

    Keys are ints or strs, never both in one store.  A value is one array, or a list with one array per device; an
    array is a torch tensor, or of a class with ``to_torch`` and ``from_torch`` (see values.py).
    """

    OPTIMIZER: ClassVar[str] = "optimizer"
    kv_registry: ClassVar[dict[str, type[KVStoreBase]]] = {}

    @staticmethod
    def register(klass: type[KVStoreBase]) -> type[KVStoreBase]:
        """Class decorator: makes ``create(klass.__name__)`` build this store (the name is not case sensitive)."""
        if not (isinstance(klass, type) and issubclass(klass, KVStoreBase)):
            raise TypeError(f"KVStoreBase.register: needs a class derived from KVStoreBase; got {klass!r}")
        KVStoreBase.kv_registry[klass.__name__.lower()] = klass
        return klass

    def broadcast(self, key, value, out, priority: int = 0) -> None:
        """Makes `value` the store's value of `key` and writes it to every array of `out`."""
        raise NotImplementedError(f"{type(self).__name__}.broadcast is not defined")

    def pushpull(self, key, value, out=None, priority: int = 0) -> None:
        """Reduces `value` over devices and workers and writes the result to `out` (default: over `value`)."""
        raise NotImplementedError(f"{type(self).__name__}.pushpull is not defined")

    @staticmethod
    def is_capable(capability: str) -> bool:
        """Whether the store can do `capability`; ``KVStoreBase.OPTIMIZER``: it can run the optimizer itself."""
        raise NotImplementedError("this store does not say what it is capable of: define is_capable")

    @property
    def type(self) -> str:
        """The name it was created by."""
        return type(self).__name__.lower()

    @property
    def rank(self) -> int:
        """This worker's number, from 0."""
        raise NotImplementedError(f"{type(self).__name__}.rank is not defined")

    @property
    def num_workers(self) -> int:
        """How many workers share the store."""
        raise NotImplementedError(f"{type(self).__name__}.num_workers is not defined")

    def set_optimizer(self, optimizer) -> None:
        """Runs `optimizer` on the store from now on."""
        raise NotImplementedError(f"{type(self).__name__} cannot run an optimizer")

    def save_optimizer_states(self, fname, dump_optimizer: bool = False) -> None:
        """Writes the optimizer's states (and, if asked, the optimizer) to a file."""
        raise NotImplementedError(f"{type(self).__name__} holds no optimizer states")

    def load_optimizer_states(self, fname) -> None:
        """Reads what `save_optimizer_states` wrote."""
        raise NotImplementedError(f"{type(self).__name__} holds no optimizer states")


class KVStore(KVStoreBase):
    """The full protocol of the stores of this package: values live in the store, pushed and pulled by key.

    is_elastic: workers may come and go; then there is `next_step`, to be called before each step.
    """

    is_elastic = False

    def init(self, key, value) -> None:
        """Gives each new key its first value; a key is initialised once."""
        raise NotImplementedError(f"{type(self).__name__}.init is not defined")

    def push(self, key, value, priority: int = 0) -> None:
        """Reduces `value` over devices, then runs the updater on it, or replaces the store's value by it.

        A higher `priority` goes first where transfers queue; the stores of one process run at once and ignore it.
        """
        raise NotImplementedError(f"{type(self).__name__}.push is not defined")

    def pull(self, key, out=None, priority: int = 0, ignore_sparse: bool = True) -> None:
        """Copies the store's value into every array of `out`."""
        raise NotImplementedError(f"{type(self).__name__}.pull is not defined")

    def allreduce(self, key, value, priority: int = 0) -> None:
        """Replaces the arrays of each key by their sum over devices and workers.

        As `pushpull`, but the store need not keep the sum.
        """
        self.pushpull(key, value, priority=priority)

    def gradient_ready(self, key, value, priority: int = 0, early: bool = False) -> None:
        """As `push`, but the store may read the arrays until the next `pull` of the key returns.

        early: what is handed over later is likely more urgent.
        """
        self.push(key, value, priority)

    def overwrite(self, key, value) -> None:
        """Replaces the store's value, past the updater."""
        raise NotImplementedError(f"{type(self).__name__}.overwrite is not defined")

    def row_sparse_pull(self, key, out=None, priority: int = 0, row_ids=None) -> None:
        """Copies the rows `row_ids` of the store's value into `out`."""
        raise NotImplementedError(f"{type(self).__name__}.row_sparse_pull is not defined")

    def set_updater(self, updater: Updater | None) -> None:
        """Installs what runs when a value is pushed; None: a push replaces the value."""
        raise NotImplementedError(f"{type(self).__name__}.set_updater is not defined")

    def set_gradient_compression(self, compression_params: dict) -> None:
        """Compresses gradients on their way: ``{"type": "2bit", "threshold": 0.5}``."""
        raise NotImplementedError(f"{type(self).__name__}.set_gradient_compression is not defined")

    def barrier(self) -> None:
        """Returns when every worker has called it."""
        raise NotImplementedError(f"{type(self).__name__}.barrier is not defined")

    def num_dead_node(self, node_id: int = 0, timeout: float = 0) -> int:
        """How many processes of the job are dead."""
        return 0

    # MXNet's spellings, which its examples use
    def _send_command_to_servers(self, head: int, body: str) -> None:
        raise KVStoreError("_send_command_to_servers: servers take no commands of your own; use set_optimizer, "
                           "set_gradient_compression, set_server_profiler or dump_server_profile")

    def _set_updater(self, updater: Updater | None) -> None:
        self.set_updater(updater)

    def _barrier(self) -> None:
        self.barrier()


_BUILDERS: dict[str, Callable[..., KVStore]] = {}


def builder(*names: str):
    """Decorator: the function builds the stores of these names (it receives the name)."""
    def add(function):
        _BUILDERS.update(dict.fromkeys(names, function))
        return function
    return add


def create(name: str = "local", **options) -> KVStoreBase:
    """The store called `name`: ``local`` reduces on the CPU, ``device`` on the devices, or a registered one.

    options: of the store; ``elastic=True`` for ``dist_sync`` and its like (default: MXDL_ELASTIC).
    Raises:
        StoreNotBuiltError: MXNet has this store, mxdl does not yet.
        KVStoreError: no store has this name, or it has no such option.
    """
    if not isinstance(name, str):
        raise TypeError(f"kvstore.create: name must be a str; got {type(name).__name__}")
    lower = name.lower()
    if lower in KVStoreBase.kv_registry:
        return KVStoreBase.kv_registry[lower](**options)
    if is_for_workers(lower) and lower != "horovod":      # whose processes Horovod starts
        from .roles import serve_other_roles
        serve_other_roles()
    if lower in _BUILDERS:
        build = _BUILDERS[lower]
        known = list(inspect.signature(build).parameters)[1:]
        if unknown := set(options) - set(known):
            raise KVStoreError(f"kvstore.create: {name!r} takes {', '.join(known) or 'no options'}; got "
                               f"{', '.join(sorted(unknown))}")
        store = build(lower, **options)
        spans.created(store)
        return store
    if any(part in lower for part in NOT_BUILT):
        raise StoreNotBuiltError(f"kvstore.create: {name!r} is not built yet; this version has "
                                 f"{', '.join(names())}. Use 'device' in one process; for several, 'dist_sync' adds "
                                 f"inside a machine first, as 'byteps' does, or 'horovod'")
    near = difflib.get_close_matches(lower, names(), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise KVStoreError(f"kvstore.create: no store is called {name!r}{hint} There are: {', '.join(names())}")


def is_for_workers(name: str) -> bool:
    """Whether a store of this name reaches other workers, so that it is needed on a single device too."""
    return any(part in name for part in ("dist", "p3", "horovod", "byteps"))


def names() -> list[str]:
    """Every name that `create` accepts."""
    return [*_BUILDERS, *KVStoreBase.kv_registry]

"""How much memory tensors take while something runs: counted exactly, storage by storage."""
from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Usage:
    """Bytes of the tensors that were made inside `track` and are alive.

    live: now.   peak: the most at any time.   allocated: all that were ever made, freed or not (nothing shared).
    """

    def __init__(self) -> None:
        self.live = self.peak = self.allocated = 0
        self._known: dict[int, weakref.ref] = {}

    def ignore(self, tensors: Iterable[torch.Tensor]) -> None:
        """Do not count the memory of `tensors`, which was there before."""
        for tensor in tensors:
            self._watch(tensor.untyped_storage(), counted=False)

    def meet(self, tensor: torch.Tensor) -> None:
        """Count the memory of `tensor` from now until it is freed."""
        self._watch(tensor.untyped_storage(), counted=True)

    def _watch(self, storage: torch.UntypedStorage, counted: bool) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or storage.device.type == "meta":
            return
        if counted:
            self.live += size
            self.allocated += size
            self.peak = max(self.peak, self.live)

        def freed(_: Any) -> None:
            self._known.pop(key, None)
            if counted:
                self.live -= size
        self._known[key] = weakref.ref(storage, freed)   # a storage has one Python object for as long as it lives


class _Watch(TorchDispatchMode):
    """Shows the results of every torch operator to `usage`."""

    def __init__(self, usage: Usage):
        super().__init__()
        self.usage = usage

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        self.usage.ignore(x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor))
        result = function(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor):
                self.usage.meet(x)
        return result


@contextlib.contextmanager
def track() -> Iterator[Usage]:
    """Count the bytes of tensors made inside:  ``with track() as usage: ...;  usage.peak``

    Arrays that existed before are not counted, whatever is done to them.  What torch's kernels take and give back
    inside one call (oneDNN's scratch memory) is not seen.  It slows small operators several times: it is for measuring.
    """
    usage = Usage()
    with _Watch(usage):
        yield usage

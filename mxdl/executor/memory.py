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

    def borrow(self, num_bytes: int) -> None:
        """Count bytes that a kernel took beside its results and has given back."""
        self.peak = max(self.peak, self.live + num_bytes)

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
        self.usage.borrow(_filter_copies(function, args))
        return result


def _filter_copies(function: Any, args: tuple) -> int:
    """Bytes of the filters that oneDNN copies into its own order; `filter_copies` of ops/convolution.py says when."""
    if function is torch.ops.aten.convolution.default:
        weight, transposed, copies = args[1], args[6], 1
    elif function is torch.ops.aten.convolution_backward.default:
        weight, transposed, copies = args[2], args[7], 2 if args[10][1] else 1
    else:
        return 0
    known = weight.dim() == 4 and weight.is_cpu and weight.dtype is not torch.float64 and not transposed
    return copies * weight.numel() * weight.element_size() if known else 0


@contextlib.contextmanager
def track() -> Iterator[Usage]:
    """Count the bytes of tensors made inside:  ``with track() as usage: ...;  usage.peak``

    Arrays that existed before are not counted, whatever is done to them.  Of what torch's kernels take and give back
    inside one call only oneDNN's copies of filters are counted, by their sizes.  It slows small operators several
    times: it is for measuring.
    """
    usage = Usage()
    with _Watch(usage):
        yield usage

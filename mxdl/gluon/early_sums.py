"""Sums over workers that begin during the backward pass: bucket by bucket, as gradients become ready.

They may go on during the next forward pass: what was ready last is summed first, since its parameters are read first.
"""
from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from .parameter import Parameter

#: parameters whose update waits for a reader
WAITING: weakref.WeakSet[Parameter] = weakref.WeakSet()
#: a bucket goes out when it has so much: little enough that not much is left to send when the backward pass ends
BUCKET_BYTES = 1 << 20


class EarlySums:
    """Gradients on their way through a store of several workers.

    kv: the store.   updates: it runs the optimizer; otherwise the sums are written over the gradients.

    Buckets must be the same in every worker, so the first one's order of the first step is everybody's, and a bucket
    goes out when all of it is ready.
    """

    def __init__(self, kv: Any, updates: bool):
        self._kv, self._updates = kv, updates
        self._buckets: list[list[int]] = []
        self._bucket_of: dict[int, int] = {}
        self._ready: dict[int, list] = {}
        self._waiting: list[int] = []       # of each bucket: gradients that are not ready
        self._deferred: dict[int, list[tuple[int, Parameter]]] = {}      # of each bucket: what is not updated yet
        self._update: Callable[[list[tuple[int, Parameter]]], None] = lambda params: None
        if getattr(kv, "is_elastic", False):
            kv.share_state("order of gradients", lambda: json.dumps(self._buckets).encode(), self._take_over)

    def agree(self, order: Sequence[int], params: Iterable[tuple[int, Parameter]]) -> None:
        """Makes buckets of what became ready in this order in the first step; every worker calls it then."""
        if self._buckets:       # taken over
            return
        sizes = {i: sum(data._data.nbytes for data in param.list_data()[:1]) for i, param in params}
        first = json.loads(self._kv.first_of(json.dumps([*order, *(i for i in sizes if i not in order)]).encode()))
        buckets: list[list[int]] = [[]]
        num_bytes = 0
        for i in first:
            if buckets[-1] and num_bytes + sizes[i] > BUCKET_BYTES:
                buckets.append([])
                num_bytes = 0
            buckets[-1].append(i)
            num_bytes += sizes[i]
        self._set(buckets)

    def _take_over(self, content: bytes) -> None:
        self._set(json.loads(content))

    def _set(self, buckets: list[list[int]]) -> None:
        self._buckets = buckets
        self._bucket_of = {i: number for number, bucket in enumerate(buckets) for i in bucket}
        self._waiting = [len(bucket) for bucket in buckets]

    def take(self, i: int, grads: list) -> None:
        """A parameter's gradients, one a context, are ready; their bucket goes out if they were the last of it."""
        number = self._bucket_of[i]
        self._ready[i] = grads
        self._waiting[number] -= 1
        if not self._waiting[number]:
            self._start(number)

    def _start(self, number: int) -> None:
        keys = [i for i in self._buckets[number] if i in self._ready]
        grads = [self._ready.pop(i) for i in keys]
        # what is ready first is needed last: the first layers' weights, which the next step reads first, pass it
        (self._kv.gradient_ready if self._updates else self._kv.reduce_ready)(keys, grads, priority=number, early=True)

    def finish(self) -> None:
        """Sends what is left and waits for all sums."""
        self._send_rest()
        self._kv.wait()

    def defer(self, taken: Iterable[tuple[int, Parameter]],
              update: Callable[[list[tuple[int, Parameter]]], None]) -> None:
        """Sends what is left.  A bucket's sums are waited for, and `update` is called with its parameters, when the
        first of them is read.
        """
        self._send_rest()
        self._update = update
        for i, param in taken:
            number = self._bucket_of[i]
            self._deferred.setdefault(number, []).append((i, param))
            param._update_first = partial(self.settle, number)
            WAITING.add(param)

    def settle(self, number: int) -> None:
        """Makes the updates of a bucket, if they were deferred."""
        params = self._deferred.pop(number, [])
        if params:
            self._kv.wait([i for i, _ in params])
            for _, param in params:
                param._update_first = None
                WAITING.discard(param)
            self._update(params)

    def settle_all(self) -> None:
        for number in list(self._deferred):
            self.settle(number)

    def _send_rest(self) -> None:
        """Sends buckets that are not whole because some parameters had no gradient."""
        for number, waiting in enumerate(self._waiting):
            if waiting and any(i in self._ready for i in self._buckets[number]):
                self._start(number)
        self._waiting = [len(bucket) for bucket in self._buckets]

"""Sums over workers that begin during the backward pass: bucket by bucket, as gradients become ready."""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from .parameter import Parameter

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
        (self._kv.gradient_ready if self._updates else self._kv.reduce_ready)(keys, grads, priority=number)

    def finish(self) -> None:
        """Sends what is left, of buckets that are not whole because some parameters had no gradient, and waits."""
        for number, waiting in enumerate(self._waiting):
            if waiting and any(i in self._ready for i in self._buckets[number]):
                self._start(number)
        self._waiting = [len(bucket) for bucket in self._buckets]
        self._kv.wait()

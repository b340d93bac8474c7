"""Monitor: statistics of what flows through an executor, every few batches."""
from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable
from typing import Any

from .ndarray.ndarray import NDArray

Statistic = Callable[[NDArray], Any]


def root_mean_square(x: NDArray) -> NDArray:
    """|x| / sqrt(number of elements)."""
    return x.norm() / math.sqrt(x.size)  # type: ignore[attr-defined]  # norm is generated from the registry


class Monitor:
    """``monitor = Monitor(100, pattern='.*weight')``, then ``module.fit(..., monitor=monitor)``, or around each batch
    ``monitor.tic()`` and ``monitor.toc_print()``.

    interval: every how many batches.   stat_func: from an array to a number, an array or a list of them.
    pattern: names to watch.   sort: results by name.   monitor_all: watch the operators' variables too.
    """

    def __init__(self, interval: int, stat_func: Statistic | None = None, pattern: str = ".*", sort: bool = False,
                 monitor_all: bool = False):
        self.interval, self.sort, self.monitor_all = interval, sort, monitor_all
        self.stat_func = stat_func or root_mean_square
        self.step = 0
        self.activated = False
        self.queue: list[tuple[int, str, Any]] = []
        self.exes: list[Any] = []
        self._pattern = re.compile(pattern)

    def install(self, exe: Any) -> None:
        """Watch an executor."""
        exe.set_monitor_callback(self._take, self.monitor_all)
        self.exes.append(exe)

    def _take(self, name: str, array: NDArray) -> None:
        if self.activated and self._pattern.match(name):
            self.queue.append((self.step, name, self.stat_func(array)))

    def tic(self) -> None:
        """Begin a batch: collect, if it is this batch's turn."""
        if self.step % self.interval == 0:
            self.queue, self.activated = [], True
        self.step += 1

    def toc(self) -> list[tuple[int, str, str]]:
        """End a batch.  Returns (batch, name, statistic as text), nothing where it was not this batch's turn."""
        if not self.activated:
            return []
        for exe in self.exes:
            for name, array in (*exe.arg_dict.items(), *exe.aux_dict.items()):
                self._take(name, array)
        self.activated = False
        entries = sorted(self.queue, key=lambda entry: entry[1]) if self.sort else self.queue
        self.queue = []
        return [(step, name, _text(statistic)) for step, name, statistic in entries]

    def toc_print(self) -> None:
        """End a batch and log its statistics."""
        for step, name, text in self.toc():
            logging.info("Batch: %7d %30s %s", step, name, text)


def _text(statistic: Any) -> str:
    """Numbers and arrays of one element as numbers, each followed by a tab."""
    values = statistic if isinstance(statistic, list) else [statistic]
    return "".join(f"{v.asscalar() if isinstance(v, NDArray) and v.size == 1 else v}\t" for v in values)

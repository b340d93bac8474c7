"""What a call that sums many keys in place needs, worked out once: names of tasks, and which elements share a block.

A step of training calls with the same keys, shapes and dtypes as the one before, so of its work only what depends on
the arrays is left: no Python for each key but one look at its array.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .bucket import Piece, Span, outline, within
from .collective_choice import Task
from .dist_sync_tasks import Kind
from .keys import Key

Form = tuple[torch.Size, torch.dtype, torch.layout, bool, bool]


@dataclass(frozen=True, slots=True)
class Bundle:
    """A task's keys, which are keys `first` to `last` - 1 of the call."""

    name: int
    form: int
    label: str
    num_bytes: int
    first: int
    last: int
    keys: tuple[Key, ...]
    sizes: list[int]
    spans: list[Span]
    memos: list[dict[int, tuple[Tensor, ...]]]      # of each span, see Piece


@dataclass(slots=True)
class PlannedSum:
    """A task's work: arrays, T[*S] each and contiguous, that their sums are written over."""

    bundle: Bundle
    arrays: list[Tensor]
    _pieces: list[Piece] | None = None
    kind = Kind.SUM

    def pieces(self) -> list[Piece]:
        if self._pieces is None:
            self._pieces = self._cut()
        return self._pieces

    def _cut(self) -> list[Piece]:
        sizes = self.bundle.sizes
        return [Piece(length=span.length, sources=within(self.arrays, sizes, span), in_place=True, memo=memo)
                for span, memo in zip(self.bundle.spans, self.bundle.memos, strict=True)]


class SumPlan:
    """A call's bundles, and the form that each of its arrays must have."""

    def __init__(self, forms: list[Form], bundles: list[Bundle]):
        self.forms, self._bundles = forms, bundles

    def tasks(self, arrays: list[Tensor], priority: int) -> list[Task]:
        return [Task(one.name, one.form, one.label, one.num_bytes, priority,
                     [PlannedSum(one, arrays[one.first:one.last])]) for one in self._bundles]


class SumPlans:
    """Plans by the keys of a call."""

    def __init__(self) -> None:
        self._plans: dict[tuple[Key, ...], SumPlan] = {}

    def tasks(self, keys: Any, values: Any, priority: int) -> list[Task]:
        """The tasks of a call that came before; none where it did not, or not so: it has to be worked out."""
        if not isinstance(keys, list) or not isinstance(values, (list, tuple)):
            return []
        plan = self._plans.get(tuple(keys))
        if plan is None or len(values) != len(keys):
            return []
        arrays = _arrays(values)
        return plan.tasks(arrays, priority) if arrays is not None and _forms(arrays) == plan.forms else []

    def learn(self, keys: Any, values: Any, tasks: list[Task], length: int) -> None:
        """Keeps what the tasks of a call, which were worked out, had in common with later ones.

        length: bytes of a block.
        """
        arrays = _arrays(values) if isinstance(keys, list) and isinstance(values, (list, tuple)) else None
        if arrays is None or sum(len(task.work) for task in tasks) != len(keys):
            return
        forms = _forms(arrays)
        wanted = forms[0][1], torch.strided, True, True
        if any(form[1:] != wanted for form in forms):
            return
        bundles: list[Bundle] = []
        for task in tasks:
            first = bundles[-1].last if bundles else 0
            names = tuple(work.key for work in task.work)
            if any(work.start for work in task.work) or names != tuple(keys[first:first + len(names)]):
                return
            sizes = [array.numel() for array in arrays[first:first + len(names)]]
            spans = outline(sizes, length // arrays[0].itemsize)
            bundles.append(Bundle(task.name, task.form, task.label, task.num_bytes, first, first + len(names), names,
                                  sizes, spans, [{} for _ in spans]))
        self._plans[tuple(keys)] = SumPlan(forms, bundles)

    def clear(self) -> None:
        self._plans.clear()


def _arrays(values: Sequence[Any]) -> list[Tensor] | None:
    """One tensor a key; None: a key has several, or something else."""
    if set(map(type, values)) == {Tensor}:
        return list(values)
    found = []
    for value in values:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, Tensor):
            found.append(value)
        elif hasattr(value, "to_torch"):
            found.append(value.to_torch())
        else:
            return None
    return found


def _forms(arrays: list[Tensor]) -> list[Form]:
    return [(one.shape, one.dtype, one.layout, one.is_cpu, one.layout is torch.strided and one.is_contiguous())
            for one in arrays]

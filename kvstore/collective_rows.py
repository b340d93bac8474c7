"""The sum of row-sparse values over all workers: everybody tells its rows to everybody."""
from __future__ import annotations

import torch
from torch import Tensor

from .collective import Machine, Share
from .reduction import add_rows


def sum_of_rows(machine: Machine, value: Tensor) -> Tensor:
    """The sum over all workers of `value`: rows in order, added in the order of the workers.

    value: row-sparse T[N, *S]; out: row-sparse T[N, *S], coalesced.
    """
    return add_rows(gathered_rows(machine, value))


def gathered_rows(machine: Machine, value: Tensor) -> list[Tensor]:
    """Every worker's row-sparse value, in the order of ranks.  value: row-sparse T[N, *S]; out: the same, coalesced"""
    value = value.cpu().coalesce()
    ids, rows = value.indices()[0].contiguous(), value.values().contiguous()
    return [of_rows(some_ids, some_rows, value.shape) for some_ids, some_rows in
            zip(gathered(machine, ids), gathered(machine, rows), strict=True)]


def of_rows(ids: Tensor, rows: Tensor, shape: torch.Size | tuple[int, ...]) -> Tensor:
    """ids: int64[n], sorted and distinct; rows: T[n, *S]; out: row-sparse T[N, *S] of this shape"""
    return torch.sparse_coo_tensor(ids[None], rows, shape, is_coalesced=True, check_invariants=False)


def no_rows(like: Tensor) -> Tensor:
    """A row-sparse value without rows."""
    return of_rows(torch.empty(0, dtype=torch.int64), torch.empty((0, *like.shape[1:]), dtype=like.dtype), like.shape)


def gathered(machine: Machine, values: Tensor) -> list[Tensor]:
    """Every worker's array, in the order of ranks.  values: T[n, *S], n may differ; out: T[n of the worker, *S] each"""
    counts = _counts(machine, len(values))
    arrays = [values if rank == machine.rank else values.new_empty((count, *values.shape[1:]))
              for rank, count in enumerate(counts)]
    machine.spread([_share(machine, rank, array.view(-1)) for rank, array in enumerate(arrays)])
    return arrays


def _counts(machine: Machine, count: int) -> list[int]:
    """How many rows each worker has."""
    counts = torch.zeros(len(machine.places), dtype=torch.int64)
    counts[machine.rank] = count
    machine.allreduce([counts], [[counts]])
    return counts.tolist()


def _share(machine: Machine, owner: int, values: Tensor) -> Share:
    return Share(owner, [values], [[] if owner == machine.rank else [values]])

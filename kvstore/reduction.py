"""Level 1: the sum of one array per device, on one device.

Dense and row-sparse values: a row-sparse one is a torch sparse COO tensor with one sparse dimension.
"""
import torch
from torch import Tensor


def reduce(values: list[Tensor], device: torch.device) -> Tensor:
    """values[0] + values[1] + ... on `device`, added in this order.  values: T[*S] each; out: T[*S].

    A single value that is on `device` already is passed through uncopied; otherwise the result is a new tensor.
    """
    if values[0].is_sparse and len(values) > 1:
        return add_rows([value.to(device) for value in values])
    asynchronous = device.type != "cpu"     # a copy to the CPU must have arrived before it is read
    total = values[0].to(device, non_blocking=asynchronous)
    for position, value in enumerate(values[1:]):
        value = value.to(device, non_blocking=asynchronous)
        total = total + value if position == 0 else total.add_(value)
    return total


def reduce_many(groups: list[list[Tensor]], device: torch.device) -> list[Tensor]:
    """`reduce` of each group.  Groups of dense values that are on `device` are added in one call per position."""
    lengths = {len(group) for group in groups}
    alike = len(lengths) == 1 and len(groups) > 1 and all(
        value.device == device and not value.is_sparse for group in groups for value in group)
    if not alike or lengths == {1}:
        return [reduce(group, device) for group in groups]
    columns = list(zip(*groups, strict=True))
    totals = torch._foreach_add(columns[0], columns[1])
    for column in columns[2:]:
        torch._foreach_add_(totals, column)
    return list(totals)


def add(parts: list[Tensor], out: Tensor) -> Tensor:
    """out = parts[0] + parts[1] + ..., added in this order."""
    if len(parts) == 1:
        return out.copy_(parts[0])
    torch.add(parts[0], parts[1], out=out)
    for part in parts[2:]:
        out.add_(part)
    return out


def add_rows(values: list[Tensor]) -> Tensor:
    """The sum of row-sparse values, added in their order.  values: row-sparse T[N, *S]; out: the same, coalesced.

    torch's own sparse addition knows no float16.
    """
    values = [value.coalesce() for value in values]
    ids, places = torch.cat([value.indices()[0] for value in values]).unique(return_inverse=True)
    parts = torch.cat([value.values() for value in values])
    total = parts.new_zeros((len(ids), *parts.shape[1:])).index_add_(0, places, parts)
    return torch.sparse_coo_tensor(ids[None], total, values[0].shape, is_coalesced=True, check_invariants=False)


def rows(value: Tensor, row_ids: Tensor) -> Tensor:
    """The rows `row_ids` of `value`, as a row-sparse tensor with sorted, distinct ids.

    value: T[N, *S], dense or row-sparse; row_ids: int[...]; out: row-sparse T[N, *S].
    """
    ids = row_ids.to(value.device, torch.int64).flatten().unique()
    dense = value.to_dense() if value.is_sparse else value
    return torch.sparse_coo_tensor(ids[None], dense.index_select(0, ids), value.shape, is_coalesced=True,
                                   check_invariants=False)

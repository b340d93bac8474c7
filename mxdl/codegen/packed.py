"""Parameters in the order in which the kernels read them, made at export: what kernels/pack.c.in makes at create.

Blocks have 16 channels whatever the vectors' width, so one file serves every instruction set.  Winograd's transform is
computed in float64 and rounded once, so it may differ in the last bit from what a C compiler makes of it.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import NotBuiltError, OperatorError
from ..graph import Value
from .geometry import BLOCK
from .layers import Pack

if TYPE_CHECKING:
    from .plan import ExportPlan

#: G of Winograd's F(m, 3) by m (Lavin and Gray, arXiv 1509.09308)
_FILTERS = {
    2: ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    4: ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6), (1 / 24, 1 / 12, 1 / 6),
        (1 / 24, -1 / 12, 1 / 6), (0, 0, 1)),
}


def require_packable(weights: str, precision: str) -> None:
    """Raises OperatorError where parameters cannot be stored packed."""
    if weights == "inside":
        raise OperatorError("export to C: packed parameters are read where they lie; got packed with weights='inside', "
                            "which are text; use weights='beside', 'incbin' or 'embed'")
    if precision != "float32":
        raise OperatorError(f"export to C: packed parameters are what the kernels read, float32; got "
                            f"precision={precision!r}; leave out one of the two")


def kept(plan: ExportPlan) -> dict[Value, torch.Tensor]:
    """The constants that are read as they are; the others are only packed."""
    read = {storage.value for step in plan.layout.steps if step.layer is None for storage in step.reads}
    read |= {plan.source.get(value, value) for value in plan.outputs}
    return {value: tensor for value, tensor in plan.constants.items() if value in read}


def array(pack: Pack, constants: Mapping[Value, torch.Tensor]) -> torch.Tensor:
    """float32[pack.floats].  Raises NotBuiltError for an order that is not known here."""
    if pack.function not in _ORDERS:
        raise NotBuiltError(f"export to C: {pack.function} packs parameters when a model is created only; "
                            f"got packed=True; leave it out")
    source = None if pack.source is None else constants[pack.source].detach().cpu().contiguous().numpy()
    made = np.zeros(pack.floats, np.float32)
    found = _ORDERS[pack.function](source, *pack.sizes).reshape(-1)
    made[:found.size] = found
    return torch.from_numpy(made)


def _blocks(weight: np.ndarray, filters: int, *rest: int) -> np.ndarray:
    """[filters, *rest] -> [output blocks, BLOCK, *rest]; filters beyond the last: 0."""
    whole = np.zeros((-(-filters // BLOCK) * BLOCK, *rest), np.float32)
    whole[:filters] = weight.reshape(filters, *rest)
    return whole.reshape(-1, BLOCK, *rest)


def _conv(weight: np.ndarray, filters: int, channels: int, taps: int, lanes: int) -> np.ndarray:
    """[output block][input block of `lanes`][tap][channel][BLOCK]"""
    blocks = _blocks(weight, filters, channels, taps)
    parts = [blocks[:, :, first:first + lanes].transpose(0, 3, 2, 1).reshape(len(blocks), -1)
             for first in range(0, channels, lanes)]
    return np.concatenate(parts, axis=1)


def _winograd(weight: np.ndarray, filters: int, channels: int, tile: int) -> np.ndarray:
    """[(tile + 2)^2][output block][channel][BLOCK]"""
    transform = np.array(_FILTERS[tile])
    blocks = _blocks(weight, filters, channels, 3, 3).astype(np.float64)
    return np.einsum("iy,obcyx,jx->ijocb", transform, blocks, transform, optimize=True).astype(np.float32)


def _bias(bias: np.ndarray | None, count: int) -> np.ndarray:
    return np.zeros(count, np.float32) if bias is None else bias.reshape(-1)[:count]


_ORDERS: dict[str, Callable] = {"pack_conv": _conv, "pack_winograd": _winograd, "pack_bias": _bias}

"""``mx.nd.sparse``: sparse storage is not built.  Its classes are there for ``isinstance``, its constructors say so;
the functions of operators (dense arrays in, dense arrays out) are filled from the registry (see register.py)."""
from __future__ import annotations

from typing import Any, NoReturn

from ..errors import NotBuiltError
from . import create
from .create import array as array
from .ndarray import NDArray


class BaseSparseNDArray(NDArray):
    """An array in sparse storage; none can be made."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any):
        _refuse(type(self).__name__)


class CSRNDArray(BaseSparseNDArray):
    """A matrix in compressed rows."""

    __slots__ = ()


class RowSparseNDArray(BaseSparseNDArray):
    """An array of which some rows are stored."""

    __slots__ = ()


def _refuse(where: str) -> NoReturn:
    raise NotBuiltError(f"{where}: sparse storage is not built; got a request for it; use a dense array: mx.nd.array")


def csr_matrix(arg1: Any, shape: Any = None, ctx: Any = None, dtype: Any = None) -> NoReturn:
    """MXNet's constructor of CSRNDArray."""
    _refuse("csr_matrix")


def row_sparse_array(arg1: Any, shape: Any = None, ctx: Any = None, dtype: Any = None) -> NoReturn:
    """MXNet's constructor of RowSparseNDArray."""
    _refuse("row_sparse_array")


def zeros(stype: str, shape: Any, ctx: Any = None, dtype: Any = None) -> NDArray:
    """`mx.nd.zeros` with the storage first, as MXNet has it here; only "default" is built."""
    return create.zeros(shape, ctx, dtype, stype)


def empty(stype: str, shape: Any, ctx: Any = None, dtype: Any = None) -> NDArray:
    """`mx.nd.empty` with the storage first; only "default" is built."""
    return create.empty(shape, ctx, dtype, stype)

"""total += a @ b in total's memory, in compiled programs too."""
from __future__ import annotations

import torch

_library = torch.library.Library("mxdl", "DEF")
_library.define("add_product(Tensor(a!) total, Tensor a, Tensor b) -> ()")


def _add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    total.addmm_(a, b)


_library.impl("add_product", _add_product, "CompositeExplicitAutograd")
_library.impl("add_product", lambda total, a, b: None, "Meta")


def add_product(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """`total`, to which a @ b is added.  total: float[M, N];   a: float[M, K];   b: float[K, N]

    Inductor makes of torch's own addmm_ a copy of `total` and a product; an operator that it does not know, and that
    says that it writes to `total`, it leaves alone.
    """
    if type(total) is not torch.Tensor:   # a stand-in that a compiler traces with
        torch.ops.mxdl.add_product(total, a, b)
        return total
    return total.addmm_(a, b)

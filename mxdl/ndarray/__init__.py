"""Arrays that users hold: ``mx.nd``.  Functions and methods of operators are generated from the registry."""
from __future__ import annotations

from ..errors import missing_attribute
from . import (
    _internal,
    arithmetic,
    contrib,
    control_flow,
    image,
    indexing,
    linalg,
    op,
    protocols,
    random,
    register,
    sparse,
)
from .create import arange, array, empty, eye, from_numpy, full, linspace, ones, zeros
from .custom import Custom
from .files import load, load_frombuffer, save
from .functions import concatenate, histogram, moveaxis, onehot_encode, split_v2, waitall
from .invoke import invoke, invoke_by_name
from .ndarray import NDArray
from .protocols import from_dlpack, to_dlpack_for_read, to_dlpack_for_write

for _function in (control_flow.foreach, control_flow.while_loop, control_flow.cond, control_flow.rand_zipfian):
    setattr(contrib, _function.__name__, _function)
arithmetic.install()
indexing.install()
protocols.install()
NDArray.split_v2 = split_v2  # type: ignore[attr-defined]
register.populate({"op": op, "_internal": _internal, "contrib": contrib, "linalg": linalg, "image": image,
                   "sparse": sparse, "random": random})
for _name, _function in [*arithmetic.functions().items(), *vars(op).items()]:
    if not _name.startswith("_"):
        globals().setdefault(_name, _function)
__getattr__ = missing_attribute("mx.nd", globals())

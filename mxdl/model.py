"""Checkpoints: ``PREFIX-symbol.json`` with ``PREFIX-0001.params``, as MXNet writes and reads them."""
from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping

from . import ndarray as nd
from . import wiring
from .errors import FileFormatError
from .symbol import symbol as symbols

#: what batch callbacks (Speedometer, ...) are given
BatchEndParam = namedtuple("BatchEndParam", ["epoch", "nbatch", "eval_metric", "locals"])

Arrays = Mapping[str, nd.NDArray]


def save_checkpoint(prefix: str, epoch: int, symbol: symbols.Symbol | None, arg_params: Arrays, aux_params: Arrays,
                    remove_amp_cast: bool = True) -> None:
    """Write ``PREFIX-symbol.json`` (unless `symbol` is None) and ``PREFIX-EPOCH.params``."""
    if symbol is not None:
        symbol.save(f"{prefix}-symbol.json", remove_amp_cast=remove_amp_cast)
    save_params(f"{prefix}-{epoch:04d}.params", arg_params, aux_params)


def load_checkpoint(prefix: str, epoch: int) -> tuple[symbols.Symbol, dict, dict]:
    """(symbol, arguments, auxiliary states) that `save_checkpoint` wrote."""
    return (symbols.load(f"{prefix}-symbol.json"), *load_params(prefix, epoch))


def load_params(prefix: str, epoch: int) -> tuple[dict, dict]:
    """(arguments, auxiliary states) of ``PREFIX-EPOCH.params``."""
    return read_params(f"{prefix}-{epoch:04d}.params")


def save_params(fname: str, arg_params: Arrays, aux_params: Arrays) -> None:
    """Write arrays under the names ``arg:NAME`` and ``aux:NAME``."""
    nd.save(fname, {**{f"arg:{name}": array for name, array in arg_params.items()},
                    **{f"aux:{name}": array for name, array in aux_params.items()}})


def read_params(fname: str) -> tuple[dict, dict]:
    """(arguments, auxiliary states) of a ``.params`` file.  Raises FileFormatError for names of another kind."""
    arrays = nd.load(fname)
    if not isinstance(arrays, dict):
        raise FileFormatError(f"{fname}: its arrays have no names; got {len(arrays)} arrays; give a file that "
                              f"save_checkpoint or export wrote")
    found: dict[str, dict] = {"arg": {}, "aux": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition(":")
        if kind not in found or not rest:
            raise FileFormatError(f"{fname}: names begin with arg: or aux:; got {name!r}; a file of "
                                  f"save_parameters is read by load_parameters")
        found[kind][rest] = array
    return found["arg"], found["aux"]


def __getattr__(name: str):
    if name == "FeedForward":  # stands on modules, above this layer
        return wiring.find(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Symbols: tensors that are computed later.  ``mx.sym.NAME`` is every operator; see register.py."""
from . import _internal, contrib, image, linalg, op, random, register, sparse
from .binary import hypot, maximum, minimum, pow, power
from .creation import arange, eye, full, linspace, ones, zeros
from .symbol import Symbol, load, load_json
from .symbol import group as Group
from .variable import var

Variable = var
fromjson = load_json

register.populate({"op": op, "_internal": _internal, "contrib": contrib, "linalg": linalg, "image": image,
                   "sparse": sparse})
for _name, _function in vars(op).items():
    if not _name.startswith("_"):
        globals().setdefault(_name, _function)

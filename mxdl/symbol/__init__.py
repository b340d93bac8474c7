"""Symbols: tensors that are computed later.  ``mx.sym.NAME`` is every operator; see register.py."""
from ..errors import missing_attribute
from . import _internal, contrib, image, linalg, op, random, register, sparse
from .choosing import histogram, hypot, maximum, minimum, pow, power, split_v2
from .creation import arange, eye, full, linspace, ones, zeros
from .custom import Custom
from .symbol import Symbol, load, load_json
from .symbol import group as Group
from .variable import var

Variable = var
Symbol.split_v2 = split_v2
fromjson = load_json

register.populate({"op": op, "_internal": _internal, "contrib": contrib, "linalg": linalg, "image": image,
                   "sparse": sparse, "random": random})
for _name, _function in vars(op).items():
    if not _name.startswith("_"):
        globals().setdefault(_name, _function)
__getattr__ = missing_attribute("mx.sym", globals())

"""Initializers: how a parameter gets its first value.  ``mx.init`` is this module."""
from .base import InitDesc, Initializer, alias, create, register
from .constants import Constant, One, Zero
from .rules import Load, Mixed
from .scaled import MSRAPrelu, Normal, Orthogonal, Uniform, Xavier
from .structured import Bilinear, FusedRNN, LSTMBias

__all__ = ["Bilinear", "Constant", "FusedRNN", "InitDesc", "Initializer", "LSTMBias", "Load", "MSRAPrelu", "Mixed",
           "Normal", "One", "Orthogonal", "Uniform", "Xavier", "Zero", "alias", "create", "register"]

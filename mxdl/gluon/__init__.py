"""Gluon: blocks, parameters, layers, losses and the trainer."""
import importlib

from .block import Block as Block
from .constant import Constant as Constant
from .hybrid import HybridBlock as HybridBlock
from .parameter import DeferredInitializationError as DeferredInitializationError
from .parameter import Parameter as Parameter
from .parameter_dict import ParameterDict as ParameterDict
from .symbol_block import SymbolBlock as SymbolBlock
from .trainer import Trainer as Trainer

from . import loss as loss  # isort: skip
from . import nn as nn  # isort: skip
from . import rnn as rnn  # isort: skip
from . import utils as utils  # isort: skip

_LAZY = ("contrib", "data", "model_zoo")  # loaded when first used


def __getattr__(name: str):
    if name in _LAZY:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY})

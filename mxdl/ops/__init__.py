"""Every operator of mxdl.  Importing the package imports every family file in it, so a new file needs no list."""
import importlib
import pkgutil

from .. import allocator
from . import registry as registry
from .operator import Operator as Operator
from .operator import operator as operator
from .registry import get as get

allocator.configure()   # before the entries' samples, which are the first arrays that torch makes
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

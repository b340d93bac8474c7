"""Modules: MXNet's training loops over symbols.  ``mx.mod.Module(net)``."""
from .base import BaseModule
from .bucketing import BucketingModule
from .module import Module
from .python_module import PythonLossModule, PythonModule
from .sequential import SequentialModule

__all__ = ["BaseModule", "BucketingModule", "Module", "PythonLossModule", "PythonModule", "SequentialModule"]

"""mxdl: MXNet/Gluon's programming model on a modern engine.  Use it as ``import mxdl as mx``.

Submodules load when they are first used, so that importing this package costs nothing and the command line answers
at once.  ``mx.gluon`` is the submodule of that name; the tables below hold the names that live elsewhere.
"""
import importlib
import importlib.util
import pkgutil

from . import wiring
from .version import __version__ as __version__

# MXNet's short names of whole modules.
_MODULES = {
    "nd": "ndarray", "sym": "symbol", "kv": "kvstore", "mod": "module", "init": "initializer", "img": "image",
    "viz": "visualization", "mon": "monitor", "rnd": "random", "np": "numpy", "npx": "numpy_extension",
}
# Names that MXNet offers at top level: where each lives.
_OBJECTS = {
    "Context": "context", "cpu": "context", "gpu": "context", "cpu_pinned": "context", "num_gpus": "context",
    "gpu_memory_info": "context", "current_context": "context", "MXNetError": "errors", "AttrScope": "attribute",
    "NDArray": "ndarray", "waitall": "ndarray", "is_np_array": "util", "is_np_shape": "util",
    "Predictor": "predictor",
}

wiring.connect("bind", "mxdl.executor.bound:bind")
wiring.connect("simple_bind", "mxdl.executor.bound:simple_bind")
wiring.connect("FeedForward", "mxdl.module.feed_forward:FeedForward")


def __getattr__(name: str):
    if name.startswith("__"):
        raise AttributeError(f"module 'mxdl' has no attribute {name!r}")
    if name in _OBJECTS:
        value = getattr(importlib.import_module(f"mxdl.{_OBJECTS[name]}"), name)
    else:
        module = f"mxdl.{_MODULES.get(name, name)}"
        if importlib.util.find_spec(module) is None:
            raise AttributeError(f"module 'mxdl' has no attribute {name!r}")
        value = importlib.import_module(module)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *_MODULES, *_OBJECTS, *(found.name for found in pkgutil.iter_modules(__path__))})

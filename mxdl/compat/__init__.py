"""The alias `mxnet`: after `install()`, `import mxnet` and its submodules give mxdl's.

    import mxdl.compat; mxdl.compat.install()
    import mxnet as mx
    from mxnet.gluon import nn
"""
from .alias import install, installed, uninstall

__all__ = ["install", "installed", "uninstall"]

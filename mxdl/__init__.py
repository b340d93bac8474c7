"""mxdl: MXNet/Gluon's programming model on a modern engine.  Use it as ``import mxdl as mx``."""
__version__ = "0.1.0"

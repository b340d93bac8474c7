"""The version of mxdl."""
__version__ = "0.1.0"

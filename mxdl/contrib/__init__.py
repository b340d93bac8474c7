"""MXNet's `contrib`: mixed precision, and doors that old code comes through."""
from . import amp as amp
from . import autograd as autograd
from . import io as io
from . import ndarray as ndarray
from . import onnx as onnx
from . import quantization as quantization
from . import symbol as symbol
from . import text as text

nd, sym, quant = ndarray, symbol, quantization

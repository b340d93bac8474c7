"""The fused layers, under the name of MXNet's module."""
from .layers import GRU as GRU
from .layers import LSTM as LSTM
from .layers import RNN as RNN
from .layers import _RNNLayer as _RNNLayer

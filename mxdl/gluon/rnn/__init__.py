"""Recurrent layers and cells."""
from .basic_cells import GRUCell, LSTMCell, RNNCell
from .cell import HybridRecurrentCell, RecurrentCell
from .layers import GRU, LSTM, RNN
from .modifiers import DropoutCell, ModifierCell, ResidualCell, ZoneoutCell
from .stacked_cells import BidirectionalCell, HybridSequentialRNNCell, SequentialRNNCell

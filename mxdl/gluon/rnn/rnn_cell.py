"""The cells, under the name of MXNet's module: ``from mxnet.gluon.rnn.rnn_cell import LSTMCell``."""
from .basic_cells import GRUCell as GRUCell
from .basic_cells import LSTMCell as LSTMCell
from .basic_cells import RNNCell as RNNCell
from .cell import HybridRecurrentCell as HybridRecurrentCell
from .cell import RecurrentCell as RecurrentCell
from .modifiers import DropoutCell as DropoutCell
from .modifiers import ModifierCell as ModifierCell
from .modifiers import ResidualCell as ResidualCell
from .modifiers import ZoneoutCell as ZoneoutCell
from .stacked_cells import BidirectionalCell as BidirectionalCell
from .stacked_cells import HybridSequentialRNNCell as HybridSequentialRNNCell
from .stacked_cells import SequentialRNNCell as SequentialRNNCell
